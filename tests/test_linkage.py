"""Linkage by paths beside a plain reading of its equation."""

import numpy as np
import pytest
from sklearn.datasets import make_moons
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import kneighbors_graph

from skdeepcluster.networks import path_linkage


def affinity(P, a, b):
    """Of two clusters, as boolean masks."""
    return sum(
        (P[np.ix_(c, d)] @ P[np.ix_(d, c)]).sum() / c.sum() ** 2
        for c, d in ((a, b), (b, a))
    )


def plain(X, n_clusters, n_neighbors):
    squares = kneighbors_graph(X, n_neighbors, mode="distance").toarray() ** 2
    is_edge = squares > 0
    scale = squares[is_edge].mean()
    while (W := np.where(is_edge, np.exp(-squares / scale), 0)).max(1).min() < 1e-5:
        scale *= 2
    P = W / (1 + W.sum(1, keepdims=True))
    nearest = np.where(is_edge, squares, np.inf).argmin(1)
    labels = np.arange(len(X))
    for i, j in enumerate(nearest):
        labels[labels == labels[i]] = labels[j]
    while len(names := np.unique(labels)) > n_clusters:
        pairs = [(a, b) for a in names for b in names if a < b]
        of = [affinity(P, labels == a, labels == b) for a, b in pairs]
        a, b = pairs[int(np.argmax(of))]
        labels[labels == b] = a
    return labels


@pytest.mark.parametrize("far", [0, 8])  # for a row so far the scale is doubled
@pytest.mark.parametrize("seed", range(3))
def test_clusters_are_those_of_the_equation(seed, far):
    X = np.random.default_rng(seed).normal(size=(80, 3))
    X[0] += far
    labels = path_linkage(X, 4, n_neighbors=15)
    assert set(labels) == set(range(4))
    assert adjusted_rand_score(labels, plain(X, 4, 15)) == 1


def test_clusters_need_not_be_round():
    X, y = make_moons(400, noise=0.04, random_state=0)
    assert adjusted_rand_score(path_linkage(X, 2, n_neighbors=10), y) == 1


def test_parts_without_an_edge_between_them_are_joined_by_their_means():
    rng = np.random.default_rng(0)
    corners = np.array([[0, 0], [1, 0], [0, 9], [9, 9]]).repeat(30, axis=0)
    X = corners + rng.normal(scale=0.01, size=(120, 2))
    labels = path_linkage(X, 3)
    assert adjusted_rand_score(labels, np.arange(120) // 30 // 2 + (X > 5).all(1)) == 1


@pytest.mark.parametrize("n, n_clusters", [(2, 2), (3, 1), (5, 4)])
def test_few_rows_and_copies(n, n_clusters):
    X = np.random.default_rng(0).normal(size=(n, 2))
    assert len(set(path_linkage(X, n_clusters))) == n_clusters
    labels = path_linkage(np.ones((n, 2)), n_clusters)
    assert labels.shape == (n,) and labels.max() < n_clusters
