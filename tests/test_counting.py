"""n_clusters="auto"."""

import itertools

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from skorch.callbacks import Callback

from skdeepcluster import DCCS, IDEC, SpectralNet
from skdeepcluster.counting import count_clusters, merged
from skdeepcluster.metrics.scorers import _modularity
from skdeepcluster.metrics.spaces import neighbour_graph
from tests.conftest import quick

METHODS = ["ae_kmeans", "dec", "idec", "dcn", "depict", "vade"]


@pytest.mark.parametrize("k", [2, 4, 7])
def test_blobs_are_counted(k):
    X, _ = make_blobs(60 * k, centers=k, n_features=6, random_state=1)
    assert count_clusters(X, seed=0) == k


def test_merges_are_the_best_of_all_pairs():
    """Against the modularity of every union, computed anew from the labels."""
    Z = np.random.default_rng(0).normal(size=(100, 2))
    graph = neighbour_graph(Z, 10)
    labels = KMeans(6, n_init=3, random_state=0).fit_predict(Z)  # 100 // 15
    while True:
        unions = [
            np.where(labels == b, a, labels)
            for a, b in itertools.combinations(np.unique(labels), 2)
        ]
        best = max(unions, key=lambda one: _modularity(graph, one))
        if _modularity(graph, best) <= _modularity(graph, labels):
            break
        labels = best
    assert count_clusters(Z, seed=0) == len(np.unique(labels))


def test_rows_that_repeat_are_one():
    rows = np.eye(5)[np.arange(400) % 5]
    assert count_clusters(rows, seed=0) == 5
    assert count_clusters(np.ones((100, 3)), seed=0) == 1


def test_merged_by_hand():
    """Groups 0 and 1, and 2 and 3, share most edges; what is left is not joined."""
    edges = np.array([[4, 6, 0, 0], [6, 4, 1, 0], [0, 1, 4, 6], [0, 0, 6, 4]])
    np.testing.assert_allclose(merged(edges) * edges.sum(), [[20, 1], [1, 20]])
    # The best first: 1 and 2 by far, then nothing more.
    edges = np.array([[5, 2, 0], [2, 5, 9], [0, 9, 5]])
    np.testing.assert_allclose(merged(edges) * edges.sum(), [[5, 2], [2, 28]])


@pytest.mark.parametrize("method", METHODS)
def test_auto_is_a_fit_with_the_number_that_was_counted(method, blobs):
    auto = quick(method, n_clusters="auto").fit(blobs)
    assert auto.n_clusters == "auto" and 1 < auto.n_clusters_ <= 6
    counted = auto._description["n_clusters"]
    plain = quick(method, n_clusters=counted).fit(blobs)
    np.testing.assert_array_equal(plain.labels_, auto.labels_)
    np.testing.assert_array_equal(plain.transform(blobs), auto.transform(blobs))
    assert clone(auto).n_clusters == "auto"


def test_auto_with_restarts_and_callbacks(blobs):
    phases = []

    class Phases(Callback):
        def on_epoch_end(self, net, **kwargs):
            phases.append(net.phase)

    count = Phases()
    model = quick("idec", n_clusters="auto", n_init=2, consensus=True)
    model.set_params(callbacks=[count]).fit(blobs)
    assert model.n_clusters == "auto" and model.callbacks == [count]
    assert set(phases) == {"pretraining", "clustering"}
    assert phases[0] == "pretraining"  # of the fits, not of what is counted in
    np.testing.assert_array_equal(model.predict(blobs), model.labels_)


def test_a_count_that_fails_leaves_no_half_model(blobs):
    model = quick("idec", n_clusters="auto").fit(blobs)

    def fail(net):
        raise MemoryError

    model._learn_code = fail
    with pytest.raises(MemoryError):
        model.fit(blobs)
    assert model.n_clusters == "auto"
    with pytest.raises(NotFittedError):
        model.predict(blobs)


def test_auto_leaves_things_as_they_were(blobs):
    model = quick("idec", n_clusters="auto").fit(blobs)
    labels = model.labels_
    for wrong in (blobs[:1], np.full((9, 3), np.nan)):
        with pytest.raises(ValueError):
            model.fit(wrong)
        assert model.n_clusters == "auto" and model.labels_ is labels

    def pressed(net):
        raise KeyboardInterrupt

    model._learn_code = pressed
    with pytest.raises(KeyboardInterrupt):
        model.fit(blobs)
    assert model.n_clusters == "auto" and model.labels_ is labels
    np.testing.assert_array_equal(model.predict(blobs), labels)
    for method in (DCCS, SpectralNet):
        with pytest.raises(ValueError, match="'n_clusters' parameter"):
            method("auto").fit(blobs)
    with pytest.raises(ValueError, match="'n_clusters' parameter"):
        IDEC("many").fit(blobs)
