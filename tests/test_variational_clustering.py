import pickle

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from skdeepcluster import VariationalClustering
from skdeepcluster.losses import Likelihood
from skdeepcluster.methods.variational_clustering import _NETWORKS, _staged
from skdeepcluster.metrics import clustering_accuracy
from tests import conftest

SMALL = {
    "hidden_layer_sizes": (16,),
    "posterior_layer_sizes": (12, 8),
    "decoder_layer_sizes": (16,),
    "n_latent": 3,
    "max_epochs": 2,
    "tol": 0,
    "random_state": 0,
}


@pytest.fixture
def table():
    return np.random.default_rng(0).normal(size=(120, 6)).astype(np.float32)


def started(X, **params):
    """A model, its net before the first step, the step, and the phases' plans."""
    model = VariationalClustering(4, **{**SMALL, **params})
    net, phases = conftest.started(model, X)
    return model, net, phases[-1][0], [plan for _, plan in phases]


def softmax(v):
    p = np.exp(v - v.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def log_normal(x, mean, variance):
    return -0.5 * ((x - mean) ** 2 / variance + np.log(2 * np.pi * variance)).sum(-1)


@pytest.mark.parametrize(
    "params, moved",
    [
        ({}, "body head | first hidden out | out | body"),
        ({"share_trunk": False}, "body head | body first hidden out | out | body"),
        (
            {"prior_layer_sizes": (5,)},
            "body head | first hidden out | hidden out | body",
        ),
        ({"n_top": 2}, "body head | first hidden out | out | body"),
    ],
)
def test_one_step_moves_all_parts(table, params, moved):
    _, net, step, _ = started(table, **params)
    before = {k: v.clone() for k, v in net.state().items()}
    step(net)
    parts = {
        tuple(k.split(".")[:2])
        for k, v in net.state().items()
        if not torch.equal(v, before[k])
    }
    named = zip(_NETWORKS, moved.split("|"), strict=True)
    assert parts == {(name, part) for name, of in named for part in of.split()}


@pytest.mark.parametrize("on_augmented", [False, True])
@pytest.mark.parametrize("n_top", [None, 2])
def test_losses_equal_a_numpy_reading(table, on_augmented, n_top):
    """From what the networks gave in the step itself, drawn codes included."""
    model, net, step, _ = started(
        table,
        elbo_on_augmented=on_augmented,
        n_top=n_top,
        l2_weight=0.6,
        w2_weight=1.4,
        lambda_rec=0.7,
        lambda_aug=((0, 0.1), (0.5, 0.4)),
        kl_warmup=0.5,
    )
    net._steps_done.fill_(0.6 * net._planned)
    step.keywords.update(begin=0.0, share=0.5)  # progress 0.3
    seen, drawn, randn, draw = {}, [], net.randn, net.draw
    for name in _NETWORKS:
        module = getattr(net, f"{name}_")
        module.register_forward_hook(
            lambda _, args, out, name=name: seen.update({name: (args, out)})
        )
    net.randn = lambda *shape: drawn.append(randn(*shape)) or drawn[-1]
    net.draw = lambda: drawn.append(draw()) or drawn[-1]
    losses = {k: v.item() for k, v in step(net).items()}
    to = lambda v: v.detach().double().numpy()  # noqa: E731
    n = len(drawn[0])
    x, logits = to(seen["encoder"][0][0]), to(seen["encoder"][1][1])
    np.testing.assert_array_equal(x[:n], to(drawn[0]))
    q = softmax(logits)
    chosen = np.tile(np.arange(4), (2 * n, 1))
    if n_top:
        chosen = np.tile(np.argsort(-q[:n], 1)[:, :n_top], (2, 1))
        assert np.array_equal(chosen, seen["posterior"][0][1].numpy())
    q_top = np.take_along_axis(q, chosen, 1)
    q_top /= q_top.sum(1, keepdims=True)
    mean, variance = (to(v) for v in seen["posterior"][1])
    mean_p, variance_p = (to(v)[chosen] for v in seen["prior"][1])
    m = 2 * n if on_augmented else n
    noise = to(drawn[-1])
    z = mean[:m] + np.sqrt(variance[:m]) * noise
    np.testing.assert_allclose(to(seen["decoder"][0][0]), z, rtol=1e-4, atol=1e-5)
    log_p = log_normal(x[:m, None], *(to(v) for v in seen["decoder"][1]))
    ratio = variance / variance_p
    kl = 0.5 * (ratio - 1 - np.log(ratio) + (mean - mean_p) ** 2 / variance_p).sum(-1)
    rec = (q_top[:m] * log_p).sum(1).mean()
    kl = (q_top * kl)[:m].sum(1).mean()
    entropy = -(q_top * np.log(q_top))[:m].sum(1).mean()
    moved = (mean[:n] - mean[n:]) ** 2
    moved = (moved + (np.sqrt(variance[:n]) - np.sqrt(variance[n:])) ** 2).sum(-1)
    aug = 0.6 * ((q[:n] - q[n:]) ** 2).sum(1) + 1.4 * (q_top[:n] * moved).sum(1)
    expected = {
        "reconstruction": rec,
        "kl": kl,
        "entropy": entropy,
        "elbo": rec - kl + entropy,
        "augmentation": aug.mean(),
        "loss": -(0.7 * rec - 0.6 * kl + entropy) + 0.1 * aug.mean(),
        "clusters": len(np.unique(q[:n].argmax(1))),
    }
    assert losses == pytest.approx(expected, rel=1e-4)


def test_all_clusters_as_the_top_ones_are_the_full_sum(table):
    """Where the drawn codes are the means: the order of the clusters is another."""
    losses = []
    for n_top in (None, 4, 99):
        _, net, step, _ = started(table, n_top=n_top)
        net.randn = lambda *shape: torch.zeros(shape)
        losses.append({k: v.item() for k, v in step(net).items()})
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert losses[2] == losses[1]


@pytest.mark.parametrize("detach", [False, True])
def test_the_originals_terms_may_be_constants(detach):
    model = VariationalClustering(4, detach_target=detach)
    rng = torch.Generator().manual_seed(0)
    log_q = torch.randn(10, 4, generator=rng).log_softmax(1).requires_grad_()
    mean = torch.randn(10, 4, 3, generator=rng).requires_grad_()
    variance = torch.rand(10, 4, 3, generator=rng).requires_grad_()
    model._augmentation_loss(log_q, log_q, mean, variance, 5).backward()
    for part in (log_q, mean, variance):
        assert part.grad[5:].any() and part.grad[:5].any() == (not detach)


def test_without_augmentation_the_loss_is_the_bound(table):
    _, net, step, plans = started(table, augmentation=None, kl_warmup=0)
    losses = step(net)
    assert losses["augmentation"] == 0
    assert losses["loss"].item() == pytest.approx(-losses["elbo"].item(), rel=1e-5)
    assert [plan["phase"] for plan in plans] == ["fit"]


@pytest.mark.parametrize(
    "progress, weight",
    [(0.0, 0.01), (0.19, 0.01), (0.2, 0.5), (0.39, 0.5), (0.41, 1.0), (1.0, 1.0)],
)
def test_stages_of_a_weight(progress, weight):
    stages = VariationalClustering()._stages("lambda_aug")
    assert _staged(stages, torch.tensor(progress)).item() == pytest.approx(weight)


def test_weights_by_kind_of_data_and_number_of_epochs():
    colour = np.zeros((40, 4, 4, 3), dtype=np.uint8)
    model = VariationalClustering(max_epochs=400)
    assert model._stages("lambda_aug") == ((0, 0.01), (0.1, 0.5), (0.2, 1.0))
    model._check_X(colour, fitting=True)
    assert model._stages("lambda_rec") == ((0, 0.5), (0.1, 0.1))
    model._check_X(colour[..., 0], fitting=True)
    assert model._stages("lambda_rec") == ((0, 1.0),)
    assert model.set_params(lambda_aug=3)._stages("lambda_aug") == ((0, 3.0),)


def test_assignments_settle_only_after_the_last_stage(table):
    _, _, step, plans = started(table, max_epochs=100)
    assert [(plan["phase"], plan["n_steps"]) for plan in plans] == [
        ("annealing", 80),
        ("fit", 20),
    ]
    assert (step.keywords["begin"], step.keywords["share"]) == (0.8, 0.2)


def test_divergence_is_warmed_up():
    half = torch.tensor(0.05)
    assert VariationalClustering(kl_warmup=0.1)._kl_weight(half).item() == 0.5
    assert VariationalClustering(kl_warmup=0.01)._kl_weight(half).item() == 1.0


@pytest.mark.parametrize(
    "likelihood, gaussian, bernoulli",
    [
        ("auto", [0, 2, 3], [1]),
        ("gaussian", [0, 1, 2, 3], []),
        ("bernoulli", [], [0, 1, 2, 3]),
    ],
)
def test_columns_of_two_values_are_bernoulli(table, likelihood, gaussian, bernoulli):
    X = table[:, :4].copy()
    X[:, 1] = np.where(X[:, 1] > 0, 7, -2)
    X[:, 3] = 5  # constant
    model = VariationalClustering(3, **SMALL, likelihood=likelihood).fit(X)
    found = model._likelihood()
    columns = [
        [] if of is None else np.atleast_1d(np.arange(4)[of]).tolist()
        for of in (found.gaussian, found.bernoulli)
    ]
    assert columns == [gaussian, bernoulli]
    rows, _ = model.sample(50)
    np.testing.assert_allclose(rows[:, 3], 5)
    if bernoulli:
        assert -2 < rows[:, 1].min() and rows[:, 1].max() < 7


def test_mixed_likelihood_adds_up(draws):
    x = torch.tensor([[0.3, 2.0, -1.0]])
    location, variance = draws.randn(1, 3), draws.rand(1, 3)
    mixed = Likelihood(torch.tensor([0, 2]), torch.tensor([1]), low=2.0, span=3.0)
    p = 1 / (1 + np.exp(-location[0, 1].item()))
    gaussian = log_normal(*(v[:, [0, 2]].numpy() for v in (x, location, variance)))
    got = mixed.log_prob(x, location, variance)
    assert got.item() == pytest.approx(gaussian.item() + np.log(1 - p), rel=1e-5)
    assert mixed.mean(location)[0, 1].item() == pytest.approx(2 + 3 * p)


@pytest.mark.parametrize(
    "shape, kind, n_outputs",
    [((24, 9, 7), "rotation", 1), ((24, 8, 8, 3), "affine", 6)],
)
def test_images(shape, kind, n_outputs):
    X = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    model = VariationalClustering(3, max_epochs=1, batch_size=12, random_state=0)
    model.fit(X)
    assert model._augmentation_kind() == kind
    assert model._model["decoder"].body[-1].out_channels == n_outputs
    rows, y = model.sample(4, random_state=0)
    assert rows.shape == (4, *shape[1:]) and set(y) <= set(range(model.n_clusters_))
    assert rows.min() >= -300 and rows.max() <= 600
    if kind == "rotation":  # expected pixels of a Bernoulli
        assert 0 <= rows.min() and rows.max() <= 255


def test_samples_and_paths(table):
    model = VariationalClustering(3, **SMALL).fit(table)
    for space in ("k", "z"):
        path = model.interpolate(0, 1, 5, 4, random_state=1, space=space)
        assert path.shape == (4, 5, 6) and path.dtype == np.float32
        step = np.abs(np.diff(path, axis=1)).max((1, 2))
        assert (step > 0).all()
    # Both begin with a sample of the first cluster.
    ends = [model.interpolate(0, 1, 2, 1, 1, space=s)[:, 0] for s in ("k", "z")]
    sample, _ = model.sample(1, cluster=0, random_state=1)
    for end in ends:
        np.testing.assert_allclose(end, sample, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="space must be 'k' or 'z'"):
        model.interpolate(0, 1, space="x")


def test_codes_on_a_path_in_z_lie_on_a_line(table):
    model = VariationalClustering(3, **SMALL).fit(table)
    codes, decode = [], model._decode
    model._decode = lambda z: codes.append(z) or decode(z)
    model.interpolate(0, 2, 3, 1, space="z")
    start, middle, stop = codes[0]
    torch.testing.assert_close(middle, (start + stop) / 2)
    assert not torch.allclose(start, stop)


def test_score_is_the_bound_of_the_rows(table):
    model = VariationalClustering(3, **SMALL).fit(table)
    scaled = model._scaling(model._scaling.centre(table))
    network = {name: model._model[name] for name in _NETWORKS}
    noise = torch.Generator().manual_seed(0)
    noise = torch.randn(len(table), 3, 3, generator=noise)
    with torch.no_grad():
        h, logits = network["encoder"](scaled)
        mean, variance = network["posterior"](h)
        mean_p, variance_p = network["prior"].table()
        z = mean + variance.sqrt() * noise
        location, spread = network["decoder"](z)
    q = softmax(logits.double().numpy())
    log_p = log_normal(
        *(v.double().numpy() for v in (scaled[:, None], location, spread))
    )
    log_prior = log_normal(*(v.double().numpy() for v in (z, mean_p, variance_p)))
    # The divergence in closed form is the mean of this difference over the noise.
    ratio = (variance / variance_p).double().numpy()
    far = ((mean - mean_p).square() / variance_p).double().numpy()
    kl = 0.5 * (ratio - 1 - np.log(ratio) + far).sum(-1)
    assert log_prior.shape == kl.shape
    expected = (q * (log_p - kl - np.log(q))).sum(1).mean() - np.log(3)
    assert model.score(table) == pytest.approx(expected, rel=1e-4)
    assert model.score(table) == model.score(table)


def test_embedding_is_the_expected_code(table):
    model = VariationalClustering(3, **SMALL).fit(table)
    with torch.no_grad():
        x = model._scaling(model._scaling.centre(table))
        h, _ = model._model["encoder"](x)
        mean, _ = model._model["posterior"](h)
    expected = (model.predict_proba(table)[..., None] * mean.numpy()).sum(1)
    np.testing.assert_allclose(model.transform(table), expected, atol=1e-5)


@pytest.mark.parametrize("params", [{}, {"share_trunk": False}])
def test_pickled_model_is_the_same(table, params):
    table[:, 0] = table[:, 0] > 0
    model = VariationalClustering(3, **SMALL, **params).fit(table)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(table), model.predict_proba(table))
    assert copy.score(table) == model.score(table)
    np.testing.assert_array_equal(copy.sample(3)[0], model.sample(3)[0])


def test_own_encoder(table):
    own = torch.nn.Sequential(torch.nn.Linear(6, 9), torch.nn.Tanh())
    model = VariationalClustering(3, encoder=own, **SMALL).fit(table)
    assert model._model["posterior"].first.in_features == 9 + 3


@pytest.mark.parametrize(
    "params, message",
    [
        ({"lambda_aug": [(0.1, 1)]}, "starts rise from 0"),
        ({"lambda_rec": [(0, 1), (1, 2)]}, "stay below 1"),
        ({"lambda_rec": []}, "starts rise from 0"),
        ({"augmentation": "affine"}, "is for images"),
        ({"posterior_layer_sizes": ()}, "one layer at least"),
        ({"decoder_layer_sizes": (0,)}, "decoder_layer_sizes must be positive"),
        ({"noise": (1, 0)}, "noise must be a range"),
        ({"encoder": torch.nn.Identity(), "share_trunk": False}, "cannot be combined"),
    ],
)
def test_wrong_parameters(table, params, message):
    with pytest.raises(ValueError, match=message):
        VariationalClustering(3, **{**SMALL, **params}).fit(table)


@pytest.mark.parametrize("params", [{}, {"likelihood": "gaussian"}])
def test_pixels_must_be_shares_for_a_bernoulli(params):
    X = np.random.default_rng(0).integers(0, 256, (12, 4, 4)).astype(np.uint8)
    model = VariationalClustering(2, max_epochs=1, scale="standard", **params)
    if params:
        model.fit(X)
    else:
        with pytest.raises(ValueError, match="leaves the range"):
            model.fit(X)


def test_separates_a_dense_cluster_inside_a_wide_one():
    """Two Gaussians with one centre: no distance to a centre tells them apart.

    Seen here: KMeans .67; ours .99 to 1.0 with five seeds. With the divergence's sign
    wrong .50 to .64, without it .53 to .60, with the entropy's sign wrong .50 to .76,
    with the decoder not trained .77 to .84. The prior not trained (.94 to .99) and the
    entropy left out (1.0) do not show here; other tests see these.
    """
    rng = np.random.default_rng(0)
    y = np.arange(600) % 2
    X = rng.normal(size=(600, 8)) * np.where(y, 3, 0.5)[:, None]
    kmeans = KMeans(2, n_init=10, random_state=0).fit_predict(X)
    assert clustering_accuracy(y, kmeans) < 0.7
    small = {
        "hidden_layer_sizes": (32,),
        "posterior_layer_sizes": (32,),
        "decoder_layer_sizes": (32,),
        "learning_rate": 5e-3,
        "augmentation": None,
        "max_epochs": 120,
        "tol": 0,
    }
    accuracies = [
        clustering_accuracy(
            y, VariationalClustering(2, random_state=seed, **small).fit_predict(X)
        )
        for seed in range(3)
    ]
    assert np.median(accuracies) > 0.95
