"""DCN; what it shares with the other autoencoders is in test_autoencoders.py."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

from skdeepcluster import DCN
from skdeepcluster.generative import one_hot
from skdeepcluster.networks import RunningCenters
from tests.conftest import QUICK_DEC, started


def test_centres_move_by_the_published_rule():
    """All rows of a batch at once, as one after the other would move them."""
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(300, 4)).astype(np.float32)
    C = RunningCenters(5, 4)
    C.fit(codes)
    kmeans = KMeans(5, n_init=20, random_state=0).fit(codes)
    centers, counts = kmeans.cluster_centers_.astype(float), np.full(5, 100.0)
    for batch in np.split(rng.normal(2, size=(60, 4)).astype(np.float32), 3):
        squares = ((batch[:, None] - centers) ** 2).sum(2)
        nearest = squares.argmin(1)
        for row, c in zip(batch, nearest, strict=True):
            counts[c] += 1
            centers[c] = (1 - 1 / counts[c]) * centers[c] + row / counts[c]
        s = one_hot(C.nearest(torch.from_numpy(batch)), 5)
        assert s.argmax(1).tolist() == nearest.tolist()
        C.move(torch.from_numpy(batch), s)
    np.testing.assert_allclose(C.centers, centers, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(C.counts, counts)
    assert np.linalg.norm(centers - kmeans.cluster_centers_, axis=1).max() > 0.1


def test_the_loss_equals_its_equation(table):
    model = DCN(3, lambda_c=5.0, **QUICK_DEC)
    net, [_, (step, _)] = started(model, table)
    seen = {}
    for name in ("encoder", "decoder"):
        getattr(net, f"{name}_").register_forward_hook(
            lambda _, args, out, name=name: seen.update({name: (args[0], out)})
        )
    centers = net.centers_.centers.double().numpy().copy()
    losses = {k: v.item() for k, v in step(net).items()}
    x, (_, z) = seen["encoder"]
    x, z, x_rec = (a.detach().double().numpy() for a in (x, z, seen["decoder"][1]))
    distance = ((z[:, None] - centers) ** 2).sum(2).min(1).mean()
    rec = ((x - x_rec) ** 2).sum(1).mean()
    assert losses["reconstruction"] == pytest.approx(rec / 6, rel=1e-5)
    assert losses["distance"] == pytest.approx(distance / 6, rel=1e-5)
    assert losses["loss"] == pytest.approx((rec + 5 / 2 * distance) / 6, rel=1e-5)
    assert not np.allclose(net.centers_.centers, centers)


def test_the_code_cannot_shrink(table):
    codes = DCN(3, lambda_c=1e3, **QUICK_DEC).fit_transform(table)
    assert codes.std(0).max() > 0.7
    params = {**QUICK_DEC, "max_epochs": 50, "batch_norm": False}
    free, drawn = (
        DCN(3, lambda_c=weight, **params).fit_transform(table).std()
        for weight in (0, 1e3)
    )
    assert drawn < 0.5 * free


def test_clusters_grow_dense():
    """Distances to the centres, relative to the code's own size."""
    X = load_digits().data[:600]
    params = {**QUICK_DEC, "hidden_layer_sizes": (64,), "n_latent": 10}

    def share(lambda_c):
        model = DCN(10, **{**params, "max_epochs": 40, "lambda_c": lambda_c}).fit(X)
        codes = model.transform(X)
        within = codes - model._embedded_centers[model.labels_]
        return np.square(within).sum() / np.square(codes - codes.mean(0)).sum()

    assert share(4.0) < 0.7 * share(0.0)


def test_probabilities_are_those_of_the_code_in_the_end(table):
    model = DCN(3, **QUICK_DEC).fit(table)
    codes, C = model.transform(table), model._model["centers"]
    squares = ((codes[:, None] - C.centers.numpy()) ** 2).sum(2)
    variance = squares.min(1).mean() / 3
    assert C.variance.item() == pytest.approx(variance, rel=1e-4)


def test_weights_are_automatic_and_checked(table, images):
    for X, weight in ((table, 4), (images, 40)):
        model = DCN(3, **QUICK_DEC)
        started(model, X)
        assert model._lambda_c() == weight
    with pytest.raises(ValueError, match="lambda_c"):
        DCN(3, lambda_c=-1).fit(table)
