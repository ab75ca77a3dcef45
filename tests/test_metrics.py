import itertools

import numpy as np
import pytest
from sklearn.metrics import davies_bouldin_score, silhouette_score

from skdeepcluster.metrics import (
    cluster_information,
    clustering_accuracy,
    internal_scores,
    uniformity_index,
)


def brute_force(y, labels):
    """Best accuracy over all one-to-one matchings, tried one by one."""
    classes, clusters = np.unique(y), np.unique(labels)
    width = max(len(classes), len(clusters))
    best = 0
    for matching in itertools.permutations(range(width), len(clusters)):
        meant = {
            c: classes[m]
            for c, m in zip(clusters, matching, strict=True)
            if m < len(classes)
        }
        best = max(
            best, np.mean([meant.get(c) == t for t, c in zip(y, labels, strict=True)])
        )
    return best


@pytest.mark.parametrize(
    "n_classes, n_clusters", [(4, 4), (3, 5), (5, 3), (1, 4), (4, 1)]
)
def test_accuracy_equals_brute_force(n_classes, n_clusters):
    rng = np.random.default_rng(n_classes * 10 + n_clusters)
    for _ in range(10):
        y, labels = rng.integers(n_classes, size=30), rng.integers(n_clusters, size=30)
        assert clustering_accuracy(y, labels) == pytest.approx(brute_force(y, labels))


def test_accuracy_knows_no_names():
    y = np.array(["b", "b", "a", "c"])
    assert clustering_accuracy(y, [-1, -1, 7, 3]) == 1
    assert isinstance(clustering_accuracy(y, [0, 0, 0, 0]), float)


@pytest.mark.parametrize("y, labels", [([0, 1], [0]), ([], []), ([[0, 1]], [[0, 1]])])
def test_accuracy_refuses_what_it_cannot_match(y, labels):
    with pytest.raises(ValueError):
        clustering_accuracy(y, labels)


def test_information_is_that_of_a_hard_clustering():
    labels = np.repeat([0, 1, 2], [10, 20, 30])
    p = np.array([10, 20, 30]) / 60
    expected = -(p * np.log(p)).sum()
    assert cluster_information(np.eye(3)[labels]) == pytest.approx(expected)


def test_information_of_undecided_rows_is_zero():
    assert cluster_information(np.full((5, 4), 0.25)) == pytest.approx(0)
    with pytest.raises(ValueError, match="[Nn]egative"):
        cluster_information([[1.5, -0.5]])


@pytest.mark.parametrize(
    "counts, published",
    [
        ([1500, 1200, 900, 800, 800, 700, 800, 700, 700, 800], 0.985),
        ([1200, 1200, 900, 800, 800, 700, 800, 700, 700, 800], 0.991),
        ([900, 900, 900, 800, 800, 700, 800, 700, 700, 800], 0.998),
        ([800, 800, 800, 800, 800, 700, 800, 700, 700, 800], 0.999),
        ([700] * 10, 1.000),
    ],
)
def test_uniformity_of_the_variants_of_usps(counts, published):
    labels = np.repeat(np.arange(10), counts)
    assert round(uniformity_index(labels), 3) == published


def test_uniformity_of_a_single_class_is_zero():
    assert uniformity_index(["a", "a"]) == 0
    for wrong in ([], [[0, 1]]):
        with pytest.raises(ValueError):
            uniformity_index(wrong)


def test_internal_scores_where_the_sample_has_one_cluster():
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(size=(2_497, 2)), rng.normal(20, 1, (3, 2))]
    labels = np.repeat([0, 1], [2_497, 3])
    rows = np.random.default_rng(0).permutation(2_500)[:500]
    assert len(np.unique(labels[rows])) == 1
    scores = internal_scores(X, labels, sample_size=500)
    assert np.isnan(scores["silhouette"])
    assert scores["Davies-Bouldin"] == davies_bouldin_score(X, labels)
    both = internal_scores(X, labels, sample_size=2_500)
    assert both["silhouette"] == pytest.approx(silhouette_score(X, labels))
    assert np.isnan([*internal_scores(X, np.zeros(2_500)).values()]).all()
