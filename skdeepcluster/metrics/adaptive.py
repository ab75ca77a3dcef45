"""Adaptive clustering evaluation: scores in those spaces that agree with each other."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata, t
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.utils import check_consistent_length

from skdeepcluster.metrics.internal import too_few_clusters
from skdeepcluster.metrics.scorers import (
    InternalScorer,
    all_alike,
    labels_of,
    worst_of,
)
from skdeepcluster.metrics.spaces import (
    a_part_of,
    numbers_of,
    reference_space,
    spectral_space,
)
from skdeepcluster.networks.centers import fit_quietly

_DAMPING = 0.85  # of PageRank
_LEVEL = 0.05  # of the tests of rank correlations in a group, all together
_FEW = 5  # spaces whose scores are not grouped by their size

# Numbers of clusters, and (neighbours, eigenvectors) of spectral spaces, that judge
# where there is only one clustering to judge.
_NUMBERS = (2, 4, 8, 16)
_SPECTRAL = ((10, 10), (10, 20), (20, 20), (40, 10), (40, 20))


def ace_scores(
    labelings: Sequence,
    spaces: Sequence,
    *,
    index: str = "silhouette",
    sample_size: int = 2_000,
) -> np.ndarray:
    r"""Score clusterings in many spaces, and keep the spaces that agree (ACE).

    With the index :math:`\pi(\rho_l\mid Z_m)` of each clustering in each space, spaces
    are grouped by the rank correlation of their scores, then by the scores themselves
    (HDBSCAN; spaces that agree with no other are left out). In a group, PageRank on the
    graph of the significant correlations weighs the spaces; of the weighted means

    .. math:: \pi(\rho_l\mid G)=\sum_{m\in G}w_m\,\pi(\rho_l\mid Z_m)

    those of the group with the highest average are returned [1]_.

    Parameters
    ----------
    labelings : sequence of array-like of shape (n_samples,)
        Clusterings to be ranked.
    spaces : sequence of array-like of shape (n_samples, n_dimensions)
        Such as the embeddings of the models that the clusterings are from.
    index : {"silhouette", "calinski_harabasz", "davies_bouldin"}, default="silhouette"
        See :class:`InternalScorer`.
    sample_size : int, default=2000
        Rows that are looked at, drawn at random, always the same.

    Returns
    -------
    scores : ndarray of shape (n_labelings,)
        Higher is better.

    Raises
    ------
    ValueError
        If there are no clusterings or spaces, or they differ in length.

    Notes
    -----
    **Differs from the paper.** (1) Spaces without several modes are not left out first
    (dip test). (2) Where no two spaces agree, each is a group of its own. (3) With
    fewer than four clusterings rank correlations say nothing: the mean over all spaces
    is returned. Where the paper leaves it open: all spaces may be one group, groups of
    up to five are not divided by the size of their scores, correlations are tested
    within a group (Holm, .05), the damping of PageRank is .85.

    References
    ----------
    .. [1] Z. Wang, C. Ye, "Deep Clustering Evaluation: How to Validate Internal
       Clustering Validation Measures", arXiv:2403.14830, 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from skdeepcluster.metrics import ace_scores
    >>> X = np.r_[0:5, 20:25][:, None] * [1.0, 1.0]
    >>> right, wrong = [0] * 5 + [1] * 5, [0, 1] * 5
    >>> good, bad = ace_scores([right, wrong], [X, X**2])
    >>> bool(good > bad)
    True
    """
    if not len(labelings) or not len(spaces):
        raise ValueError("ace_scores needs at least one clustering and one space.")
    check_consistent_length(*labelings, *spaces)
    scorer = InternalScorer(index, sample_size=sample_size)
    parts = []
    for space in spaces:
        Z = np.asarray(space, dtype=np.float64).reshape(len(space), -1)
        parts.append(a_part_of(Z, np.arange(len(Z)), sample_size))
    drawn = [np.asarray(labels)[parts[0][1]] for labels in labelings]
    scores = _scores(scorer, drawn, [Z for Z, _ in parts])
    return _weights(scores) @ scores


class AdaptiveScorer:
    """Silhouette in the spaces of X that agree with each other (ACE).

    A search scores one model after the other, and a score must not depend on the
    models beside it. So the spaces here are made from X alone: the reference space of
    :class:`InternalScorer` and spectral spaces of several neighbourhoods and numbers of
    eigenvectors. Which of them count, and how much, is found by :func:`ace_scores` from
    k-means clusterings of each. With all models at hand, :func:`ace_scores` judges by
    their own clusterings, in their own embeddings, as published.

    Parameters
    ----------
    sample_size : int, default=1000
        Rows of X that are looked at, drawn at random, always the same.

    Raises
    ------
    ValueError
        If `sample_size` is not valid.
    """

    def __init__(self, sample_size: int = 1_000):
        self.sample_size = sample_size
        self._silhouette()

    def __repr__(self) -> str:
        return f"AdaptiveScorer(sample_size={self.sample_size})"

    def _silhouette(self) -> InternalScorer:
        return InternalScorer("silhouette", sample_size=self.sample_size)

    def __call__(self, estimator, X, y=None) -> float:
        """Score of a fitted estimator on X."""
        X, labels = a_part_of(X, labels_of(estimator, X), self.sample_size)
        numbers = numbers_of(estimator, X)
        reason = too_few_clusters(labels) or all_alike(numbers)
        if reason:
            return worst_of(-1.0, "ace", reason)
        spaces, weights = _judged_spaces(numbers)
        scores = _scores(self._silhouette(), [labels], spaces)[:, 0]
        return float(weights @ scores)


def _spaces(X: np.ndarray) -> list[np.ndarray]:
    """Candidate spaces of X."""
    Z = reference_space(X)
    return [Z, *(spectral_space(Z, *settings) for settings in _SPECTRAL)]


# A search asks for the same spaces with each candidate, split by split.
_judged: dict[str, tuple[list[np.ndarray], np.ndarray]] = {}
_MOST_JUDGED = 16


def _judged_spaces(X: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Spaces of X that count, and their weights."""
    key = hashlib.sha256(X.tobytes() + repr((X.shape, X.dtype)).encode()).hexdigest()
    judged = _judged.get(key)
    if judged is None:
        while len(_judged) >= _MOST_JUDGED:
            _judged.pop(next(iter(_judged)))
        judged = _judged[key] = _judge_spaces(X)
    return judged


def _judge_spaces(X: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    spaces = _spaces(X)
    judges = [
        fit_quietly(KMeans(k, n_init=1, random_state=0), Z).labels_
        for Z in spaces
        for k in _NUMBERS
        if k < len(Z)
    ]
    judges = [labels for labels in judges if not too_few_clusters(labels)]
    if not judges:
        return spaces[:1], np.ones(1)
    scorer = InternalScorer("silhouette", sample_size=max(2, len(X)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about these clusterings
        weights = _weights(_scores(scorer, judges, spaces))
    used = [Z for Z, weight in zip(spaces, weights, strict=True) if weight]
    return used, weights[weights > 0]


def _scores(scorer: InternalScorer, labelings, spaces) -> np.ndarray:
    """Index of each clustering in each space, of shape (n_spaces, n_labelings)."""
    return np.array([[scorer.of_labels(Z, one) for one in labelings] for Z in spaces])


def _weights(scores: np.ndarray) -> np.ndarray:
    """Weights of the spaces, by the scores of clusterings in each of them.

    Parameters
    ----------
    scores : ndarray of shape (n_spaces, n_labelings)

    Returns
    -------
    weights : ndarray of shape (n_spaces,)
        They sum to one.
    """
    n_spaces, n_labelings = scores.shape
    ranking = np.flatnonzero(np.ptp(scores, axis=1) > 0)  # others rank nothing
    if n_labelings < 4 or len(ranking) < 2:
        return np.full(n_spaces, 1 / n_spaces)
    ranks = np.array([rankdata(row) for row in scores[ranking]])
    correlation = np.clip(np.corrcoef(ranks), -1, 1)
    best, best_mean = np.empty(0), -np.inf
    for group in _groups(correlation, scores[ranking]):
        inside = np.ix_(group, group)
        edges = np.where(_significant(correlation[inside], n_labelings), 1.0, 0.0)
        ratings = _pagerank(edges * correlation[inside])
        mean = float(ratings @ scores[ranking[group]].mean(1))
        if mean > best_mean:
            best, best_mean = np.zeros(n_spaces), mean
            best[ranking[group]] = ratings
    return best


def _groups(correlation: np.ndarray, scores: np.ndarray) -> list[np.ndarray]:
    """Spaces whose scores agree in their order and, among these, in their size."""
    if len(scores) == 2 and correlation[0, 1] <= 0:
        return [np.array([0]), np.array([1])]
    first = _dense(1 - correlation, metric="precomputed")
    if (first < 0).all():
        return [np.array([i]) for i in range(len(scores))]
    groups = []
    for label in range(first.max() + 1):
        group = np.flatnonzero(first == label)
        if len(group) <= _FEW:  # as the authors' own programme has it
            groups.append(group)
            continue
        second = _dense(scores[group])
        groups += [group[second == inner] for inner in range(second.max() + 1)]
        groups += [group[[i]] for i in np.flatnonzero(second < 0)]
    return groups


def _dense(X: np.ndarray, **params) -> np.ndarray:
    """Dense groups of two rows or more; -1 for the others."""
    if len(X) < 3:
        return np.zeros(len(X), dtype=int)
    model = HDBSCAN(
        min_cluster_size=2,
        min_samples=2,
        allow_single_cluster=True,
        copy=True,
        **params,
    )
    return model.fit_predict(X)


def _significant(correlation: np.ndarray, n: int) -> np.ndarray:
    """Whether correlations of n ranks are above zero, by Holm's procedure."""
    with np.errstate(divide="ignore"):
        statistic = correlation * np.sqrt((n - 2) / (1 - correlation**2))
    upper = np.triu_indices(len(correlation), 1)
    p = t.sf(statistic[upper], n - 2)
    order = np.argsort(p)
    passed = p[order] <= _LEVEL / (len(p) - np.arange(len(p)))
    above = np.zeros(len(p), dtype=bool)
    above[order] = np.logical_and.accumulate(passed)
    result = np.zeros(correlation.shape, dtype=bool)
    result[upper] = above
    return result | result.T


def _pagerank(edges: np.ndarray) -> np.ndarray:
    """Ratings of the vertices of a graph; they sum to one."""
    n = len(edges)
    sums = edges.sum(1, keepdims=True)
    steps = np.where(sums > 0, edges / np.where(sums > 0, sums, 1), 1 / n)
    ratings = np.linalg.solve(
        np.eye(n) - _DAMPING * steps.T, np.full(n, (1 - _DAMPING) / n)
    )
    return ratings / ratings.sum()
