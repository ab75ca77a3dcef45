"""How many clusters a learned code has."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans

from skdeepcluster.metrics.spaces import a_part_of, neighbour_graph
from skdeepcluster.networks.centers import fit_quietly

# Clusters to begin with, at most; rows of each, at least.
_MOST, _LEAST_ROWS = 30, 15


def count_clusters(Z: np.ndarray, seed: int, sample_size: int = 5_000) -> int:
    r"""Over-cluster a code, then merge what near neighbours hold together.

    k-means finds 30 clusters (fewer in less than 450 rows). As long as it raises the
    modularity of the graph of 10 nearest neighbours, the two clusters whose union
    raises it most are merged (Clauset, Newman, Moore 2004):

    .. math:: \Delta Q=2\Big(\frac{w_{ab}}{w}-\frac{d_ad_b}{w^2}\Big)

    Parameters
    ----------
    Z : ndarray of shape (n_samples, n_latent)
    seed : int
        Of k-means.
    sample_size : int, default=5000
        Rows that are looked at, drawn at random.

    Returns
    -------
    int
        From 1 on. One blob without any gaps is cut in several, as its near rows hold
        together more than its far ones.
    """
    Z, _ = a_part_of(Z, np.arange(len(Z)), sample_size)
    k = min(_MOST, max(2, len(Z) // _LEAST_ROWS), len(Z))
    labels = fit_quietly(KMeans(k, n_init=3, random_state=seed), Z).labels_
    own = (labels[:, None] == np.unique(labels)).astype(float)
    return len(merged(own.T @ (neighbour_graph(Z, 10) @ own)))


def merged(edges: np.ndarray) -> np.ndarray:
    """Merge groups of vertices, best first, as long as the modularity rises.

    Parameters
    ----------
    edges : ndarray of shape (n_groups, n_groups)
        Edges between the groups; on the diagonal, twice those within.

    Returns
    -------
    edges : ndarray of shape (n_merged, n_merged)
        Their shares of all edges between the groups that are left.
    """
    edges = edges / edges.sum()
    while len(edges) > 1:
        degrees = edges.sum(1)
        gains = edges - np.outer(degrees, degrees)
        np.fill_diagonal(gains, -np.inf)
        a, b = np.unravel_index(gains.argmax(), gains.shape)
        if gains[a, b] <= 0:
            break
        edges[a] += edges[b]
        edges[:, a] += edges[:, b]
        edges = np.delete(np.delete(edges, b, 0), b, 1)
    return edges
