"""Scores that need no labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import entr
from sklearn.metrics import davies_bouldin_score, silhouette_score
from sklearn.utils import check_array, column_or_1d


def cluster_information(probabilities) -> float:
    r"""Mutual information between samples and clusters, in nats.

    .. math:: I(x;c)=H\big(\mathbb E_x p(c\mid x)\big)-\mathbb E_x H\big(p(c\mid x)\big)

    High where every sample has one sure cluster and the clusters are of similar size.

    Parameters
    ----------
    probabilities : array-like of shape (n_samples, n_clusters)
        Rows that sum to one, such as the output of ``predict_proba``.

    Returns
    -------
    float
        Between 0 and ``log(n_clusters)``.

    Raises
    ------
    ValueError
        If an entry is negative or not finite.

    Examples
    --------
    >>> from skdeepcluster.metrics import cluster_information
    >>> round(cluster_information([[1, 0], [0, 1]]), 4)
    0.6931
    """
    p = check_array(
        probabilities, dtype=[np.float64, np.float32], ensure_non_negative=True
    )
    marginal = p.mean(0, dtype=np.float64)
    conditional = entr(p).sum(1).mean(dtype=np.float64)
    return float(entr(marginal).sum() - conditional)


def uniformity_index(labels) -> float:
    r"""How equal the sizes of clusters, or of classes, are (uniformity index, UI).

    The entropy of their proportions :math:`p_1,\dots,p_n`, as a share of the greatest
    that :math:`n` of them can have (Gan et al. 2021, eq. 9):

    .. math:: UI=\frac{-\sum_i p_i\ln p_i}{\ln n}

    Parameters
    ----------
    labels : array-like of shape (n_samples,)
        Clusters or classes; :math:`n` is the number of those that occur.

    Returns
    -------
    float
        Between 0 and 1: 1 if all are of one size, 0 if there is only one of them.

    Raises
    ------
    ValueError
        If there are no labels, or they are not one-dimensional.

    Examples
    --------
    >>> from skdeepcluster.metrics import uniformity_index
    >>> uniformity_index([0, 0, 1, 1])
    1.0
    >>> round(uniformity_index([0, 0, 0, 1]), 3)
    0.811
    """
    _, counts = np.unique(column_or_1d(labels), return_counts=True)
    if len(counts) == 0:
        raise ValueError("uniformity_index needs at least one sample.")
    if len(counts) == 1:
        return 0.0
    return float(entr(counts / counts.sum()).sum() / np.log(len(counts)))


def internal_scores(X, labels, sample_size: int = 2_000) -> dict[str, float]:
    """Silhouette and Davies-Bouldin index in input space, by these names.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    labels : ndarray of shape (n_samples,)
    sample_size : int, default=2000
        Rows that the silhouette, which is quadratic, is computed on.

    Returns
    -------
    dict of str to float
        nan where a score is not defined: for one cluster, or as many as rows (of the
        silhouette, among those that it is computed on).
    """
    shown = np.random.default_rng(0).permutation(len(X))[:sample_size]
    return {
        "silhouette": _where_defined(silhouette_score, X[shown], labels[shown]),
        "Davies-Bouldin": _where_defined(davies_bouldin_score, X, labels),
    }


def _where_defined(score: Callable, X, labels) -> float:
    return float("nan") if too_few_clusters(labels) else float(score(X, labels))


def too_few_clusters(labels: np.ndarray) -> str:
    """Say so, if there is only one cluster, or none has two samples."""
    n_clusters = len(np.unique(labels))
    if 1 < n_clusters < len(labels):
        return ""
    return f"{n_clusters} cluster{'s' * (n_clusters != 1)} of {len(labels)} samples"
