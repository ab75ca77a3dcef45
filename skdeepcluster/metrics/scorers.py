"""Scorers for scikit-learn's searches that need no labels.

Each is a callable ``scorer(estimator, X, y=None)``, higher is better, for ``scoring=``
of ``GridSearchCV``, ``cross_validate`` and their like; `y` is ignored. Where clusters
are too few for a score, the worst value is returned, with a warning that says why.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Integral, Real

import numpy as np
from scipy.special import comb
from sklearn.base import clone
from sklearn.metrics import (
    adjusted_rand_score,
    calinski_harabasz_score,
    davies_bouldin_score,
    silhouette_score,
)
from sklearn.metrics.cluster import contingency_matrix
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from skdeepcluster.metrics.internal import cluster_information, too_few_clusters
from skdeepcluster.metrics.spaces import (
    a_part_of,
    indexable,
    neighbour_graph,
    numbers_of,
    reference_space,
    spectral_space,
)

# By name: the index, whatever its direction, then a score of it that rises with
# quality, and its worst value.
_INDICES: dict[str, tuple[Callable, Callable, float]] = {
    "silhouette": (silhouette_score, float, -1.0),
    "calinski_harabasz": (calinski_harabasz_score, float, 0.0),
    "davies_bouldin": (davies_bouldin_score, lambda index: 1 / (1 + index), 0.0),
}
_SPACES = ("reference", "spectral", "input", "embedding")


class InternalScorer:
    """Compactness and separation of the clusters that an estimator predicts.

    Parameters
    ----------
    index : {"silhouette", "calinski_harabasz", "davies_bouldin"}
        Silhouette coefficient, from -1 to 1; Calinski-Harabasz index, from 0 on; of the
        Davies-Bouldin index :math:`DB`, which falls with quality,
        :math:`1/(1+DB)`, from 0 to 1.
    space : {"reference", "spectral", "input", "embedding"}, default="reference"
        Where distances are measured. "reference": at most 50 principal components of
        X, scaled as the estimators scale it ("auto"); the same for every estimator.
        "spectral": 20 leading eigenvectors of the graph of 10 nearest neighbours in the
        reference space, each row scaled to length one: clusters need not be round.
        "input": X as it is. (For all three: if X does not hold finite numbers, what the
        steps of a pipeline make of it; then pipelines with other steps are in another
        space.) "embedding": what ``transform`` gives. Each model has its own, in which
        it looks good: scores in embeddings of different models, also of different
        hyperparameters, are **not comparable**.
    sample_size : int, default=2000
        Rows of X that are looked at, drawn at random, always the same.

    Raises
    ------
    ValueError
        If there is no such index or space, or `sample_size` is not valid.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skdeepcluster.metrics import silhouette_scorer
    >>> from skdeepcluster.model_selection import FullData
    >>> search = GridSearchCV(
    ...     KMeans(random_state=0, n_init=10),
    ...     {"n_clusters": [2, 3, 4]},
    ...     scoring=silhouette_scorer,
    ...     cv=FullData(),
    ... ).fit(load_iris().data)
    >>> search.best_params_
    {'n_clusters': 2}
    """

    def __init__(self, index: str, space: str = "reference", sample_size: int = 2_000):
        self.index = index
        self.space = space
        self.sample_size = sample_size
        if index not in _INDICES:
            raise ValueError(f"index must be one of {[*_INDICES]}; got {index!r}.")
        if space not in _SPACES:
            raise ValueError(f"space must be one of {[*_SPACES]}; got {space!r}.")
        if not isinstance(sample_size, Integral) or sample_size < 2:
            raise ValueError(
                f"sample_size must be an integer from 2 on; got {sample_size!r}."
            )

    def __repr__(self) -> str:
        return (
            f"InternalScorer({self.index!r}, space={self.space!r}, "
            f"sample_size={self.sample_size})"
        )

    def __call__(self, estimator, X, y=None) -> float:
        """Score of a fitted estimator on X."""
        X, labels = a_part_of(X, labels_of(estimator, X), self.sample_size)
        return self.of_labels(self._place(estimator, X), labels)

    def of_labels(self, X: np.ndarray, labels: np.ndarray) -> float:
        """Score of labels, for rows of shape (n_samples, n_dimensions) of a space."""
        index, score, worst = _INDICES[self.index]
        too_few = too_few_clusters(labels)
        if too_few:
            return worst_of(worst, self.index, too_few)
        # The indices do not depend on the unit, but some of their limits do.
        X = (X - X.mean(0)) / (X.std() or 1)
        _, inverse = np.unique(labels, return_inverse=True)
        centres = np.stack([X[inverse == c].mean(0) for c in range(inverse.max() + 1)])
        if np.ptp(centres, axis=0).max() < 1e-6:
            return worst_of(
                worst, self.index, "clusters around one and the same centre"
            )
        if self.index == "calinski_harabasz" and np.allclose(X, centres[inverse]):
            return float(np.finfo(np.float32).max)  # points; scikit-learn has 1
        return score(index(X, labels))

    def _place(self, estimator, X) -> np.ndarray:
        """Return the rows in the space, of shape (n_samples, n_dimensions)."""
        if self.space == "embedding":
            if not hasattr(estimator, "transform"):
                raise TypeError(f"{estimator!r} has no transform, so no embedding.")
            X = estimator.transform(X)
        X = numbers_of(estimator, X)
        if self.space == "reference":
            return reference_space(X)
        if self.space == "spectral":
            return spectral_space(reference_space(X))
        return X.reshape(len(X), -1).astype(np.float64)


class ModularityScorer:
    r"""How much more often near neighbours share a cluster than by chance.

    The modularity [1]_ of the clusters in the graph of nearest neighbours in the
    reference space of :class:`InternalScorer`, which is the same for every estimator:

    .. math:: Q=\sum_c\Big[\frac{w_{cc}}{w}-\Big(\frac{d_c}{w}\Big)^2\Big]

    with :math:`w` twice the number of edges, :math:`w_{cc}` twice those inside a
    cluster, :math:`d_c` the sum of its rows' degrees. From -1/2 to 1. It asks nothing
    of the clusters' form, and of methods with unlike embeddings it judges the labels
    alone. Models of different numbers of clusters can be compared.

    Parameters
    ----------
    n_neighbors : int, default=10
        Neighbours of each row; a row is joined to those that it is one of, too.
    sample_size : int, default=5000
        Rows of X that are looked at, drawn at random, always the same.

    Raises
    ------
    ValueError
        If a parameter is not a positive integer.

    References
    ----------
    .. [1] M. E. J. Newman, "Modularity and community structure in networks", PNAS
       103(23), 2006.
    """

    def __init__(self, n_neighbors: int = 10, sample_size: int = 5_000):
        for name, value in (("n_neighbors", n_neighbors), ("sample_size", sample_size)):
            if not isinstance(value, Integral) or value < 1:
                raise ValueError(f"{name} must be a positive integer; got {value!r}.")
        self.n_neighbors = n_neighbors
        self.sample_size = sample_size

    def __repr__(self) -> str:
        return (
            f"ModularityScorer(n_neighbors={self.n_neighbors}, "
            f"sample_size={self.sample_size})"
        )

    def __call__(self, estimator, X, y=None) -> float:
        """Score of a fitted estimator on X."""
        X, labels = a_part_of(X, labels_of(estimator, X), self.sample_size)
        score = self.of_labels(numbers_of(estimator, X), labels)
        if isinstance(score, str):
            return worst_of(-0.5, "modularity", score)
        return score

    def of_labels(self, X: np.ndarray, labels: np.ndarray) -> float | str:
        """Score of the clusters of rows; or why there is none."""
        X, labels = a_part_of(X, labels, self.sample_size)
        reason = too_few_clusters(labels) or all_alike(X)
        if reason:
            return reason
        Z = reference_space(X)
        return _modularity(neighbour_graph(Z, self.n_neighbors), labels)


def _modularity(graph, labels: np.ndarray) -> float:
    """Newman's Q of a partition of an undirected graph."""
    own = labels[:, None] == np.unique(labels)
    total = graph.sum()
    inside = (own * (graph @ own)).sum()
    degrees = np.asarray(graph.sum(1)).ravel() @ own
    return float(inside / total - np.square(degrees / total).sum())


class StabilityScorer:
    r"""How well clusters survive another draw of the data and of the seed.

    Copies of the estimator, with other seeds, are fitted to random parts of X. With
    "agreement" the score is the mean adjusted Rand index between what the estimator and
    a copy predict for X. With "prediction_strength" the parts are two halves; for each
    cluster :math:`c` that the one copy finds in its half, it is the share of its pairs
    of samples that the other copy puts together too, and the score is the mean, over
    both directions and all repeats, of the lowest of these shares [1]_.

    Costs `n_repeats` fits, or twice as many for "prediction_strength".

    Parameters
    ----------
    kind : {"agreement", "prediction_strength"}, default="agreement"
    n_repeats : int, default=3
    share : float, default=0.8
        Part of X that a copy is fitted to, for "agreement".
    random_state : int, default=0
        Of the parts and of the seeds, the same for every estimator.

    Raises
    ------
    ValueError
        If a parameter is not valid.

    References
    ----------
    .. [1] R. Tibshirani, G. Walther, "Cluster Validation by Prediction Strength",
       Journal of Computational and Graphical Statistics 14, 2005.
    """

    def __init__(self, kind="agreement", n_repeats=3, share=0.8, random_state=0):
        if kind not in ("agreement", "prediction_strength"):
            raise ValueError(
                f"kind must be 'agreement' or 'prediction_strength'; got {kind!r}."
            )
        if not isinstance(n_repeats, Integral) or n_repeats < 1:
            raise ValueError(
                f"n_repeats must be an integer from 1 on; got {n_repeats!r}."
            )
        if not isinstance(share, Real) or not 0 < share <= 1:
            raise ValueError(f"share must be above 0 and at most 1; got {share!r}.")
        if not isinstance(random_state, Integral):
            raise ValueError(f"random_state must be an integer; got {random_state!r}.")
        self.kind = kind
        self.n_repeats = n_repeats
        self.share = share
        self.random_state = random_state

    def __repr__(self) -> str:
        return (
            f"StabilityScorer({self.kind!r}, n_repeats={self.n_repeats}, "
            f"share={self.share}, random_state={self.random_state})"
        )

    def __call__(self, estimator, X, y=None) -> float:
        """Score of a fitted estimator on X."""
        X = indexable(X)
        labels = labels_of(estimator, X)
        agreement = self.kind == "agreement"
        worst = -0.5 if agreement else 0.0
        # One cluster, or a cluster per sample, would be perfectly stable.
        too_few = too_few_clusters(labels)
        if too_few:
            return worst_of(worst, "stability", too_few)
        rng = np.random.RandomState(self.random_state)
        one = self._agreement if agreement else self._strength
        try:
            scores = [one(estimator, X, labels, rng) for _ in range(self.n_repeats)]
        except _CannotFit as error:
            return worst_of(
                worst, "stability", f"a part of X, which is refused: {error}"
            )
        return float(np.mean(scores))

    def _agreement(self, estimator, X, labels, rng):
        rows = rng.permutation(len(labels))[: round(self.share * len(labels))]
        other = _refitted(estimator, _safe_indexing(X, rows), rng)
        if hasattr(other, "predict"):
            return adjusted_rand_score(labels, other.predict(X))
        return adjusted_rand_score(labels[rows], labels_of(other, rows))

    def _strength(self, estimator, X, labels, rng):
        if not hasattr(estimator, "predict"):
            raise TypeError(f"{estimator!r} has no predict, which this score needs.")
        order = rng.permutation(len(labels))
        parts = [_safe_indexing(X, rows) for rows in np.array_split(order, 2)]
        models = [_refitted(estimator, part, rng) for part in parts]
        return np.mean(
            [
                _prediction_strength(own.predict(part), other.predict(part))
                for part, own, other in zip(parts, models, models[::-1], strict=True)
            ]
        )


def _prediction_strength(own, other) -> float:
    """Lowest share, over the own clusters, of pairs that the others hold together."""
    table = contingency_matrix(own, other)
    if min(table.shape) < 2:
        return 0.0  # all in one cluster hold together, which says nothing
    sizes = table.sum(1)
    together, pairs = comb(table, 2).sum(1), comb(sizes, 2)
    shares = together[sizes > 1] / pairs[sizes > 1]
    return float(shares.min()) if len(shares) else 0.0


def information_scorer(estimator, X, y=None) -> float:
    """Mutual information between rows and clusters, in nats, from ``predict_proba``.

    It rises with the number of clusters: compare models of the same number only.

    Parameters
    ----------
    estimator : fitted estimator with ``predict_proba``
    X : array-like, shaped as in its ``fit``
    y : ignored

    Returns
    -------
    float
        Between 0 and the logarithm of the number of clusters; see
        :func:`cluster_information`.

    Raises
    ------
    TypeError
        If the estimator has no ``predict_proba``.
    """
    if not hasattr(estimator, "predict_proba"):
        raise TypeError(f"{estimator!r} has no predict_proba, which this score needs.")
    return cluster_information(estimator.predict_proba(X))


def own_scorer(estimator, X, y=None) -> float:
    """Score of the method itself, ``estimator.score(X)``.

    Parameters
    ----------
    estimator : fitted estimator with ``score``
    X : array-like, shaped as in its ``fit``
    y : ignored

    Returns
    -------
    float

    Raises
    ------
    TypeError
        If the estimator has no ``score``.
    """
    if not hasattr(estimator, "score"):
        raise TypeError(f"{estimator!r} has no score.")
    return float(estimator.score(X))


# -- parts --------------------------------------------------------------------------


def labels_of(estimator, X) -> np.ndarray:
    """Clusters of X by a fitted estimator; of one without ``predict``, those it found.

    Raises
    ------
    TypeError
        If it has neither, or labels of another number of rows. (That as many labels
        are those of X, for an estimator without ``predict``, is taken on trust.)
    """
    if hasattr(estimator, "predict"):
        return np.asarray(estimator.predict(X))
    labels = getattr(last_step(estimator), "labels_", None)
    if labels is None or len(labels) != _num_samples(X):
        raise TypeError(
            f"{estimator!r} has no predict, and no labels_ of this X: score it on the "
            "data that it was fitted to (cv=FullData())."
        )
    return np.asarray(labels)


def last_step(estimator):
    """Return the estimator, or the last step of a pipeline."""
    return estimator[-1] if hasattr(estimator, "steps") else estimator


def _refitted(estimator, X, rng):
    """Copy of the estimator with other seeds, fitted to X."""
    other = clone(estimator)
    seeds = {
        name: int(rng.randint(2**31 - 1))
        for name in sorted(other.get_params())
        if name == "random_state" or name.endswith("__random_state")
    }
    # No user's callbacks: a checkpoint would be that of another fit. Those that
    # scikit-learn sets on an estimator, or on one within it, are cloned with it.
    none = {name: None for name in other.get_params() if name.endswith("callbacks")}
    for part in (other, *other.get_params().values()):
        if hasattr(part, "_skl_callbacks"):
            part.set_callbacks()
    try:
        return other.set_params(**seeds, **none).fit(X)
    except ValueError as error:
        raise _CannotFit(error) from error


class _CannotFit(Exception):
    """A part of the data is refused, such as one with fewer rows than clusters."""


def all_alike(X: np.ndarray) -> str:
    """Say so, if rows do not differ."""
    return "" if (X[0] != X).any() else "rows that are all alike"


def worst_of(value: float, name: str, of: str) -> float:
    """Warn why a score is not defined, and return its worst value."""
    warnings.warn(
        f"{name} is not defined for {of}; its worst value, {value:g}, is returned.",
        UserWarning,
        stacklevel=4,
    )
    return value
