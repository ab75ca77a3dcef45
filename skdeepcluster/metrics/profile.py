"""What sets the clusters of a table apart."""

from __future__ import annotations

import numpy as np
from sklearn.utils import check_array, check_consistent_length, column_or_1d

from skdeepcluster.metrics.frames import pandas_for


def explain_clusters(X, labels, n_features: int | None = 5):
    r"""Columns that set each cluster apart from all other rows.

    The effect size is Cohen's d of a column, between a cluster's rows and the others:

    .. math::
        d=\frac{\bar x_{\text{in}}-\bar x_{\text{out}}}{s},\qquad
        s^2=\frac{(n_{\text{in}}-1)s_{\text{in}}^2+(n_{\text{out}}-1)s_{\text{out}}^2}
        {n_{\text{in}}+n_{\text{out}}-2}

    Parameters
    ----------
    X : array-like of shape (n_samples, n_columns)
        A table, in its own units; a DataFrame's columns keep their names.
    labels : array-like of shape (n_samples,)
        Clusters, such as ``labels_``.
    n_features : int or None, default=5
        Columns per cluster, those of the largest :math:`|d|`; None: all.

    Returns
    -------
    pandas.DataFrame
        A row per cluster and column, indexed by both: ``effect``, the effect size
        (infinite where a column tells a cluster apart and does not vary otherwise, 0
        where it is constant), ``inside`` and ``outside``, the column's means in the
        cluster and in the other rows, ``share``, the cluster's share of all rows.
        Clusters in their order, columns by :math:`|d|`, the largest first.

    Raises
    ------
    ImportError
        If pandas is not installed (extra ``table``).
    ValueError
        If X is no table of numbers, labels are not as many as rows or all the same, or
        `n_features` is not positive.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skdeepcluster.metrics import explain_clusters
    >>> wine = load_wine(as_frame=True)
    >>> table = explain_clusters(wine.data, wine.target, n_features=1)
    >>> table.index.tolist()
    [(0, 'proline'), (1, 'alcohol'), (2, 'od280/od315_of_diluted_wines')]
    >>> table["effect"].round(1).tolist()
    [3.1, -2.1, -3.0]
    """
    pd = pandas_for("explain_clusters")
    names = getattr(X, "columns", None)
    X = check_array(X, dtype=np.float64)
    labels = column_or_1d(labels)
    check_consistent_length(X, labels)
    if n_features is not None and n_features < 1:
        raise ValueError(f"n_features must be positive or None; got {n_features!r}.")
    clusters = np.unique(labels)
    if len(clusters) < 2:
        raise ValueError("All rows are in one cluster: nothing sets it apart.")
    names = [f"x{i}" for i in range(X.shape[1])] if names is None else list(names)
    tables = []
    for cluster in clusters:
        inside = labels == cluster
        effect, means = _cohens_d(X[inside], X[~inside])
        order = np.argsort(-np.abs(effect), kind="stable")[:n_features]
        index = pd.MultiIndex.from_product(
            [[cluster], [names[i] for i in order]], names=["cluster", "column"]
        )
        columns = {
            "effect": effect[order],
            "inside": means[0][order],
            "outside": means[1][order],
            "share": inside.mean(),
        }
        tables.append(pd.DataFrame(columns, index=index))
    return pd.concat(tables)


def _cohens_d(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Effect sizes of the columns of `a` against `b`, and both means."""
    means = [rows.mean(0) for rows in (a, b)]
    squares = sum(
        np.square(rows - mean).sum(0) for rows, mean in zip((a, b), means, strict=True)
    )
    spread = np.sqrt(squares / max(1, len(a) + len(b) - 2))
    difference = means[0] - means[1]
    # Means of one value differ in the last digit, as sums of other numbers of rows do.
    rounding = 1e-12 * np.abs(means).max(0)
    spread[spread <= rounding] = 0
    with np.errstate(divide="ignore", invalid="ignore"):
        effect = np.where(np.abs(difference) <= rounding, 0.0, difference / spread)
    return effect, means
