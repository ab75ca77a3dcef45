import pickle
import tracemalloc

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from torch import nn

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


@pytest.mark.parametrize(
    "shape, params, expected",
    [
        ((200, 4), {}, (100, 1e-3)),
        ((200, 4, 4), {}, (100, 1e-3)),
        ((200, 4, 4, 3), {}, (30, 1e-4)),
        ((200, 4, 4, 3), {"batch_size": 50, "learning_rate": 0.02}, (50, 0.02)),
    ],
)
def test_batch_size_and_step_size_by_kind_of_data(shape, params, expected):
    X = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    model = VariationalClustering(2, max_epochs=1, random_state=0, **params)
    net, _ = conftest.started(model, X)
    (group,) = net.optimizer_.param_groups
    assert (net.batches.batch_size, group["lr"]) == expected


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
    seen = []
    model._model["decoder"].register_forward_hook(lambda *args: seen.append(args[2][0]))
    rows, y = model.sample(4, random_state=0)
    assert rows.shape == (4, *shape[1:]) and set(y) <= set(range(model.n_clusters_))
    mean = seen[0].sigmoid() if kind == "rotation" else seen[0]
    pixels = mean.unflatten(1, model._input_shape()).movedim(1, -1).numpy()
    np.testing.assert_allclose(rows, 255 * pixels.reshape(rows.shape), atol=1e-3)


@pytest.mark.parametrize("on_augmented", [True, False])
@pytest.mark.parametrize("kind", ["noise", "rotation", "affine", "binarise", "own"])
def test_a_step_sees_samples_and_their_augmented_copies(kind, on_augmented):
    """And the bound is that of both, unless copies are noisy rows of a table."""
    shape = {"noise": (24, 6), "affine": (24, 8, 8, 3)}.get(kind, (24, 8, 8))
    X = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    given = (lambda x: 1 - x) if kind == "own" else kind
    params = {**SMALL, "augmentation": given, "batch_size": 6}
    if not on_augmented:
        params["elbo_on_augmented"] = False
    model, net, step, _ = started(X, **params)
    seen = {}
    for name in ("encoder", "decoder"):
        getattr(net, f"{name}_").register_forward_hook(
            lambda _, args, out, name=name: seen.update({name: args[0]})
        )
    step(net)
    x, copy = seen["encoder"].chunk(2)
    moved = (copy - x).abs().flatten(1).mean(1)
    assert len(x) == 6 and (moved > 0.003).all()
    assert len(seen["decoder"]) == (12 if on_augmented and kind != "noise" else 6)
    if kind == "own":
        torch.testing.assert_close(copy, 1 - x)
    if kind == "binarise":
        assert set(copy.unique().tolist()) == {0, 1}


@pytest.mark.parametrize(
    "kind, degrees, shift", [("rotation", 3, 0), ("affine", 3, 0.2)]
)
def test_size_of_the_affine_augmentations(kind, degrees, shift, draws):
    """A bright spot right of the centre moves no farther than it may, but moves."""
    model = VariationalClustering(augmentation=kind)
    at = torch.arange(61.0) - 30
    spot = torch.exp(-((at - 15).square() + at[:, None].square()) / 18)
    copies = model._augment(spot.expand(400, 1, 61, 61), draws)[:, 0]
    total = copies.sum((1, 2))
    right = (copies.sum(1) * at).sum(1) / total
    down = (copies.sum(2) * at).sum(1) / total
    farthest = 15 * np.sin(np.radians(degrees)) + shift * 61
    assert 0.8 * farthest < down.abs().max() < 1.05 * farthest + 0.1
    mirrored = (right < 0).float().mean().item()
    if kind == "affine":
        assert mirrored == pytest.approx(0.5, abs=0.15)
    else:
        assert mirrored == 0


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
    """A copy of it is the trunk, begins with its weights, and is trained."""
    own = torch.nn.Sequential(torch.nn.Linear(6, 9), torch.nn.Tanh())
    before = own[0].weight.detach().clone()
    model, net, step, _ = started(table, encoder=own)
    body, seen = net.encoder_.body, []
    torch.testing.assert_close(body[0].weight, before, rtol=0, atol=0)
    net.posterior_.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    body.register_forward_hook(lambda *args: seen.append(args[2]))
    step(net)
    of_body, read = seen
    assert read.shape[1] == 9 and torch.equal(read, of_body)
    assert not torch.equal(body[0].weight, before)
    assert torch.equal(own[0].weight, before)


def test_a_refused_fit_leaves_the_model_as_it_was(table):
    X = table.copy()
    X[:, 1] = X[:, 1] > 0
    model = VariationalClustering(3, **SMALL).fit(X)
    score, (rows, _) = model.score(X), model.sample(5)
    with pytest.raises(ValueError, match="is for images"):
        model.set_params(augmentation="affine").fit(5 * table)
    assert model.score(X) == score
    np.testing.assert_array_equal(model.sample(5)[0], rows)


@pytest.mark.parametrize(
    "change",
    [
        {"share_trunk": False},
        {"likelihood": "gaussian"},
        {"likelihood": "bernoulli", "min_variance": 3.0},
        {"n_latent": 5},
        {"n_top": 1},
    ],
)
@pytest.mark.parametrize("kind", ["table", "images"])
def test_parameters_set_after_a_fit_wait_for_the_next_one(kind, change, table):
    X = table
    X[:, 1] = X[:, 1] > 0
    if kind == "images":
        X = np.random.default_rng(0).integers(0, 256, (12, 4, 4)).astype(np.uint8)
    model = VariationalClustering(3, **SMALL).fit(X)

    def all_of_it():
        return model.transform(X), model.predict_proba(X), model.sample(3)[0]

    before, score = all_of_it(), model.score(X)
    model.set_params(**change)
    for now, then in zip(all_of_it(), before, strict=True):
        np.testing.assert_array_equal(now, then)
    assert model.score(X) == score


def test_augmentations_that_work_in_place(table):
    def shifted(x):
        return x + 5.0

    def in_place(x):
        return x.add_(5.0)

    one, other = (
        VariationalClustering(3, **{**SMALL, "augmentation": kind}).fit(table)
        for kind in (shifted, in_place)
    )
    assert (one.history_["augmentation"] > 0).all()
    np.testing.assert_array_equal(one.transform(table), other.transform(table))


def test_a_posterior_that_reads_the_columns(table):
    own = {"share_trunk": False, "posterior_trunk_sizes": ()}
    model = VariationalClustering(3, **SMALL, **own).fit(table)
    posterior = model._model["posterior"]
    layers = [m for m in posterior.modules() if isinstance(m, nn.Linear)]
    assert 16 not in {layer.out_features for layer in layers}  # no trunk


@pytest.mark.parametrize("n_clusters", [1, 5])
def test_another_number_of_clusters_waits_too(table, n_clusters):
    model = VariationalClustering(3, **SMALL).fit(table)
    proba, score = model.predict_proba(table), model.score(table)
    rows, _ = model.sample(9)
    model.set_params(n_clusters=n_clusters)
    np.testing.assert_array_equal(model.predict_proba(table), proba)
    np.testing.assert_array_equal(model.sample(9)[0], rows)
    assert model.score(table) == score


@pytest.mark.parametrize("n_top, rows", [(None, 5), (2, 10), (9, 5)])
def test_score_decodes_no_more_rows_at_once_than_a_chunk(table, n_top, rows):
    model = VariationalClustering(4, **SMALL, n_top=n_top).fit(table)
    model._chunk, seen = 20, []
    model._model["decoder"].register_forward_pre_hook(
        lambda _, args: seen.append(args[0].shape[:2])
    )
    model.score(table)
    assert seen[0] == (rows, 20 // rows)
    assert sum(n for n, _ in seen) == len(table)


def test_one_column(table):
    """Tables have LeakyReLU everywhere, also those of one column."""
    model = VariationalClustering(2, **SMALL).fit(table[:, :1])
    active = {type(m) for m in model._model.modules() if "ReLU" in type(m).__name__}
    assert active == {torch.nn.LeakyReLU}


def test_levels_are_found_without_a_copy_of_all_columns():
    """What is copied of 64 MB of binary columns is a block of rows at a time."""
    X = np.random.default_rng(0).integers(0, 2, (8000, 2000)).astype(np.float32)
    model = VariationalClustering(2)
    model._check_X(X[:2], fitting=True)
    tracemalloc.start()
    columns, low, high = model._bernoulli_levels(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(columns) == 2000 and not low.any() and (high == 1).all()
    assert peak < X.nbytes / 4


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
        ({"noise": ("a", "b")}, "noise must be a range"),
        ({"noise": (0, float("nan"))}, "noise must be a range"),
        ({"swap": (0.5, 1.5)}, "swap must be a range .* <= 1"),
        ({"swap": (0.1,)}, "swap must be a range"),
        ({"lambda_aug": [("a", 1)]}, "starts rise from 0"),
        ({"lambda_aug": [(0, "b")]}, "starts rise from 0"),
        ({"lambda_aug": [(0, -1)]}, "no negative weights"),
        ({"lambda_rec": [(0, 1), (0.5, 0)]}, "positive weights"),
        ({"augmentation": lambda x: x[:, :2]}, "of the shape that it is given"),
        ({"augmentation": lambda x: None}, "of the shape that it is given"),
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
