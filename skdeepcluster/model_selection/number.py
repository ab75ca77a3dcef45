"""How many clusters there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from numbers import Integral

from sklearn.base import clone

from skdeepcluster.model_selection.compare import compare


def estimate_n_clusters(
    estimator,
    X,
    n_clusters: Iterable[int] = range(2, 11),
    *,
    scoring: Iterable[str] | Mapping[str, Callable] = (
        "modularity",
        "ace",
    ),
):
    """Fit with several numbers of clusters, and rank them without labels.

    Parameters
    ----------
    estimator : estimator
        It is cloned. Of a pipeline the last step's number is set.
    X : array-like of shape (n_samples, n_features) or images
    n_clusters : iterable of int, default=range(2, 11)
        Numbers to try.
    scoring : list of str, or dict of str to callable
        As for :func:`compare`.

    Returns
    -------
    pandas.DataFrame
        A row per number, in their order, indexed by it: ``rank`` (mean of its ranks by
        each scorer; the lowest is best), the scores, ``n_clusters`` that were found,
        ``seconds``, ``estimator``, the fitted one. ``table["rank"].idxmin()`` is the
        estimate, the first number where two are equal.
        :class:`skdeepcluster.plotting.NumberOfClustersDisplay` draws it.

    Raises
    ------
    ImportError
        If pandas is not installed (extra ``table``).
    ValueError
        If the estimator has no `n_clusters`, or the numbers are none, not different, or
        not integers from 2 on.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster.model_selection import estimate_n_clusters
    >>> X, _ = make_blobs(150, centers=4, cluster_std=0.5, random_state=0)
    >>> table = estimate_n_clusters(KMeans(random_state=0), X, range(2, 7))
    >>> int(table["rank"].idxmin())
    4
    """
    if isinstance(estimator, type):
        raise ValueError(f"estimator must be an instance: {estimator.__name__}(...).")
    numbers = [n_clusters] if isinstance(n_clusters, Integral) else list(n_clusters)
    whole = all(isinstance(k, Integral) and not isinstance(k, bool) for k in numbers)
    if not numbers or not whole or min(numbers) < 2 or len(set(numbers)) < len(numbers):
        raise ValueError(
            f"n_clusters must be different integers from 2 on; got {numbers!r}."
        )
    parameter = _parameter(estimator)
    models = {k: clone(estimator).set_params(**{parameter: k}) for k in numbers}
    table = compare(models, X, scoring=scoring).loc[numbers]
    table.index.name = "n_clusters_asked"
    return table


def _parameter(estimator) -> str:
    """Name of the parameter, also of a pipeline's last step."""
    steps = getattr(estimator, "steps", None)
    prefix = f"{steps[-1][0]}__" if steps else ""
    name = f"{prefix}n_clusters"
    if name not in estimator.get_params():
        raise ValueError(f"{type(estimator).__name__} has no parameter {name!r}.")
    return name
