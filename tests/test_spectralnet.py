"""SpectralNet: its graph, its losses, its orthogonal outputs, what it can cluster."""

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_blobs, make_circles, make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from torch import nn

from skdeepcluster import SpectralNet
from skdeepcluster.engine import ResumableCheckpoint, TimeLimit
from skdeepcluster.losses import (
    contrastive,
    laplacian_form,
    laplacian_residual,
    neighbour_affinity,
)
from skdeepcluster.networks import Orthogonalisation
from tests.conftest import QUICK_SPECTRAL, started

QUICK = SpectralNet(3, **QUICK_SPECTRAL)


def affinity(X, k, s):
    """W in float64, as the equation reads."""
    distances = np.linalg.norm(X[:, None] - X, axis=2)
    np.fill_diagonal(distances, np.inf)
    order = np.argsort(distances, axis=1)
    scale = np.sort(np.sort(distances, axis=1)[:, s - 1])[(len(X) - 1) // 2]
    A = np.zeros((len(X), len(X)))
    for i in range(len(X)):
        for j in order[i, :k]:
            A[i, j] = np.exp(-(distances[i, j] ** 2) / (2 * scale**2))
    return (A + A.T) / 2


def laplacian(W):
    return np.diag(W.sum(1)) - W


def orthonormal(rng, n, k):
    return np.linalg.qr(rng.normal(size=(n, k)))[0] * np.sqrt(n)


# -- equations ------------------------------------------------------------------------


@pytest.mark.parametrize("k, s", [(3, 2), (2, 5), (40, 40)])
def test_affinities_equal_their_equation(k, s):
    X = np.random.default_rng(0).normal(size=(20, 4))
    W = neighbour_affinity(torch.from_numpy(X), k, s).numpy()
    np.testing.assert_allclose(W, affinity(X, min(k, 19), min(s, 19)), rtol=1e-6)
    np.testing.assert_array_equal(W, W.T)
    assert (np.diag(W) == 0).all()


def test_affinities_have_no_unit_and_survive_copies():
    X = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    W = neighbour_affinity(X, 3, 2)
    torch.testing.assert_close(neighbour_affinity(1e3 * X, 3, 2), W)
    same = neighbour_affinity(torch.ones(6, 3), 2, 2)
    assert torch.equal(same.sum(), torch.tensor(12.0))  # all as near as can be
    mostly = torch.cat([torch.zeros(9, 3), torch.ones(1, 3)])
    assert neighbour_affinity(mostly, 2, 2)[-1].sum() == 0


def test_the_loss_equals_its_equation():
    rng = np.random.default_rng(0)
    W, Y = affinity(rng.normal(size=(15, 2)), 4, 2), rng.normal(size=(15, 3))
    expected = sum(
        W[i, j] * ((Y[i] - Y[j]) ** 2).sum() for i in range(15) for j in range(15)
    ) / (2 * 15)
    args = torch.from_numpy(W), torch.from_numpy(Y)
    np.testing.assert_allclose(laplacian_form(*args).item(), expected)
    L = laplacian(W)
    expected = (L @ Y - Y @ (Y.T @ L @ Y) / 15) / 15
    np.testing.assert_allclose(laplacian_residual(*args).numpy(), expected)


def test_the_residual_is_the_slope_that_keeps_the_constraint():
    """Through the orthogonalisation of the same rows, by autograd."""
    rng = np.random.default_rng(0)
    W = torch.from_numpy(affinity(rng.normal(size=(15, 2)), 4, 2))
    Y = torch.from_numpy(orthonormal(rng, 15, 3)).requires_grad_()
    R = torch.linalg.cholesky(Y.T @ Y / 15, upper=True)
    laplacian_form(
        W, torch.linalg.solve_triangular(R, Y, upper=True, left=False)
    ).backward()
    torch.testing.assert_close(2 * laplacian_residual(W, Y.detach()), Y.grad)


def test_bottom_eigenvectors_have_the_least_loss_and_no_residual():
    rng = np.random.default_rng(0)
    W = affinity(rng.normal(size=(30, 2)), 5, 3)
    values, vectors = np.linalg.eigh(laplacian(W))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    best = torch.from_numpy(vectors[:, :3] @ turn * np.sqrt(30))
    W = torch.from_numpy(W)
    np.testing.assert_allclose(laplacian_form(W, best).item(), values[:3].sum())
    assert laplacian_residual(W, best).abs().max() < 1e-12
    for _ in range(20):
        other = torch.from_numpy(orthonormal(rng, 30, 3))
        assert laplacian_form(W, other) > values[:3].sum()


def test_contrastive_loss_equals_its_equation():
    near, far = np.array([0.5, 2.0]), np.array([0.25, 4.0])
    expected = (near.mean() + np.mean([(1 - 0.5) ** 2, 0])) / 2
    got = contrastive(torch.from_numpy(near), torch.from_numpy(far))
    np.testing.assert_allclose(got.item(), expected)
    far = torch.zeros(2, requires_grad=True)
    contrastive(far, far, margin=2.0).backward()
    assert far.grad.isfinite().all()


def test_outputs_become_orthonormal_as_by_qr():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(50, 4)) @ rng.normal(size=(4, 4)) + 2
    O = Orthogonalisation(4)  # noqa: E741
    y = torch.from_numpy(y.astype(np.float32))
    torch.testing.assert_close(O.orthonormal(y), y)
    O.fit(y)
    Q, R = np.linalg.qr(y.numpy().astype(float))
    Y = O.orthonormal(y)
    np.testing.assert_allclose(Y, Q * np.sign(np.diag(R)) * np.sqrt(50), atol=1e-4)
    torch.testing.assert_close(O.back(Y), y, rtol=1e-4, atol=1e-4)
    O.forget()
    torch.testing.assert_close(O.orthonormal(y), y)


@pytest.mark.parametrize("spread", [1e-3, 1e-6, 0.0])
def test_nearly_collinear_outputs(spread):
    """As those of a fresh network may be; with no spread at all they stay small."""
    rng = np.random.default_rng(0)
    y = torch.from_numpy(1 + spread * rng.normal(size=(200, 5))).float()
    O = Orthogonalisation(5)  # noqa: E741
    O.fit(y)
    Y = O.orthonormal(y)
    assert Y.isfinite().all()
    gram = (Y.T @ Y / 200).numpy()
    if spread == 1e-3:
        np.testing.assert_allclose(gram, np.eye(5), atol=1e-3)
    assert np.diag(gram).max() < 1.01
    O.fit(torch.zeros(9, 5))
    assert O.inverse.isfinite().all() and (O.orthonormal(torch.zeros(9, 5)) == 0).all()


# -- algorithm ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "optimizer, given, rate",
    [
        ("adam", "auto", 1e-3),
        ("adam", 5e-4, 5e-4),
        ("sgd", "auto", 1e-3),
        ("sgd", 1, 1e-3),
    ],
)
def test_the_siamese_network_has_a_step_size_of_adam(optimizer, given, rate, images):
    params = {"pretrain_optimizer": optimizer, "pretrain_learning_rate": given}
    net, _ = started(SpectralNet(3, **{**QUICK_SPECTRAL, **params}), images)
    assert net.siamese_optimizer_.param_groups[0]["lr"] == rate
    assert type(net.autoencoder_optimizer_).__name__.lower() == optimizer


def test_pairs_of_the_siamese_network(table):
    net, phases = started(clone(QUICK).set_params(siamese=True), table)
    assert [plan["phase"] for _, plan in phases] == ["siamese", "spectral"]
    rows, neighbours = phases[0][0].keywords.values()
    distances = torch.cdist(rows.double(), rows.double()).numpy()
    expected = np.argsort(distances, axis=1)[:, 1:3]
    np.testing.assert_array_equal(neighbours.numpy(), expected)
    assert len(rows) == len(table)
    seen = []
    net.siamese_.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    net.batches.resize(QUICK.pretrain_batch_size)  # as it is in that phase
    phases[0][0](net)
    i, j, other = (
        torch.cdist(part, rows).argmin(1).numpy() for part in seen[0].chunk(3)
    )
    assert len(i) == QUICK.pretrain_batch_size
    assert all(b in expected[a] for a, b in zip(i, j, strict=True))
    assert (i != other).all() and len(set(other)) > 10


def test_pairs_of_tight_clusters_far_apart():
    rng = np.random.default_rng(0)
    X = rng.normal(scale=1e-3, size=(60, 3)) + 10 * np.eye(3).repeat(20, axis=0)
    _, phases = started(clone(QUICK).set_params(siamese=True), X.astype(np.float32))
    rows, neighbours = phases[0][0].keywords.values()
    distances = torch.cdist(rows.double(), rows.double()).numpy()
    expected = np.argsort(distances, axis=1)[:, 1:3]
    np.testing.assert_array_equal(neighbours.numpy(), expected)


def test_a_row_is_no_pair_of_itself_among_copies(table):
    X = table[:40].repeat(5, axis=0)
    _, phases = started(clone(QUICK).set_params(siamese=True), X)
    rows, neighbours = phases[0][0].keywords.values()
    assert (neighbours != torch.arange(200)[:, None]).all()
    assert rows[neighbours].equal(rows[:, None].expand(-1, 2, -1))


def test_neighbours_are_those_of_the_code(images):
    net, phases = started(QUICK, images)
    names = [plan["phase"] for _, plan in phases]
    assert names == ["pretraining", "siamese", "spectral"]
    codes = net_codes(net)
    torch.testing.assert_close(phases[2][0].keywords["codes"], codes)
    with torch.no_grad():
        places = net.siamese_(codes)[1]
    torch.testing.assert_close(phases[2][0].keywords["places"], places)
    torch.testing.assert_close(
        phases[1][0].keywords["rows"].sort(0)[0], codes.sort(0)[0]
    )


@torch.no_grad()
def net_codes(net):
    codes = net.encoder_(torch.cat(list(net.batches.in_order(1_000))))[1]
    return (codes - codes.mean(0)) / codes.var(0, correction=0).mean().sqrt()


def test_a_step_is_subspace_iteration(table):
    """Outputs move along -(L Y - Y Lambda) R, from the batch that R is not of."""
    net, phases = started(QUICK, table)
    drawn, passed = [], []
    draw, descend = net.draw, net.descend
    net.draw = lambda: drawn.append(draw()) or drawn[-1]
    net.map_.register_forward_hook(lambda _, args, out: passed.append(out[1]))

    def watched(name, loss):
        (slope,) = torch.autograd.grad(loss, passed[1], retain_graph=True)
        passed.append(slope)
        return descend(name, loss)

    net.descend = watched
    got = phases[-1][0](net)["loss"].item()
    assert len(drawn) == 2 and not torch.equal(*drawn)
    first, second, slope = (p.detach().double().numpy() for p in passed)
    R = np.linalg.cholesky(first.T @ first / 32).T
    Y, W = second @ np.linalg.inv(R), affinity(drawn[1].double().numpy(), 10, 5)
    L = laplacian(W)
    np.testing.assert_allclose(got, np.trace(Y.T @ L @ Y) / 32, rtol=1e-3)
    expected = (L @ Y - Y @ (Y.T @ L @ Y) / 32) @ R / 32
    np.testing.assert_allclose(slope, expected, atol=1e-3 * abs(expected).max())


@pytest.mark.parametrize("n_clusters", [1, 2, 5])
def test_outputs_of_the_training_data_are_orthonormal(n_clusters, table):
    Y = clone(QUICK).set_params(n_clusters=n_clusters).fit(table).transform(table)
    assert Y.shape == (200, n_clusters)
    gram = Y.T.astype(float) @ Y / 200
    np.testing.assert_allclose(gram, np.eye(n_clusters), atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_outputs_span_the_bottom_eigenvectors(seed):
    """Principal angles in degrees, and the loss over the sum of the eigenvalues."""
    X, _ = make_blobs(200, centers=[[-3, 0], [0, 0], [3, 0]], random_state=seed)
    X = ((X - X.mean(0)) / X.std(0)).astype(np.float32)
    params = {"hidden_layer_sizes": (64, 64), "scale": None, "tol": 0}
    params |= {"learning_rate": 3e-3, "random_state": seed}
    W = affinity(X.astype(float), 10, 5)
    values, vectors = np.linalg.eigh(laplacian(W))
    ends = []
    for n_steps in (1, 1_000):
        model = SpectralNet(3, max_epochs=n_steps, **params).fit(X)
        Y = model.transform(X).astype(float)
        angle = np.degrees(subspace_angles(Y, vectors[:, :3])).max()
        form = np.trace(Y.T @ laplacian(W) @ Y) / 200
        ends.append((angle, form / values[:3].sum()))
    assert ends[0][0] > 50 and ends[0][1] > 2
    assert ends[1][0] < 20 and ends[1][1] < 1.25


def test_predictions_are_the_nearest_centres(table):
    model = clone(QUICK).fit(table)
    np.testing.assert_array_equal(model.predict(table), model.labels_)
    new = np.random.default_rng(1).normal(size=(50, 6)).astype(np.float32)
    before = weights_of(model)
    Y = model.transform(table)
    kmeans = KMeans(3, n_init=20, random_state=0).fit(Y)
    expected = kmeans.predict(model.transform(new))
    assert adjusted_rand_score(expected, model.predict(new)) == 1
    for key, value in weights_of(model).items():
        assert torch.equal(value, before[key]), key


def weights_of(model):
    return {k: v.clone() for k, v in model._model.state_dict().items()}


@pytest.mark.parametrize("kind", ["table", "images"])
def test_a_fit_that_was_stopped_goes_on(kind, request, tmp_path):
    X = request.getfixturevalue(kind)
    model = clone(QUICK).set_params(max_epochs=4, siamese=True)
    whole = clone(model).fit(X)
    keep = ResumableCheckpoint(tmp_path / "fit.ckpt")
    for _ in range(30):
        part = clone(model).set_params(callbacks=[TimeLimit(0), keep]).fit(X)
        if part.n_iter_ == whole.n_iter_:
            break
    rest = clone(model).set_params(callbacks=[keep]).fit(X)
    np.testing.assert_array_equal(rest.transform(X), whole.transform(X))
    np.testing.assert_array_equal(rest.history_["loss"], whole.history_["loss"])


@pytest.mark.parametrize(
    "kind, phase", [("table", "siamese"), ("images", "pretraining")]
)
def test_stopped_early_it_can_be_used(kind, phase, request):
    X = request.getfixturevalue(kind)
    model = clone(QUICK).set_params(siamese=True, callbacks=[TimeLimit(0)])
    with pytest.warns(ConvergenceWarning, match="before the spectral phase"):
        model.fit(X)
    assert set(model.history_["phase"]) == {phase}
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    assert len(np.unique(model.labels_)) == 3


def test_only_the_spectral_phase_converges_and_no_loss_is_no_fault(recwarn):
    X, _ = make_blobs(150, centers=[[-9, -9], [0, 0], [9, 9]], random_state=0)
    model = clone(QUICK).set_params(
        siamese=True, max_epochs=100, tol=0.9, n_iter_no_change=3
    )
    phases = model.fit(X).history_["phase"]
    assert (phases == "siamese").sum() == 5 and (phases == "spectral").sum() < 100
    # Ten neighbours in the same blob: no edge leaves it.
    params = {"batch_size": 150, "max_epochs": 400, "siamese": False}
    model.set_params(tol=1e-6, n_iter_no_change=10_000, **params).fit(X)
    assert model.history_["loss"][-1] < 3e-3 and not recwarn.list


# -- input ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"convolutional": True},
        {"affinity": "input", "siamese": False},
        {"affinity": "input"},
        {"siamese": False},
    ],
)
@pytest.mark.parametrize("shape", [(60, 8, 7), (60, 5, 9, 3)])
def test_images_of_any_size(params, shape):
    X = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    model = clone(QUICK).set_params(max_epochs=1, pretrain_max_epochs=1, **params)
    assert model.fit(X).transform(X).shape == (60, 3)
    assert ("encoder" in model._model) == (model.affinity == "auto")
    assert ("siamese" in model._model) == (model.siamese == "auto")


@pytest.mark.parametrize("kind", ["input", "code"])
def test_an_own_encoder(kind, images):
    own = nn.Sequential(nn.Flatten(), nn.Linear(64, 7))
    model = clone(QUICK).set_params(encoder=own, affinity=kind, max_epochs=1)
    model.fit(images)
    name = {"input": "map", "code": "encoder"}[kind]
    assert model._model[name].head.in_features == 7
    assert not torch.equal(model._model[name].body[1].weight, own[1].weight)


def test_tables_in_a_code_and_few_rows(table):
    model = clone(QUICK).set_params(affinity="code", siamese=True).fit(table)
    assert set(model.history_["phase"]) == {"pretraining", "siamese", "spectral"}
    assert clone(QUICK).fit(table[:4]).transform(table).shape == (200, 3)


@pytest.mark.parametrize(
    "params, message",
    [
        ({"batch_size": 2}, "batch_size=2 should be >= n_clusters=3"),
        ({"hidden_layer_sizes": (3, 0)}, "hidden_layer_sizes must be positive"),
        ({"autoencoder_layer_sizes": (1.5,)}, "autoencoder_layer_sizes must be"),
        ({"affinity": "cosine"}, "'affinity' parameter"),
        ({"siamese": "yes"}, "'siamese' parameter"),
        ({"n_neighbors": 0}, "'n_neighbors' parameter"),
        ({"scale_neighbor": 0}, "'scale_neighbor' parameter"),
        ({"pretrain_batch_size": 1}, "'pretrain_batch_size' parameter"),
        ({"convolutional": True}, "convolutional=True is for images"),
    ],
)
def test_what_is_out_of_range_is_said_before_training(params, message, table):
    with pytest.raises(ValueError, match=message):
        clone(QUICK).set_params(**params).fit(table)


def test_convolutions_are_for_the_code(images):
    with pytest.raises(ValueError, match="needs affinity='code'"):
        SpectralNet(3, convolutional=True, affinity="input").fit(images)


# -- quality --------------------------------------------------------------------------

_SHAPES = {
    "moons": lambda n, seed: make_moons(n, noise=0.05, random_state=seed),
    "circles": lambda n, seed: make_circles(
        n, noise=0.04, factor=0.5, random_state=seed
    ),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", _SHAPES)
def test_shapes_that_k_means_cannot_separate(shape, seed):
    """Also where rows lie that were not there in fit.

    With the loss's own gradient, R held, outputs become collinear: 0 to 0.4.
    """
    X, y = _SHAPES[shape](500, seed)
    new, y_new = _SHAPES[shape](500, seed + 100)
    params = {"hidden_layer_sizes": (128, 128), "learning_rate": 5e-3}
    model = SpectralNet(2, batch_size=250, **params, random_state=seed).fit(X)
    assert adjusted_rand_score(y, model.labels_) > 0.95
    assert adjusted_rand_score(y_new, model.predict(new)) > 0.95
    assert adjusted_rand_score(y, KMeans(2, n_init=10).fit_predict(X)) < 0.5


@pytest.mark.parametrize("seed", range(2))
def test_digits_are_clustered_as_by_the_eigenvectors_themselves(seed):
    """All rows in a batch: one graph, whose bottom eigenvectors are the optimum."""
    X, _ = load_digits(return_X_y=True)
    X = X[:400]
    values, vectors = np.linalg.eigh(laplacian(affinity(X, 10, 5)))
    params = {"hidden_layer_sizes": (128, 128), "max_epochs": 600, "tol": 0}
    model = SpectralNet(10, learning_rate=3e-3, **params, random_state=seed).fit(X)
    assert 0.99 < model.history_["loss"][-1] / values[:10].sum() < 1.1
    exact = KMeans(10, n_init=20, random_state=0).fit_predict(vectors[:, :10])
    alike = adjusted_rand_score(exact, model.labels_)
    kmeans = KMeans(10, n_init=20, random_state=0).fit_predict(X)
    assert alike > 0.9 > adjusted_rand_score(exact, kmeans)
