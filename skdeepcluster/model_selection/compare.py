"""Several estimators beside each other, without labels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.utils import check_consistent_length

from skdeepcluster.metrics import external_scores, get_scorer
from skdeepcluster.metrics.frames import pandas_for
from skdeepcluster.metrics.scorers import labels_of

_COLUMNS = {"rank", "n_clusters", "seconds", "estimator", "ACC", "NMI", "ARI"}


def compare(
    estimators: Mapping | Iterable,
    X,
    y=None,
    *,
    scoring: Iterable[str] | Mapping[str, Callable] = (
        "silhouette",
        "calinski_harabasz",
        "davies_bouldin",
    ),
):
    """Fit estimators to the same data, score them without labels, and rank them.

    Parameters
    ----------
    estimators : dict of str to estimator, or list of estimators
        They are cloned. Those of a list are named by their class, with a number where
        there are several of one.
    X : array-like of shape (n_samples, n_features) or images
    y : array-like of shape (n_samples,), default=None
        Known classes. Columns ACC, NMI and ARI are added; neither scores nor the order
        depend on them.
    scoring : list of str, or dict of str to callable
        Names of :func:`skdeepcluster.metrics.get_scorer`, or own scorers
        ``scorer(estimator, X)``. The default ones measure distances in one space that
        is the same for all estimators.

    Returns
    -------
    pandas.DataFrame
        A row per estimator, the best one first: ``rank`` (mean of its ranks by each
        scorer, 1 is best), the scores, ``n_clusters`` that were found, ``seconds`` of
        the fit, ``estimator``, the fitted one; and the columns of `y`.

    Raises
    ------
    ImportError
        If pandas is not installed (extra ``table``).
    ValueError
        If there are no estimators, there is no scorer of a name, a scorer is named like
        another column, or X and y differ in length.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.mixture import GaussianMixture
    >>> from skdeepcluster.model_selection import compare
    >>> table = compare(
    ...     [KMeans(3, random_state=0), GaussianMixture(3, random_state=0)],
    ...     load_iris().data,
    ... )
    >>> table.index.tolist()
    ['KMeans', 'GaussianMixture']
    """
    pd = pandas_for("compare")
    if isinstance(scoring, str):
        scoring = [scoring]
    if not isinstance(scoring, Mapping):
        scoring = {name: get_scorer(name) for name in scoring}
    if hasattr(estimators, "fit"):
        raise ValueError(
            f"compare takes several estimators, in a list or a dict; got one "
            f"{type(estimators).__name__}."
        )
    named = estimators if isinstance(estimators, Mapping) else _named(estimators)
    if not named or not scoring:
        raise ValueError("compare needs at least one estimator and one scorer.")
    taken = sorted(_COLUMNS & set(scoring))
    if taken:
        raise ValueError(f"{taken} are columns of the result; name scorers otherwise.")
    if y is not None:
        check_consistent_length(X, y)
    rows = []
    for estimator in named.values():
        started = time.perf_counter()
        fitted = clone(estimator).fit(X)
        seconds = time.perf_counter() - started
        labels = labels_of(fitted, X)
        row = {name: float(scorer(fitted, X)) for name, scorer in scoring.items()}
        row |= {"n_clusters": len(np.unique(labels)), "seconds": seconds}
        if y is not None:
            row |= external_scores(y, labels)
        rows.append({**row, "estimator": fitted})
    table = pd.DataFrame(rows, index=list(named))
    # A score that is not a number is worse than any; rounding does not decide.
    ranks = [rankdata(-table[name].fillna(-np.inf).round(9)) for name in scoring]
    table.insert(0, "rank", np.mean(ranks, axis=0))
    return table.sort_values("rank", kind="stable")


def _named(estimators: Iterable) -> dict:
    """Name estimators by their class, and by number where there are several of one."""
    estimators = list(estimators)
    kinds = [type(estimator).__name__ for estimator in estimators]
    return {
        kind if kinds.count(kind) == 1 else f"{kind}-{kinds[:i].count(kind) + 1}": one
        for i, (kind, one) in enumerate(zip(kinds, estimators, strict=True))
    }
