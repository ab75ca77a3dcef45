"""DEPICT; what it shares with the other autoencoders is in test_autoencoders.py."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score
from torch import nn

from skdeepcluster import DEPICT
from skdeepcluster.engine import Draws
from skdeepcluster.metrics import clustering_accuracy
from skdeepcluster.networks import (
    LadderDecoder,
    LadderEncoder,
    LinearAssignment,
    damaged,
    path_linkage,
)
from tests.conftest import QUICK_DEC, started


def numpy(x):
    return x.detach().double().numpy()


@pytest.mark.parametrize("data", ["table", "images"])
def test_the_loss_equals_its_equation(data, request):
    X = request.getfixturevalue(data)
    model = DEPICT(3, layer_weight=0.3, **{**QUICK_DEC, "hidden_layer_sizes": (9, 8)})
    net, [_, _, (step, _)] = started(model, X)
    E, D, C = [], [], []
    for calls, name in ((E, "encoder"), (D, "decoder"), (C, "centers")):
        getattr(net, f"{name}_").register_forward_hook(
            lambda _, args, out, calls=calls: calls.append((args, out))
        )
    target = torch.rand(len(X), 3).softmax(1)
    losses = {k: v.item() for k, v in step.func(net, target).items()}
    # The clean encoder first, then the damaged one, whose code is read by both.
    [((x,), (clean, z_clean)), ((again, masks), (_, z))] = E
    assert torch.equal(x, again) and not torch.allclose(z, z_clean)
    assert torch.equal(D[0][0][0], z) and torch.equal(C[0][0][0], z)
    image, *layers = (numpy(part) for part in D[0][1])
    assert image.shape == x.shape and len(layers) == len(clean) == 2
    rec = np.mean((numpy(x) - image) ** 2)
    for its, layer in zip(layers, clean, strict=True):
        assert its.shape == layer.shape
        rec += 0.3 * np.mean((its - numpy(layer)) ** 2)
    q = numpy(net.batches.of_batch(target))
    cross = -np.mean(np.sum(q * log_softmax(numpy(C[0][1]), axis=1), axis=1))
    assert losses["reconstruction"] == pytest.approx(rec, rel=1e-5)
    assert losses["cross_entropy"] == pytest.approx(cross, rel=1e-5)
    assert losses["loss"] == pytest.approx(rec + cross, rel=1e-5)
    shapes = [x.shape[:1] + shape for shape in net.encoder_.shapes]
    assert [mask.shape for mask in masks] == shapes
    assert all((mask == 0).any() for mask in masks)
    assert not any(layer.requires_grad for layer in clean)


def test_dropout_keeps_the_mean():
    draws = Draws.seeded(0, torch.device("cpu"))
    masks = damaged([(30,), (4, 5, 6)], 500, 0.2, draws)
    assert [mask.shape for mask in masks] == [(500, 30), (500, 4, 5, 6)]
    for mask in masks:
        assert set(mask.unique().tolist()) == {0.0, 1.25}
        assert mask.mean().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("side", [4, 5, 8, 16, 28, 31, 32, 96])
def test_any_image_is_reconstructed_in_its_own_size(side):
    shape = (1, side, side + 1)
    E = LadderEncoder(shape, None, 7)
    D = LadderDecoder(E.shapes, 7, shape, bounded=True)
    x = torch.zeros(2, *shape)
    hidden, code = E(x)
    image, *layers = D(code)
    assert code.shape == (2, 7) and image.shape == x.shape
    assert [a.shape for a in layers] == [a.shape for a in hidden]
    if side == 28:  # as published
        assert E.shapes[1:] == [(50, 13, 13), (50, 7, 7)]


def test_without_hidden_layers_the_reconstruction_is_linear():
    E = LadderEncoder((5,), (), 2)
    D = LadderDecoder(E.shapes, 2, (5,), bounded=False)
    code = torch.randn(4, 2)
    (none,), (one,), (two,) = D(0 * code), D(code), D(2 * code)
    torch.testing.assert_close(two - one, one - none)
    D.begin_at(torch.full((5,), -3.0))
    torch.testing.assert_close(D(0 * code)[0], torch.full((4, 5), -3.0))


def test_the_softmax_begins_at_the_nearest_centres():
    codes = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    C = LinearAssignment(5, 4)
    labels = C.fit(codes)
    assert C(torch.from_numpy(codes)).argmax(1).tolist() == labels.tolist()


def test_the_softmax_is_taught_the_clusters_of_k_means(table):
    model = DEPICT(3, **QUICK_DEC | {"max_epochs": 20})
    net, [(pretrain, _), (step, plan), (_, main)] = started(model, table)
    assert plan["phase"] == "softmax"
    assert (plan["n_steps"], main["n_steps"]) == (24, 240)  # 12 a pass
    target = step.keywords["target"].numpy()
    assert target.shape == (200, 3) and set(np.unique(target)) == {0, 1}
    # Before that, the autoencoder learns to reconstruct all its layers.
    reconstruct, seen = model._reconstruct, []
    model._reconstruct = lambda *args: seen.append(reconstruct(*args)) or seen[-1]
    assert pretrain(net)["loss"] == seen[0][0]


def test_it_may_be_taught_those_of_an_agglomeration(table):
    model = DEPICT(3, init="agglomerative", **QUICK_DEC)
    net, [_, (step, _), _] = started(model, table)
    expected = path_linkage(model._codes(net).numpy(), 3)
    target = step.keywords["target"].numpy().argmax(1)
    np.testing.assert_array_equal(target, expected)
    kmeans = DEPICT(3, **QUICK_DEC).fit(table).labels_
    assert adjusted_rand_score(model.fit(table).labels_, kmeans) < 1


def test_a_softmax_on_codes_that_are_few_points_can_still_be_trained():
    codes = np.repeat(np.random.default_rng(0).normal(size=(5, 4)), 20, axis=0)
    C = LinearAssignment(5, 4)
    C.fit(codes.astype(np.float32))
    assert C.linear.weight.abs().max() < 1e4


def test_an_own_encoder(images):
    own = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU())
    model = DEPICT(3, encoder=own, **QUICK_DEC).fit(images)
    code = model.transform(images)
    assert code.shape == (60, 3) and abs(code).max() <= 1


def test_finds_digits():
    X, y = load_digits(return_X_y=True)
    params = {"hidden_layer_sizes": (200, 200), "pretrain_max_epochs": 60}
    model = DEPICT(10, **params, max_epochs=60, random_state=0).fit(X)
    kmeans = KMeans(10, n_init=10, random_state=0).fit(X)
    least = clustering_accuracy(y, kmeans.labels_)
    assert clustering_accuracy(y, model.labels_) > least


@pytest.mark.parametrize("convolutional", [True, False])
def test_a_black_border_does_not_saturate_the_code(convolutional):
    """What all images share must not drive it into the ends of tanh."""
    images = np.zeros((200, 28, 28), dtype=np.uint8)
    images[:, 6:22, 6:22] = load_digits().images[:200].repeat(2, 1).repeat(2, 2) * 15
    params = {"pretrain_max_epochs": 30, "max_epochs": 1, "random_state": 0}
    model = DEPICT(10, convolutional=convolutional, **params).fit(images)
    codes = model.transform(images)
    assert codes.std(0).mean() > 0.05


def test_images_in_colour_and_without_hidden_layers(images):
    params = {**QUICK_DEC, "hidden_layer_sizes": (), "convolutional": False}
    for X in (images, np.stack([images, images // 2, images], axis=3)):
        assert DEPICT(3, **params).fit(X).labels_.shape == (60,)
