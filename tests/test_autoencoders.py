"""What begins with an autoencoder: k-means, DEC, IDEC, VaDE; all of them together."""

import numpy as np
import pytest
import torch
from scipy.special import softmax, xlogy
from scipy.stats import t as student
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_blobs
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score

from skdeepcluster import (
    DCN,
    DEC,
    DEPICT,
    IDEC,
    AutoencoderKMeans,
    SpectralNet,
    VaDE,
)
from skdeepcluster.autoencoding import TargetRefresh
from skdeepcluster.engine import ResumableCheckpoint, TimeLimit
from skdeepcluster.losses import sharpened
from skdeepcluster.metrics import clustering_accuracy
from skdeepcluster.networks import MixturePrior, StudentCenters
from tests.conftest import QUICK_AE, QUICK_DEC, quick, started

MODELS = [
    AutoencoderKMeans(3, **QUICK_AE),
    DEC(3, **QUICK_DEC),
    IDEC(3, **QUICK_DEC),
    VaDE(3, **QUICK_DEC),
    DCN(3, **QUICK_DEC),
    DEPICT(3, **QUICK_DEC),
]
with_models = pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
with_targets = pytest.mark.parametrize(
    "model", MODELS[1:3], ids=lambda m: type(m).__name__
)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:800], y[:800]


# -- equations ------------------------------------------------------------------------


def test_target_equals_its_equation():
    q = softmax(np.random.default_rng(0).normal(size=(20, 4)), axis=1)
    f = q.sum(0)
    p = np.array([[q[i, j] ** 2 / f[j] for j in range(4)] for i in range(20)])
    p /= p.sum(1, keepdims=True)
    np.testing.assert_allclose(sharpened(torch.from_numpy(q)).numpy(), p)


def test_target_favours_the_sure_and_the_small_and_survives_the_empty():
    sure = torch.tensor([[0.7, 0.3], [0.3, 0.7]])
    assert (sharpened(sure).max(1).values > 0.7).all()
    small = torch.tensor([[0.5, 0.5], [0.9, 0.1], [0.9, 0.1]])
    assert sharpened(small)[0, 1] > 0.5
    empty = sharpened(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    assert torch.equal(empty, torch.tensor([[1.0, 0.0], [1.0, 0.0]]))


@pytest.mark.parametrize("alpha", [1.0, 4.0])
def test_assignments_are_by_students_distribution(alpha):
    rng = np.random.default_rng(0)
    centers, z = rng.normal(size=(3, 2)), rng.normal(size=(5, 2))
    C = StudentCenters(3, 2, alpha)
    C.centers.data.copy_(torch.from_numpy(centers))
    distances = np.linalg.norm(z[:, None] - centers, axis=2)
    # The equation's unnormalised density is that of t, of distances over sqrt(1).
    q = student.pdf(distances, df=alpha)
    q /= q.sum(1, keepdims=True)
    got = C(torch.from_numpy(z.astype(np.float32))).softmax(1)
    np.testing.assert_allclose(got.detach().numpy(), q, rtol=1e-5)


@with_targets
def test_the_divergence_equals_its_equation(model, table):
    """Also where the target is sure."""
    net, phases = started(model, table)
    codes = []
    net.centers_.register_forward_hook(lambda _, args, out: codes.append(args[0]))
    centers = net.centers_.centers.detach().double().numpy()
    target = torch.rand(len(table), 3).softmax(1)
    target[::2] = torch.tensor([0.0, 1.0, 0.0])
    losses = {k: v.item() for k, v in phases[-1][0].func(net, target).items()}
    z = codes[-1].detach().double().numpy()
    q = 1 / (1 + ((z[:, None] - centers) ** 2).sum(2))
    q /= q.sum(1, keepdims=True)
    p = net.batches.of_batch(target).double().numpy()
    expected = np.sum(xlogy(p, p) - p * np.log(q), axis=1).mean()
    got = losses.get("divergence", losses["loss"])  # IDEC has the reconstruction too
    assert got == pytest.approx(expected, rel=1e-4)
    if "reconstruction" in losses:
        total = losses["reconstruction"] + model.gamma * expected
        assert losses["loss"] == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_the_bound_of_vade_equals_its_equation(likelihood):
    """Term by term in float64, as the paper prints it, for one draw of z."""
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(12, 4, 4)).astype(np.float32)
    model = VaDE(3, likelihood=likelihood, **QUICK_DEC).fit(X)
    n, d, K, D = 12, 3, 3, 16
    x, z = rng.uniform(size=(n, D)), rng.normal(size=(n, d))
    mean, s2 = rng.normal(size=(n, d)), rng.uniform(0.5, 2, size=(n, d))
    pi, mu = rng.dirichlet(np.ones(K)), rng.normal(size=(K, d))
    sigma2 = rng.uniform(0.5, 2, size=(K, d))
    prior = MixturePrior(K, d).double()
    prior.set(pi, mu, sigma2)
    decoder = model._model["decoder"].double()

    density = pi * np.exp(
        -((z[:, None] - mu) ** 2 / sigma2 + np.log(2 * np.pi * sigma2)).sum(2) / 2
    )
    gamma = density / density.sum(1, keepdims=True)
    expected = (
        (
            gamma[:, :, None]
            * (np.log(sigma2) + (s2[:, None] + (mean[:, None] - mu) ** 2) / sigma2)
        ).sum((1, 2))
        / 2
        - (gamma * np.log(pi / gamma)).sum(1)
        - (1 + np.log(s2)).sum(1) / 2
    )
    tensors = [torch.from_numpy(a) for a in (mean, np.log(s2), z)]
    log_gamma = prior(tensors[2]).log_softmax(1)
    np.testing.assert_allclose(log_gamma.exp().detach().numpy(), gamma)
    got = sum(VaDE._divergences(prior, *tensors[:2], log_gamma))
    np.testing.assert_allclose(got.detach().numpy(), expected)

    out = decoder(tensors[2]).detach().numpy().reshape(n, D)
    log_p = {
        "gaussian": -((x - out) ** 2).sum(1) - D / 2 * np.log(np.pi),
        "bernoulli": (x * out - np.log1p(np.exp(out))).sum(1),
    }[likelihood]
    got = model._log_likelihood(torch.from_numpy(x), tensors[2])
    np.testing.assert_allclose(got.detach().numpy(), log_p)


# -- algorithm ------------------------------------------------------------------------


@with_targets
def test_the_target_is_of_all_rows_and_stays_for_an_interval(model, table, monkeypatch):
    targets, seen = [], []
    refresh = TargetRefresh.on_epoch_begin

    def watched(self, net, **kwargs):
        refresh(self, net, **kwargs)
        with torch.no_grad():
            E, C = net.encoder_, net.centers_
            all_rows = torch.cat(list(net.batches.in_order(1_000)))
            expected = sharpened(C(E(all_rows)[1]).softmax(1))
        torch.testing.assert_close(self.target, expected)
        targets.append(self.target.clone())

    step = type(model)._step

    def counted(self, net, target):
        torch.testing.assert_close(target, targets[-1], rtol=0, atol=0)
        seen.append(len(targets))
        return step(self, net, target)

    monkeypatch.setattr(TargetRefresh, "on_epoch_begin", watched)
    monkeypatch.setattr(type(model), "_step", counted)
    clone(model).set_params(update_interval=7, max_epochs=6, tol=0).fit(table)
    # 12 minibatches a pass: 72 steps, 7 of them for each target.
    assert np.bincount(seen)[1:].tolist() == [7] * 10 + [2]


@with_targets
def test_it_ends_when_labels_stay(model, blobs):
    model = clone(model).set_params(update_interval=5, max_epochs=500)
    history = model.fit(blobs).history_
    changed = history["changed"][history["phase"] == "clustering"]
    assert np.isnan(changed[0]) and changed[-1] <= 0.001
    assert (changed[1:-1] > 0.001).all() and len(changed) < 100
    assert model.predict(blobs).tolist() == model.labels_.tolist()
    longer = clone(model).set_params(tol=0, max_epochs=20).fit(blobs).history_
    assert (longer["phase"] == "clustering").sum() == 20 * 5 // 5


@with_models
def test_a_fit_that_was_stopped_goes_on(model, table, tmp_path):
    params = {"max_epochs": 6, "tol": 0}
    if isinstance(model, DEC | DEPICT):
        params |= {"update_interval": 5}
    model = clone(model).set_params(**params)
    whole = clone(model).fit(table)
    keep = ResumableCheckpoint(tmp_path / "fit.ckpt")
    for _ in range(30):
        stop = [TimeLimit(0), keep]
        part = clone(model).set_params(callbacks=stop).fit(table)
        if part.n_iter_ == whole.n_iter_:
            break
    rest = clone(model).set_params(callbacks=[keep]).fit(table)
    np.testing.assert_array_equal(rest.transform(table), whole.transform(table))
    np.testing.assert_array_equal(rest.history_["loss"], whole.history_["loss"])
    if "changed" in whole.history_:
        changed = (one.history_["changed"] for one in (rest, whole))
        np.testing.assert_array_equal(*changed)


@pytest.mark.parametrize("scale, alpha", [(1e-5, 1.0), (1.0, 1e8)])
def test_distances_that_are_small_beside_alpha_count(scale, alpha):
    rng = np.random.default_rng(0)
    z, mu = scale * rng.normal(size=(200, 2)), scale * rng.normal(size=(3, 2))
    C = StudentCenters(3, 2, alpha)
    C.centers.data.copy_(torch.from_numpy(mu))
    logits = C(torch.from_numpy(z).float()).detach().numpy()
    squares = np.square(z[:, None] - mu).sum(2)
    np.testing.assert_array_equal(logits.argmax(1), squares.argmin(1))
    expected = softmax(-(alpha + 1) / 2 * np.log1p(squares / alpha), axis=1)
    np.testing.assert_allclose(softmax(logits, axis=1), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("method", "shape"),
    [
        *((method, (5,)) for method in (DEC, IDEC, DCN, DEPICT, VaDE)),
        *((method, (8, 8)) for method in (DEC, IDEC, DCN, DEPICT, VaDE, SpectralNet)),
    ],
)
def test_sgd_pretrains_as_published(method, shape):
    X = np.random.default_rng(0).integers(0, 256, (60, *shape)).astype(np.uint8)
    model = method(3, pretrain_optimizer="sgd", batch_size=20, random_state=0)
    net, phases = started(model, X)
    sgd = net.autoencoder_optimizer_
    assert isinstance(sgd, torch.optim.SGD) and sgd.param_groups[0]["momentum"] == 0.9
    assert sgd.param_groups[0]["lr"] == (1 if len(shape) == 2 else 0.1)
    layers = [
        layer
        for name in ("encoder", "decoder")
        for layer in net.networks[name].modules()
        if hasattr(layer, "weight") and layer.weight.ndim > 1
    ]
    weights = [layer.weight for layer in layers]
    for layer, w in zip(layers, weights, strict=True):
        n_in = w[0].numel()
        if isinstance(layer, torch.nn.ConvTranspose2d):
            n_in = layer.in_channels * w[0, 0].numel() / np.prod(layer.stride)
        bound = n_in**-0.5
        if method is VaDE and layer is net.encoder_.head:
            w = w[: model.n_latent]  # the other half gives variances, and is placed
        assert 0.9 * bound < w.abs().max() <= bound
        # Of a normal distribution the largest weight would be farther out.
        assert w.detach().std().item() == pytest.approx(bound / 3**0.5, rel=0.2)
    before = [w.detach().clone() for w in weights]
    phases[0][0](net)
    for w, was in zip(weights, before, strict=True):
        step = sgd.param_groups[0]["lr"] * w.grad
        assert torch.allclose(w.detach(), was - step, atol=1e-6)


def test_a_step_size_that_is_given_is_taken():
    params = {"optimizer": "sgd", "learning_rate": 0.03, "max_epochs": 1}
    model = AutoencoderKMeans(3, hidden_layer_sizes=(4,), random_state=0, **params)
    X = np.random.default_rng(0).normal(size=(30, 3))
    net, _ = started(model, X)
    assert net.autoencoder_optimizer_.param_groups[0]["lr"] == 0.03
    net, _ = started(model.set_params(optimizer="adam", learning_rate="auto"), X)
    assert net.autoencoder_optimizer_.param_groups[0]["lr"] == 1e-3


@with_targets
def test_stopped_in_the_pretraining_it_is_k_means_of_the_code(model, blobs):
    stopped = clone(model).set_params(callbacks=[TimeLimit(0)]).fit(blobs)
    assert set(stopped.history_["phase"]) == {"pretraining"}
    codes = stopped.transform(blobs)
    kmeans = KMeans(3, n_init=20, random_state=0).fit(codes)
    assert adjusted_rand_score(kmeans.labels_, stopped.labels_) == 1


def test_centres_begin_at_k_means(table):
    net, phases = started(DEC(3, **QUICK_DEC), table)
    with torch.no_grad():
        codes = net.encoder_(torch.cat(list(net.batches.in_order(1_000))))[1]
    kmeans = KMeans(3, n_init=20, random_state=0).fit(codes.numpy())
    found = net.centers_.centers.detach().numpy()
    np.testing.assert_allclose(found, kmeans.cluster_centers_, rtol=1e-4, atol=1e-5)
    assert [plan["phase"] for _, plan in phases] == ["pretraining", "clustering"]


@pytest.mark.parametrize("kind", ["plain", "denoising", "variational"])
@pytest.mark.parametrize("convolutional", [False, True])
def test_images_of_any_size(kind, convolutional, images):
    X = images[:, :, :7]
    params = {**QUICK_AE, "max_epochs": 1, "n_latent": 4}
    model = AutoencoderKMeans(3, kind=kind, convolutional=convolutional, **params)
    assert model.fit(X).transform(X).shape == (60, 4)
    assert model.cluster_centers_.shape[1:] == (8, 7)


@pytest.mark.parametrize("method", ["ae_kmeans", "dec", "vade", "spectralnet"])
def test_convolutions_give_pixels_in_the_range_that_the_encoder_sees(method, images):
    model = quick(method, convolutional=True).fit(images)
    x = model._scaling(model._scaling.centre(images.reshape(60, -1)))
    assert x.min() == 0 and x.max().item() == pytest.approx(images.max() / 255)
    with torch.no_grad():
        n_latent = model._description["n_latent"]
        rows = model._model["decoder"](100 * torch.randn(50, n_latent))
    assert 0 <= rows.min() < 0.1 and 0.9 < rows.max() <= 1


def test_convolutions_are_for_images(table):
    with pytest.raises(ValueError, match="convolutional=True is for images"):
        DEC(3, convolutional=True).fit(table)
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        DEC(3, hidden_layer_sizes=(3, 0)).fit(table)


# -- quality --------------------------------------------------------------------------

DIGITS = {"hidden_layer_sizes": (200, 200), "batch_size": 100, "random_state": 0}


@pytest.mark.parametrize("kind, most", [("plain", 0.9), ("denoising", 1.1)])
def test_a_code_holds_more_than_as_many_principal_components(kind, most, digits):
    """Squared error relative to PCA's; that of a code that is not trained is > 2."""
    X, _ = digits
    model = AutoencoderKMeans(10, kind=kind, max_epochs=100, **DIGITS).fit(X)
    scaling, model_ = model._scaling, model._model
    with torch.no_grad():
        x = scaling(scaling.centre(X))
        error = (model_["decoder"](model_["encoder"](x)[1]) - x).square().mean()
    pca = PCA(10).fit(x.numpy())
    least = np.square(pca.inverse_transform(pca.transform(x.numpy())) - x.numpy())
    assert error.item() < most * least.mean()


@pytest.mark.parametrize("method", [DEC, IDEC])
def test_self_training_improves_on_k_means(method, digits):
    """With P = Q, which teaches nothing, the accuracy stays that of the pretraining."""
    X, y = digits
    params = {**DIGITS, "pretrain_max_epochs": 60}
    model = method(10, max_epochs=60, **params).fit(X)
    before = AutoencoderKMeans(10, max_epochs=60, **DIGITS).fit(X)
    accuracy = clustering_accuracy(y, model.labels_)
    assert accuracy > clustering_accuracy(y, before.labels_) + 0.015
    assert accuracy > 0.81


def test_the_mixture_may_begin_with_the_clusters_of_k_means():
    codes = np.random.default_rng(0).normal(size=(300, 3))
    codes[:100] = codes[:100] * 3 + 4
    prior = MixturePrior(3, 3, "kmeans")
    prior.fit(codes.astype(np.float32))
    labels = KMeans(3, n_init=20, random_state=0).fit_predict(codes.astype(np.float32))
    for c in range(3):
        part = codes[labels == c]
        assert prior.log_weights[c].exp().item() == pytest.approx(len(part) / 300)
        mean, variance = prior.means[c], prior.log_variances[c].exp()
        np.testing.assert_allclose(mean.detach(), part.mean(0), rtol=1e-4)
        np.testing.assert_allclose(variance.detach(), part.var(0), rtol=1e-3)


def test_k_means_of_few_points_leaves_a_mixture_that_is_finite():
    prior = MixturePrior(4, 2, "kmeans")
    # Without k-means' own warning: a fit tells of clusters that are empty.
    prior.fit(np.repeat(np.eye(2, dtype=np.float32), 20, axis=0))
    assert all(p.isfinite().all() for p in prior.parameters())
    model = VaDE(2, init="kmeans", **QUICK_DEC).fit(np.repeat(np.eye(2), 40, axis=0))
    assert np.isfinite(model.history_["loss"]).all()


@pytest.mark.parametrize("init", ["mixture", "kmeans"])
def test_vade_keeps_the_clusters_of_few_different_rows(init):
    rows = np.repeat([[-9.0, -9], [0, 9], [9, -9]], 7, axis=0)
    model = VaDE(5, init=init, **{**QUICK_DEC, "n_latent": 2})
    with pytest.warns(ConvergenceWarning, match="2 of n_clusters=5 clusters are empty"):
        model.fit(rows)
    expected = np.repeat(range(3), 7)
    assert adjusted_rand_score(expected, model.labels_) == 1


@pytest.mark.parametrize("n_latent", [2, 10])
@pytest.mark.parametrize("seed", range(5))
def test_vade_separates_four_blobs(seed, n_latent):
    centers = [[-9, -9], [-9, 9], [9, -9], [9, 9]]
    X, y = make_blobs(300, centers=centers, random_state=0)
    small = {"hidden_layer_sizes": (32,), "n_latent": n_latent, "random_state": seed}
    model = VaDE(4, **small, max_epochs=100).fit(X)
    assert adjusted_rand_score(y, model.labels_) == 1
    rows, clusters = model.sample(200, random_state=0)
    assert adjusted_rand_score(model.predict(rows), clusters) > 0.95
    for cluster in range(4):
        rows, _ = model.sample(50, cluster, random_state=0)
        assert (model.predict(rows) == cluster).mean() > 0.95


def test_codes_of_vade_begin_as_wide_as_the_clusters(table):
    net, _ = started(VaDE(3, **QUICK_DEC), table)
    prior = net.centers_
    with torch.no_grad():
        _, log_variance = net.encoder_(net.draw())[1].chunk(2, dim=1)
        weights, variances = prior.log_weights.softmax(0), prior.log_variances.exp()
    expected = (weights[:, None] * variances).sum(0).expand_as(log_variance)
    torch.testing.assert_close(log_variance.exp(), expected)


def test_likelihoods_of_vade(table, images):
    params = {**QUICK_DEC, "max_epochs": 1, "pretrain_max_epochs": 1}
    with pytest.raises(ValueError, match="likelihood='bernoulli' is for images"):
        VaDE(3, likelihood="bernoulli", **params).fit(table)
    with pytest.raises(ValueError, match="needs linear layers"):
        VaDE(3, likelihood="bernoulli", convolutional=True, **params).fit(images)
    model = VaDE(3, **params).fit(images)  # Bernoulli: its samples are pixels
    sampled, _ = model.sample(5, random_state=0)
    assert sampled.shape == (5, 8, 8) and 0 <= sampled.min() < sampled.max() <= 255
    model.set_params(likelihood="gaussian")  # it is fitted: what it was counts
    np.testing.assert_array_equal(model.sample(5, random_state=0)[0], sampled)
    model = VaDE(3, convolutional=True, **params).fit(images)
    assert model.sample(2)[0].shape == (2, 8, 8)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", [AutoencoderKMeans, DEC, IDEC, DCN, DEPICT])
def test_separated_blobs(method, seed, blobs):
    y = np.argmin(abs(blobs[:, :1] - [[-9, 0, 9]]), axis=1)
    small = {"hidden_layer_sizes": (32,), "n_latent": 2, "random_state": seed}
    assert adjusted_rand_score(y, method(3, **small).fit_predict(blobs)) == 1
