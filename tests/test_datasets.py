import numpy as np
import pytest
from sklearn.cluster import KMeans

from skdeepcluster.datasets import (
    make_arcs,
    make_ring_of_gaussians,
    mark_first_pixel,
    retention_rates,
    take_per_class,
)
from skdeepcluster.metrics import clustering_accuracy

USPS = np.repeat(
    np.arange(10), [1553, 1269, 929, 824, 852, 716, 834, 792, 708, 821]
)  # as they are in train and test together


def test_ring_is_that_of_the_paper():
    X, y = make_ring_of_gaussians(random_state=0)
    assert X.shape == (10_000, 2)
    assert np.bincount(y).tolist() == [1250] * 8
    r = 1.414
    stated = [(r, 0), (1, 1), (0, r), (-1, 1), (-r, 0), (-1, -1), (0, -r), (1, -1)]
    within = np.array([X[y == k] for k in range(8)])
    np.testing.assert_allclose(within.mean(1), stated, atol=0.002)
    np.testing.assert_allclose(within.std(1), 0.014, rtol=0.1)


def test_ring_in_another_size():
    X, y = make_ring_of_gaussians(7, n_clusters=3, radius=5, std=0, random_state=0)
    assert sorted(np.bincount(y)) == [2, 2, 3]
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), 5)


def test_arcs_lie_on_their_circles():
    X, y = make_arcs(noise=0, random_state=0)
    assert X.shape == (10_000, 2) and np.bincount(y).tolist() == [2_000] * 5
    angle = 2 * np.pi * np.arange(5) / 5
    centers = np.column_stack([np.cos(angle), np.sin(angle)])
    np.testing.assert_allclose(np.linalg.norm(X - centers[y], axis=1), 1)
    noisy, _ = make_arcs(noise=0.1, random_state=0)
    off = np.linalg.norm(noisy - centers[y], axis=1) - 1
    assert off.std() == pytest.approx(0.1, rel=0.05)


def test_kmeans_cuts_the_arcs():
    X, y = make_arcs(2_000, random_state=0)
    labels = KMeans(5, n_init=3, random_state=0).fit_predict(X)
    assert clustering_accuracy(y, labels) < 0.8


@pytest.mark.parametrize("make", [make_ring_of_gaussians, make_arcs])
def test_points_depend_on_the_seed_alone(make):
    first, again, other = (make(50, random_state=s)[0] for s in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.parametrize(
    "make, wrong",
    [
        (make_ring_of_gaussians, {"n_samples": 0}),
        (make_ring_of_gaussians, {"std": -1.0}),
        (make_ring_of_gaussians, {"random_state": "a"}),
        (make_arcs, {"n_clusters": 0}),
        (make_arcs, {"noise": -0.1}),
    ],
)
def test_points_need_valid_parameters(make, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make(**wrong)


def test_marks_of_bytes_are_the_papers_shares():
    images = np.random.default_rng(0).integers(0, 256, (3_000, 5, 4), dtype=np.uint8)
    before = images.copy()
    marked, marks = mark_first_pixel(images, random_state=0)
    assert np.array_equal(images, before) and marked.dtype == np.uint8
    np.testing.assert_array_equal(marked[:, 0, 0], np.array([26, 128, 230])[marks])
    assert np.array_equal(
        marked.reshape(3_000, -1)[:, 1:], before.reshape(-1, 20)[:, 1:]
    )
    # Equally likely: 1,000 each, standard deviation 26.
    assert abs(np.bincount(marks, minlength=3) - 1_000).max() < 130


@pytest.mark.parametrize("shape", [(40, 6), (40, 2, 3), (40, 2, 3, 3)])
def test_marks_of_any_form_of_image(shape):
    images = np.random.default_rng(0).uniform(-1, 1, shape)
    images.reshape(-1)[[5, 7]] = -1, 1
    marked, marks = mark_first_pixel(images, (0.25, 1.0), random_state=0)
    first = marked[:, 0] if len(shape) == 2 else marked[:, 0, 0].reshape(40, -1)[:, 0]
    np.testing.assert_allclose(first, np.array([-0.5, 1.0])[marks])
    n_changed = (marked != images).sum()
    assert n_changed == 40 * (3 if len(shape) == 4 else 1)


@pytest.mark.parametrize(
    "images, values", [(np.zeros((4, 2, 2)), (0.1, 1.5)), (np.zeros(4), (0.1,))]
)
def test_marks_refuse_what_is_no_image_or_share(images, values):
    with pytest.raises(ValueError):
        mark_first_pixel(images, values)


@pytest.mark.parametrize(
    "cap, counts",
    [
        (1500, [1500, 1200, 900, 800, 800, 700, 800, 700, 700, 800]),
        (900, [900, 900, 900, 800, 800, 700, 800, 700, 700, 800]),
        (700, [700] * 10),
    ],
)
def test_counts_per_class_make_the_variants_of_usps(cap, counts):
    sizes = {k: min(cap, n // 100 * 100) for k, n in enumerate(np.bincount(USPS))}
    rows = take_per_class(USPS, sizes, random_state=0)
    assert np.bincount(USPS[rows]).tolist() == counts
    assert (np.diff(rows) > 0).all()


def test_an_integer_is_for_all_classes():
    rows = take_per_class(USPS, 700, random_state=0)
    assert np.bincount(USPS[rows]).tolist() == [700] * 10


def test_shares_keep_other_classes_whole():
    y = np.repeat(["a", "b", "c"], 100)
    rows = take_per_class(y, {"a": 0.1, "c": np.float32(0.5)}, random_state=0)
    names, counts = np.unique(y[rows], return_counts=True)
    assert names.tolist() == ["a", "b", "c"] and counts.tolist() == [10, 100, 50]
    other = take_per_class(y, {"a": 0.1, "c": 0.5}, random_state=1)
    assert not np.array_equal(rows, other)


def test_retention_rises_to_one():
    rates = retention_rates(USPS, 0.1)
    np.testing.assert_allclose(list(rates.values()), np.arange(1, 11) / 10)
    y = np.repeat(np.arange(10), 1_000)
    counts = np.bincount(y[take_per_class(y, rates, random_state=0)])
    assert counts.tolist() == list(range(100, 1_001, 100))


@pytest.mark.parametrize(
    "sizes, message",
    [
        ({7: 0.5}, "does not have"),
        ({0: 11}, "it has 10"),
        ({0: 1.5}, "share"),
        ({0: True}, "share"),
    ],
)
def test_sizes_that_a_class_cannot_have(sizes, message):
    with pytest.raises(ValueError, match=message):
        take_per_class(np.repeat([0, 1], 10), sizes)


def test_retention_is_a_share():
    with pytest.raises(ValueError, match="r_min"):
        retention_rates([0, 1], 1.2)
