"""IIC: invariant information clustering."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score
from skorch.callbacks import Callback
from torch import nn

from skdeepcluster import IIC
from skdeepcluster.engine import TimeLimit
from skdeepcluster.losses import iic_loss, joint_assignments
from skdeepcluster.metrics import clustering_accuracy
from skdeepcluster.networks import Trunk
from tests.conftest import QUICK_IIC, started, weights

# -- equations ------------------------------------------------------------------------


def softmax(logits):
    p = np.exp(logits)
    return p / p.sum(-1, keepdims=True)


def joint_by_rows(p, q):
    """Equation 2, row by row, for one head."""
    n, k = p.shape
    P = np.zeros((k, k))
    for i in range(n):
        for c in range(k):
            for d in range(k):
                P[c, d] += (p[i, c] * q[i, d] + p[i, d] * q[i, c]) / (2 * n)
    return P


def information(P):
    """Mutual information of a joint distribution, in nats."""
    rows, columns = P.sum(1, keepdims=True), P.sum(0, keepdims=True)
    return np.sum(P * np.log(P / (rows * columns)))


def test_the_loss_equals_its_equation_for_each_head():
    rng = np.random.default_rng(0)
    p, q = softmax(rng.normal(size=(2, 20, 3, 4)))
    expected = np.array([joint_by_rows(p[:, h], q[:, h]) for h in range(3)])
    p, q = torch.from_numpy(p), torch.from_numpy(q)
    np.testing.assert_allclose(joint_assignments(p, q).numpy(), expected)
    losses = [-information(P) for P in expected]
    np.testing.assert_allclose(iic_loss(p, q).numpy(), losses)
    np.testing.assert_allclose(iic_loss(p[:, 1], q[:, 1]).item(), losses[1])


def test_the_joint_is_a_symmetric_distribution():
    p, q = torch.randn(2, 30, 5, generator=torch.Generator().manual_seed(0)).softmax(-1)
    P = joint_assignments(p, q)
    assert torch.equal(P, P.mT) and P.min() > 0
    assert P.sum().item() == pytest.approx(1)


def test_limits_of_the_loss():
    one_of_four = torch.eye(4).repeat(5, 1)
    assert iic_loss(one_of_four, one_of_four).item() == pytest.approx(-np.log(4))
    constant = torch.tensor([0.1, 0.2, 0.3, 0.4]).repeat(20, 1)
    assert iic_loss(constant, constant).item() == pytest.approx(0, abs=1e-6)
    assert iic_loss(one_of_four, constant).item() > -np.log(4) / 2
    # Sure, but all in one cluster.
    same = torch.eye(4)[:1].repeat(20, 1)
    assert iic_loss(same, same).item() == pytest.approx(0, abs=1e-6)


def test_empty_clusters_do_no_harm():
    """Three rows in two of four clusters: entropy of (2/3, 1/3), finite gradients."""
    logits = torch.full((3, 4), -200.0)
    logits[[0, 1, 2], [0, 0, 1]] = 200.0
    logits.requires_grad_()
    p = logits.softmax(-1)
    loss = iic_loss(p, p)
    loss.backward()
    assert logits.grad.isfinite().all()
    expected = np.log(3) - 2 / 3 * np.log(2)
    assert loss.item() == pytest.approx(-expected, rel=1e-5)


def test_several_views_are_so_many_pairs():
    """Five views' mean assignment in place of the paper's five copies of each row."""
    p, views = softmax(np.random.default_rng(0).normal(size=(2, 50, 4)))
    p = p[:10]
    P = joint_by_rows(np.tile(p, (5, 1)), views)
    mean = torch.from_numpy(views).unflatten(0, (5, 10)).mean(0)
    got = joint_assignments(torch.from_numpy(p), mean)
    np.testing.assert_allclose(got.numpy(), P)


# -- algorithm ------------------------------------------------------------------------


def seen_by_heads(net):
    """What the heads of either kind give in the coming passes."""
    seen = {"heads": [], "over_heads": []}
    for name, outputs in seen.items():
        getattr(net, f"{name}_").register_forward_hook(
            lambda _, args, out, to=outputs: to.append(
                out[1][0].detach().double().numpy()
            )
        )
    return seen


@pytest.mark.parametrize("n_views", [1, 3])
def test_losses_of_a_step_equal_a_numpy_reading(table, n_views):
    model = IIC(3, n_heads=2, n_views=n_views, **QUICK_IIC)
    net, [(step, _)] = started(model, table)
    for name in ("heads", "over_heads"):  # begin where there is something to see
        getattr(net, f"{name}_").output.weight.data.mul_(100)
    seen = seen_by_heads(net)
    losses = step(net)
    n = {"heads": 2, "over_heads": 1}
    means = {}
    for name, outputs in seen.items():
        assert len(outputs) == 2 * n[name]
        of_updates = []
        for x, views in zip(outputs[::2], outputs[1::2], strict=True):
            assert len(x) == 32 and len(views) == 32 * n_views
            p, q = np.tile(softmax(x), (n_views, 1, 1)), softmax(views)
            of_updates.append(
                [-information(joint_by_rows(p[:, h], q[:, h])) for h in range(2)]
            )
        means[name] = np.array(of_updates)
    assert losses["loss"].item() == pytest.approx(means["heads"].mean(), rel=1e-4)
    assert losses["over_loss"].item() == pytest.approx(
        means["over_heads"].mean(), rel=1e-4
    )
    first, second = means["heads"]
    weight = step.keywords["weight"]
    np.testing.assert_allclose(
        net.heads_.losses.numpy(), first + weight * (second - first), rtol=1e-4
    )


def test_heads_rest_while_the_others_are_trained(table):
    """Neither their weights move nor what Adam knows of them."""
    net, [(step, _)] = started(IIC(3, **QUICK_IIC), table)
    step(net)
    descend, adam, moved = net.descend, net.all_optimizer_, []

    def state():
        of = {
            f"{name}, {key}": value.clone()
            for name in ("heads", "over_heads")
            for parameter in getattr(net, f"{name}_").parameters()
            for key, value in adam.state[parameter].items()
        }
        return of | {k: v for k, v in weights(net).items() if "heads" in k}

    def watched(name, loss):
        before = state()
        loss = descend(name, loss)
        after = state()
        moved.append({k for k in after if not torch.equal(after[k], before[k])})
        return loss

    net.descend = watched
    step(net)
    kinds = [{"over" if k.startswith("over") else "k" for k in keys} for keys in moved]
    assert kinds == [{"over"}, {"k"}, {"k"}]
    assert all(any("exp_avg" in k for k in keys) for keys in moved)


def test_each_update_has_a_batch_of_its_own(table):
    net, [(step, plan)] = started(IIC(3, n_cluster_updates=3, **QUICK_IIC), table)
    draw, batches = net.draw, []
    net.draw = lambda: batches.append(draw()) or batches[-1]
    step(net)
    assert len({tuple(x[:, 0].tolist()) for x in batches}) == 4
    # 6 batches in a pass: each of 5 epochs is a single iteration.
    assert plan == {"n_steps": 5, "steps_per_epoch": 1}


def test_averages_of_batch_norm_are_of_the_samples_alone(table):
    model = IIC(3, augmentation=lambda x: x + 100, **QUICK_IIC)
    net, [(step, _)] = started(model, table)
    norm, inputs = net.encoder_.body[1], []
    norm.register_forward_hook(lambda _, args, out: inputs.append(args[0].detach()))
    step(net)
    mean = torch.zeros(32)
    for x in inputs[::2]:
        mean += norm.momentum * (x.mean(0) - mean)
    torch.testing.assert_close(norm.running_mean, mean)


def test_the_head_of_lowest_loss_is_read(table):
    model = IIC(4, n_heads=6, **QUICK_IIC).fit(table)
    heads = model._model["heads"]
    assert int(heads.chosen) == int(heads.losses.argmin())
    assert len(heads.losses.unique()) == 6 and (heads.losses < 0).all()
    assert model._own_criterion(table) == pytest.approx(-heads.losses.min().item())
    with torch.no_grad():
        x = model._scaling(model._scaling.centre(table))
        _, [logits] = heads(model._model["encoder"](x))
    p = logits[:, heads.chosen].softmax(1).numpy()[:, model._kept]
    expected = p / p.sum(1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(table), expected, rtol=1e-4)


def test_stopped_after_an_epoch_a_head_is_chosen(table):
    model = IIC(3, callbacks=[TimeLimit(0)], **QUICK_IIC).fit(table)
    heads = model._model["heads"]
    assert len(model.history_["loss"]) == 1
    assert int(heads.chosen) == int(heads.losses.argmin())


def test_interrupted_amid_an_epoch_gone_wrong_a_head_of_the_good_state_is_read(table):
    class Poison(Callback):
        def on_batch_end(self, net, **kwargs):
            if len(net.history) == 3:
                with torch.no_grad():
                    net.heads_.output.weight.fill_(float("nan"))
                raise KeyboardInterrupt

    model = IIC(4, n_heads=6, callbacks=[Poison()], **QUICK_IIC)
    with pytest.raises(KeyboardInterrupt):
        model.fit(table)
    heads = model._model["heads"]
    assert int(heads.chosen) == int(heads.losses.argmin()) > 0


@pytest.mark.parametrize("n_over, expected", [("auto", 15), (7, 7)])
def test_outputs_of_the_heads(table, n_over, expected):
    net, _ = started(IIC(3, n_heads=4, n_over_clusters=n_over, **QUICK_IIC), table)
    assert net.heads_.output.weight.shape == (4 * 3, 32)
    assert net.over_heads_.output.weight.shape == (4 * expected, 32)
    assert net.over_heads_.output.weight.std().item() == pytest.approx(0.01, rel=0.1)


# -- networks and data ----------------------------------------------------------------


@pytest.mark.parametrize(
    "shape, n_features",
    [
        ((1, 24, 24), 4608),
        ((1, 28, 28), 4608),
        ((1, 8, 8), 512),
        ((1, 9, 17), 1024),
        ((1, 48, 64), 512 * 3 * 4),
        ((1, 96, 96), 4608),
        ((3, 16, 16), 2048),
        ((2, 32, 32), 512),
        ((3, 40, 33), 512),
    ],
)
def test_trunks_of_images_of_any_size(shape, n_features):
    """Shapes alone: on the meta device nothing is computed."""
    with torch.device("meta"):
        trunk = Trunk(shape, ())
        features = trunk(torch.zeros(2, *shape))
    assert features.shape == (2, n_features) and trunk.n_features == n_features


def test_published_trunk():
    """As many weights as the release's: convolutions without bias, batch norm."""
    sizes = [
        25 * a * b + 2 * b for a, b in [(1, 64), (64, 128), (128, 256), (256, 512)]
    ]
    weights = Trunk((1, 24, 24), ()).parameters()
    assert sum(weight.numel() for weight in weights) == sum(sizes)


def test_colour_is_seen_by_its_edges():
    """A colour added to all pixels changes nothing but the border."""
    edges = Trunk((3, 16, 16), ()).body[0]
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    shifted = edges(x + torch.tensor([0.3, -0.2, 0.1])[:, None, None])
    assert edges(x).shape == (2, 2, 16, 16)
    inner = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(shifted[inner], edges(x)[inner])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("shape", [(8, 8), (9, 11), (8, 10, 3)])
def test_fits_of_images(shape):
    X = np.random.default_rng(0).integers(0, 256, (24, *shape)).astype(np.uint8)
    params = {**QUICK_IIC, "batch_size": 8, "max_epochs": 1}
    model = IIC(2, n_views=2, **params).fit(X)
    assert model.transform(X).shape == (24, 512)
    assert model.cluster_centers_.shape[1:] == shape


@pytest.mark.parametrize(
    "shape, turns, flips",
    [((1, 12, 12), True, False), ((1, 32, 32), True, True), ((3, 32, 32), False, True)],
)
def test_automatic_augmentation_of_images(shape, turns, flips, draws, monkeypatch):
    called = {}

    def note(name):
        def kept(x, net, **kwargs):
            called[name] = kwargs
            return x

        monkeypatch.setattr(f"skdeepcluster.augment.{name}", kept)

    for name in ("random_affine", "horizontal_flip"):
        note(name)
    x = draws.rand(4, *shape)
    y = IIC(3)._crop(x, draws)
    assert y.shape == x.shape and 0 <= y.min() and y.max() <= 1
    assert called.get("random_affine") == ({"degrees": 25.0} if turns else None)
    assert ("horizontal_flip" in called) == flips


def test_noise_of_tables_has_the_columns_units(table):
    X = table * [1, 10, 100, 1, 1, 1]
    model = IIC(3, noise=(0.2, 0.2), swap=(0, 0), n_views=7, scale=None, **QUICK_IIC)
    net, _ = started(model, X)
    x = net.draw()
    noise = model._augment(x, net).unflatten(0, (7, 32)) - x
    units = noise.std((0, 1)) / torch.from_numpy(X.std(0))
    np.testing.assert_allclose(units, 0.2, rtol=0.2)


def test_own_augmentation_and_encoder(table):
    seen = []

    def shrink(x):
        seen.append(x)
        return 0.9 * x

    own = nn.Sequential(nn.Linear(6, 10), nn.ReLU())
    before = own[0].weight.clone()
    params = {**QUICK_IIC, "max_epochs": 1}
    model = IIC(3, encoder=own, augmentation=shrink, n_views=2, **params).fit(table)
    assert {len(x) for x in seen} == {64}
    assert model.transform(table).shape == (200, 10)
    assert torch.equal(own[0].weight, before)
    # It began at the weights that it came with, and moved.
    moved = (model._model["encoder"].body[0].weight - before).abs().max().item()
    assert 0 < moved < 0.1


def test_wrong_parameters_give_one_clear_error(table, images):
    def refused(X, match, **params):
        with pytest.raises(ValueError, match=match):
            IIC(3, **params).fit(X)

    refused(table, "augmentation='crop' is for images", augmentation="crop")
    refused(images, "augmentation='noise' is for tables", augmentation="noise")
    refused(images, r"leaves the range \[0, 1\]", scale="standard")
    refused(images[:, :7], "at least 8 pixels", n_views=1)
    refused(table, "swap must be a range", swap=(0.2, 1.1))
    refused(table, "noise must be a range", noise=(0.3, 0.1))
    refused(table, "hidden_layer_sizes must be", hidden_layer_sizes=(3, 0))
    for name in ("n_heads", "n_over_clusters", "n_cluster_updates", "n_views"):
        refused(table, f"'{name}' parameter", **{name: 0})
    refused(table, "'rotation' parameter", rotation=200)
    refused(table, "'augmentation' parameter", augmentation=None)
    refused(table, "'learning_rate' parameter", learning_rate=0)


# -- quality --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_separated_blobs(seed, blobs):
    y = np.argmin(abs(blobs[:, :1] - [[-9, 0, 9]]), axis=1)
    model = IIC(3, hidden_layer_sizes=(64,), random_state=seed)
    assert adjusted_rand_score(y, model.fit_predict(blobs)) == 1


def test_digits_as_rows():
    """Seen here with seeds 0 to 2: .68, .80, .66; without training .25, .28, .29."""
    X, y = load_digits(return_X_y=True)
    model = IIC(10, max_epochs=75, random_state=0).fit(X)
    assert clustering_accuracy(y, model.labels_) > 0.6
