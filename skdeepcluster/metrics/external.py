"""Scores against known labels."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.utils import check_consistent_length, column_or_1d


def clustering_accuracy(labels_true, labels_pred) -> float:
    r"""Unsupervised clustering accuracy (ACC).

    The share of samples that are right under the best one-to-one matching of clusters
    to classes, found with the Hungarian algorithm:

    .. math:: \max_m \frac1n\sum_i 1[y_i=m(\hat y_i)]

    There may be more clusters than classes, or fewer: what is left over is matched to
    nothing and counts as wrong.

    Parameters
    ----------
    labels_true : array-like of shape (n_samples,)
        Classes: integers, strings, or anything that can be sorted.
    labels_pred : array-like of shape (n_samples,)
        Clusters.

    Returns
    -------
    float
        Between 0 and 1; 1 is a perfect match. It does not depend on how clusters or
        classes are numbered, nor on which of the two comes first.

    Raises
    ------
    ValueError
        If the two differ in length, are empty, or are not one-dimensional.

    Examples
    --------
    >>> from skdeepcluster.metrics import clustering_accuracy
    >>> clustering_accuracy(["a", "a", "b", "b"], [1, 1, 0, 2])
    0.75
    """
    labels_true = column_or_1d(labels_true)
    labels_pred = column_or_1d(labels_pred)
    check_consistent_length(labels_true, labels_pred)
    if len(labels_true) == 0:
        raise ValueError("clustering_accuracy needs at least one sample.")
    table = contingency_matrix(labels_true, labels_pred)
    return float(table[matching(table)].sum() / np.sum(table))


def matching(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Best one-to-one matching of a table's rows (classes) to columns (clusters)."""
    return linear_sum_assignment(table, maximize=True)


def external_scores(labels_true, labels_pred) -> dict[str, float]:
    """ACC, NMI and ARI of a whole set, by these names.

    Parameters
    ----------
    labels_true, labels_pred : array-like of shape (n_samples,)

    Returns
    -------
    dict of str to float
    """
    return {
        "ACC": clustering_accuracy(labels_true, labels_pred),
        "NMI": float(normalized_mutual_info_score(labels_true, labels_pred)),
        "ARI": float(adjusted_rand_score(labels_true, labels_pred)),
    }
