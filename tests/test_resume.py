import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import Callback
from torch import nn

from skdeepcluster import DCCS, AutoencoderKMeans
from skdeepcluster.engine import (
    Batches,
    Convergence,
    Net,
    ResidentBatches,
    ResumableCheckpoint,
    Settled,
    TimeLimit,
)
from skdeepcluster.networks import Scaling
from tests.conftest import QUICK

CPU = torch.device("cpu")


class Interrupt(Callback):
    """A person's Ctrl-C at the end of an epoch, counted over all phases."""

    def __init__(self, after):
        self.after = after

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.after:
            raise KeyboardInterrupt


@pytest.fixture
def table():
    return np.random.default_rng(0).normal(size=(150, 5)).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "fit.ckpt"


def without_times(history):
    return {k: v for k, v in history.items() if k != "dur"}


def same(a, b):
    """Whether two fitted models are equal to the bit."""
    for key, value in a._model.state_dict().items():
        assert torch.equal(value, b._model.state_dict()[key]), key
    ours, theirs = without_times(a.history_), without_times(b.history_)
    assert list(ours) == list(theirs)
    for key, value in ours.items():
        np.testing.assert_array_equal(value, theirs[key], err_msg=key)
    assert a.n_iter_ == b.n_iter_ and np.array_equal(a.labels_, b.labels_)


@pytest.mark.parametrize("after", [1, 4, 7])
def test_an_interrupted_fit_ends_as_if_it_had_not_been(table, path, after):
    params = {**QUICK, "batch_size": 16, "max_epochs": 7}
    whole = DCCS(3, **params).fit(table)
    keep = ResumableCheckpoint(path, every_s=0)
    with pytest.raises(KeyboardInterrupt):
        DCCS(3, **params, callbacks=[keep, Interrupt(after)]).fit(table)
    resumed = DCCS(3, **params, callbacks=[keep])
    n_steps = []
    step = resumed._step
    resumed._step = lambda *args, **kw: n_steps.append(1) or step(*args, **kw)
    resumed.fit(table)
    del resumed._step
    same(whole, resumed)
    # One step is an epoch here (150 rows make 9 batches, a step draws 5).
    assert len(n_steps) == 7 - after


@pytest.mark.parametrize("width", [9, 17])
def test_rows_that_end_anywhere_in_memory_are_taken_up_to_the_bit(path, width):
    X = np.random.default_rng(0).normal(size=(236, width)).astype(np.float32)
    params = {"hidden_layer_sizes": (9,), "n_latent": 2, "batch_size": 33}
    model = AutoencoderKMeans(3, **params, device="cpu", random_state=0)
    whole = clone(model).fit(X)
    keep = ResumableCheckpoint(path)
    clone(model).set_params(callbacks=[keep, TimeLimit(0)]).fit(X)
    same(clone(model).set_params(callbacks=[keep]).fit(X), whole)


def test_another_fit_is_refused(table, path):
    """Also where rows that are looked at, and the text of the encoder, are alike."""
    own, other = nn.Linear(5, 4), nn.Linear(5, 4)
    X = np.tile(table, (20, 1))
    callbacks = [ResumableCheckpoint(path), TimeLimit(0)]
    model = DCCS(3, **QUICK, encoder=own, callbacks=callbacks).fit(X)
    model.fit(X)  # goes on
    changed = X.copy()
    changed[1::3] += 50  # every third row is looked at
    with pytest.raises(ValueError, match="written by another fit"):
        clone(model).fit(changed)
    with pytest.raises(ValueError, match="written by another fit"):
        clone(model).set_params(encoder=other).fit(X)
    more = [Counter(), *callbacks]
    with pytest.raises(ValueError, match="states of 1 callbacks, but 2 have one"):
        clone(model).set_params(callbacks=more).fit(X)


class Counter(Callback):
    """Has a state."""

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def test_a_fit_that_was_stopped_goes_on_in_parts(table, path):
    params = {**QUICK, "batch_size": 16, "max_epochs": 4}
    callbacks = [TimeLimit(0), ResumableCheckpoint(path)]
    epochs = [
        len(DCCS(3, **params, callbacks=callbacks).fit(table).history_["loss"])
        for _ in range(5)
    ]
    assert epochs == [1, 2, 3, 4, 4]
    same(
        DCCS(3, **params).fit(table), DCCS(3, **params, callbacks=callbacks).fit(table)
    )


@pytest.mark.parametrize(
    "change",
    [{"random_state": 1}, {"gp_weight": 3.0}, {"n_clusters": 4}, {"max_epochs": 6}],
)
def test_another_fit_is_not_taken_for_this_one(table, path, change):
    keep = ResumableCheckpoint(path)
    model = DCCS(3, **QUICK, callbacks=[keep]).fit(table)
    with pytest.raises(ValueError, match="written by another fit"):
        model.set_params(**change).fit(table)


def test_other_data_is_not_taken_for_these(table, path):
    keep = ResumableCheckpoint(path)
    DCCS(3, **QUICK, callbacks=[keep]).fit(table)
    with pytest.raises(ValueError, match="written by another fit"):
        DCCS(3, **QUICK, callbacks=[keep]).fit(table[::-1].copy())


def test_what_cannot_be_a_checkpoint_is_said_before_training(table, path):
    path.write_text("no checkpoint")
    with pytest.raises(ValueError, match="is no checkpoint"):
        DCCS(3, **QUICK, callbacks=[ResumableCheckpoint(path)]).fit(table)
    missing = ResumableCheckpoint(path.parent / "missing" / "fit.ckpt")
    with pytest.raises(ValueError, match="no such folder"):
        DCCS(3, **QUICK, callbacks=[missing]).fit(table)


def test_a_state_that_is_not_finite_is_never_saved(table, path):
    steps = []

    class Broken(DCCS):
        def _step(self, net, **kwargs):
            steps.append(1)
            losses = super()._step(net, **kwargs)
            return {k: v / (len(steps) < 3) for k, v in losses.items()}

    keep = ResumableCheckpoint(path, every_s=0)
    Broken(3, **QUICK, callbacks=[keep]).fit(table)
    saved = torch.load(path, weights_only=True)
    assert saved["running"]["n_steps"] == 2 and not saved["finished"]


# -- several phases, without an estimator ---------------------------------------------


def trained(path=None, kind=Batches, stop_after=None):
    """Two phases with dropout and a convergence; draws and a new batch size between.

    Returns the net, and the number of steps that were made.
    """
    torch.manual_seed(0)
    X = np.random.default_rng(0).normal(size=(23, 3)).astype(np.float32)
    generator = torch.Generator().manual_seed(0)
    callbacks = [
        Convergence("loss", tol=0.01, window=50),
        Settled(lambda: assigned(net), "second", tol=1e-9, window=3),
    ]
    if path is not None:
        callbacks.append(ResumableCheckpoint(path, every_s=0))
    if stop_after is not None:
        callbacks.append(Interrupt(stop_after))
    net = Net(
        {"a": nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 2))},
        {"a": (lambda p: torch.optim.Adam(p, lr=0.01), ["a"])},
        kind(X, 4, Scaling.fit(X, None), generator, CPU),
        generator=generator,
        device=CPU,
        callbacks=callbacks,
    ).initialize()
    steps = []

    def step(net, target):
        steps.append(1)
        x = net.draw()
        noise = net.randn(len(x), 2) * net.progress
        return {
            "loss": net.descend("a", (net.a_(x) - target + noise).square().mean()),
            "progress": net.progress,
        }

    try:
        net.run(lambda n: step(n, 0), n_steps=9, steps_per_epoch=3, phase="first")
        # Depends on the weights at the end of the first phase, and on the generator.
        target = net.a_[0].weight.detach().sum() + net.randn(2)
        net.batches.resize(5)
        net.run(
            lambda n: step(n, target), n_steps=14, steps_per_epoch=4, phase="second"
        )
    except KeyboardInterrupt:
        pass
    return net, len(steps)


def assigned(net):
    return net.a_[0].weight.detach().argmax(1).numpy()


@pytest.mark.parametrize("kind", [Batches, ResidentBatches])
@pytest.mark.parametrize("after, steps_left", [(2, 17), (3, 14), (5, 6), (7, 0)])
def test_phases_are_taken_up_where_they_were_left(path, kind, after, steps_left):
    whole, n_steps = trained(kind=kind)
    assert n_steps == 23
    trained(path, kind, stop_after=after)
    resumed, n_steps = trained(path, kind)
    assert n_steps == steps_left
    for key, value in whole.state().items():
        assert torch.equal(value, resumed.state()[key])
    rows, again = ([without_times(r) for r in n.history] for n in (whole, resumed))
    np.testing.assert_equal(again, rows)
    assert torch.equal(whole.generator.get_state(), resumed.generator.get_state())
    assert (whole.phase, whole.n_steps) == (resumed.phase, resumed.n_steps)
    one, two = (dict(n.callbacks_)["Convergence"] for n in (whole, resumed))
    assert vars(one) == vars(two)
    assert torch.equal(whole.draw(), resumed.draw())


def test_a_second_crash_does_not_lose_what_the_first_had_saved(path):
    trained(path, stop_after=5)
    # Ends before the second phase has saved anything more.
    saved = torch.load(path, weights_only=True)
    assert len(saved["finished"]) == 1 and saved["running"]["n_steps"] == 17
    trained(path, stop_after=6)
    assert torch.load(path, weights_only=True)["running"]["n_steps"] == 21
