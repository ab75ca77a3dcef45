"""Several estimators beside each other, without labels."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.utils import check_consistent_length

from skdeepcluster.metrics import external_scores, get_scorer
from skdeepcluster.metrics.frames import pandas_for
from skdeepcluster.metrics.scorers import labels_of, last_step, own_scorer

_COLUMNS = {"rank", "n_clusters", "seconds", "estimator", "ACC", "NMI", "ARI"}


def compare(
    estimators: Mapping | Iterable,
    X,
    y=None,
    *,
    scoring: Iterable[str] | Mapping[str, Callable] = (
        "modularity",
        "ace",
    ),
):
    """Fit estimators to the same data, score them without labels, and rank them.

    Parameters
    ----------
    estimators : dict of str to estimator, or list of estimators
        They are cloned. Those of a list are named by their class, that of the last step
        for pipelines, with a number where there are several of one.
    X : array-like of shape (n_samples, n_features) or images
    y : array-like of shape (n_samples,), default=None
        Known classes. Columns ACC, NMI and ARI are added; neither scores nor the order
        depend on them.
    scoring : list of str, or dict of str to callable
        Names of :func:`skdeepcluster.metrics.get_scorer`, or own scorers
        ``scorer(estimator, X)``. The default ones look at the labels in spaces that are
        the same for all estimators, and can compare different numbers of clusters; see
        the guide "Choosing without labels" for how well they choose.

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
        If there are no estimators, or none can be fitted, there is no scorer of a name,
        a scorer is named like another column, ``"own"`` is asked of different methods,
        or X and y differ in length.

    Warns
    -----
    FitFailedWarning
        If an estimator could not be fitted: its scores are nan, and it is ranked last.
    UserWarning
        If a scorer is not defined for an estimator: that score is nan, and the last.

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
    scorers = scorers_of(scoring)
    if hasattr(estimators, "fit"):
        raise ValueError(
            f"compare takes several estimators, in a list or a dict; got one "
            f"{type(estimators).__name__}."
        )
    named = estimators if isinstance(estimators, Mapping) else _named(estimators)
    if not named or not scorers:
        raise ValueError("compare needs at least one estimator and one scorer.")
    taken = sorted(_COLUMNS & set(scorers))
    if taken:
        raise ValueError(f"{taken} are columns of the result; name scorers otherwise.")
    kinds = {type(last_step(one)) for one in named.values()}
    if own_scorer in scorers.values() and len(kinds) > 1:
        raise ValueError(
            "Own scores ('own') of different methods are of different quantities and "
            "rank nothing; choose another scorer."
        )
    if y is not None:
        check_consistent_length(X, y)
    rows = {name: _fitted(name, one, X) for name, one in named.items()}
    done = [row for row in rows.values() if row]
    if not done:
        raise ValueError("No estimator could be fitted; see the warnings.")
    for name, scorer in scorers.items():
        for row in done:
            row[name] = _scored(name, scorer, row["estimator"], X)
    for row in done:
        labels = labels_of(row["estimator"], X)
        row["n_clusters"] = len(np.unique(labels))
        row |= {} if y is None else external_scores(y, labels)
    columns = [*scorers, "n_clusters", "seconds"]
    columns += [] if y is None else ["ACC", "NMI", "ARI"]
    table = pd.DataFrame(list(rows.values()), index=list(rows))
    table = table[[*columns, "estimator"]]
    # A score that is not a number is worse than any; rounding does not decide.
    ranks = [rankdata(-table[name].fillna(-np.inf).round(9)) for name in scorers]
    table.insert(0, "rank", np.mean(ranks, axis=0))
    return table.sort_values("rank", kind="stable")


def scorers_of(scoring) -> dict[str, Callable]:
    """Scorers by name, of names, of one scorer, or of a dict of them."""
    if isinstance(scoring, Mapping):
        return dict(scoring)
    if callable(scoring):
        return {"score": scoring}
    given = [scoring] if isinstance(scoring, str) else scoring
    return {
        getattr(one, "__name__", repr(one)) if callable(one) else one: (
            one if callable(one) else get_scorer(one)
        )
        for one in given
    }


def _scored(name: str, scorer: Callable, fitted, X) -> float:
    """Score of a fitted estimator; nan where it lacks what the scorer needs."""
    try:
        return float(scorer(fitted, X))
    except TypeError as error:
        warnings.warn(
            f"{name} is not defined for {type(last_step(fitted)).__name__}, which is "
            f"ranked last by it: {error}",
            UserWarning,
            stacklevel=3,
        )
        return float("nan")


def _fitted(name: str, estimator, X) -> dict:
    """Fit a copy: it, and how long that took; nothing if it cannot be fitted."""
    fitted = clone(estimator)
    started = time.perf_counter()
    try:
        fitted.fit(X)
    except (ValueError, RuntimeError, FloatingPointError) as error:
        warnings.warn(
            f"{name} could not be fitted and is ranked last: {error}",
            FitFailedWarning,
            stacklevel=4,
        )
        return {}
    return {"estimator": fitted, "seconds": time.perf_counter() - started}


def _named(estimators: Iterable) -> dict:
    """Name estimators by their class, and by number where there are several of one."""
    estimators = list(estimators)
    kinds = [type(last_step(estimator)).__name__ for estimator in estimators]
    return {
        kind if kinds.count(kind) == 1 else f"{kind}-{kinds[:i].count(kind) + 1}": one
        for i, (kind, one) in enumerate(zip(kinds, estimators, strict=True))
    }
