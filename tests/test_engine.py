import functools
import tracemalloc

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, EarlyStopping, GradientNormClipping, LRScheduler
from torch import nn

from skdeepcluster.engine import (
    Batches,
    Convergence,
    FitStopped,
    Net,
    ResidentBatches,
    TimeLimit,
    neighbour_distance,
    resolve_device,
    seeded,
    threads_for,
)
from skdeepcluster.networks import Scaling

CPU = torch.device("cpu")


def batches(X, batch_size=4, kind=Batches):
    scaling = Scaling.fit(X, None)
    return kind(X, batch_size, scaling, torch.Generator().manual_seed(0), CPU)


def two_networks(callbacks=None, kind=Batches, X=None):
    """Networks a and b of one output; optimizer "a" trains a, "both" trains both."""
    if X is None:
        X = np.arange(22, dtype=np.float32).reshape(11, 2)
    net = Net(
        {"a": nn.Linear(2, 1), "b": nn.Linear(1, 1)},
        {
            "a": (lambda p: torch.optim.SGD(p, lr=1e-4), ["a"]),
            "both": (lambda p: torch.optim.SGD(p, lr=1e-4), ["a", "b"]),
        },
        batches(X, kind=kind),
        generator=torch.Generator().manual_seed(0),
        device=CPU,
        callbacks=callbacks,
    )
    return net.initialize()


def weights(net):
    return {name: value.clone() for name, value in net.state().items()}


def loss(net):
    return net.b_(net.a_(net.draw())).square().mean()


@pytest.mark.parametrize("kind", [Batches, ResidentBatches])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int64, bool])
def test_every_row_once_per_pass(kind, dtype):
    X = np.arange(12).reshape(12, 1).astype(dtype)
    source = batches(X, 3, kind)
    for _ in range(2):
        drawn = torch.cat([source.draw() for _ in range(4)])
        assert drawn.dtype == torch.float32
        np.testing.assert_array_equal(np.sort(drawn.numpy(), 0), X.astype(np.float32))


@pytest.mark.parametrize("kind", [Batches, ResidentBatches])
def test_passes_differ_in_order_and_batches_are_whole(kind):
    source = batches(np.arange(11.0).reshape(11, 1), 4, kind)
    passes = []
    for _ in range(3):
        drawn = [source.draw() for _ in range(len(source))]
        assert [len(batch) for batch in drawn] == [4, 4]
        passes.append(torch.cat(drawn).ravel().tolist())
    assert len({tuple(p) for p in passes}) == 3


@pytest.mark.parametrize("kind", [Batches, ResidentBatches])
def test_no_batch_comes_twice_in_a_pass_however_many_are_drawn(kind):
    source = batches(np.arange(12.0).reshape(12, 1), 4, kind)
    drawn = [source.draw() for _ in range(3 * 50)]
    for i in range(0, len(drawn), 3):
        assert len(torch.unique(torch.cat(drawn[i : i + 3]))) == 12


@pytest.mark.parametrize("kind", [Batches, ResidentBatches])
def test_values_kept_by_row_are_those_of_the_batch(kind):
    X = np.arange(22.0).reshape(22, 1)
    source = batches(X, 4, kind)
    for _ in range(3 * len(source)):
        drawn = source.draw()
        assert torch.equal(drawn, source.of_batch(torch.from_numpy(X).float()))


@pytest.mark.parametrize("kind", [Batches, ResidentBatches])
def test_other_values_of_the_rows_are_drawn_in_the_rows_order(kind):
    X = np.arange(22.0).reshape(22, 1)
    usual, other = batches(X, 4, kind), batches(X, 4, kind)
    values = -torch.from_numpy(X).float()
    for i in range(3 * len(usual)):  # in turn with draws of the rows themselves
        drawn = other.draw() if i % 3 == 0 else -other.draw_from(values)
        assert torch.equal(drawn, usual.draw())


@pytest.mark.parametrize("kind", [Batches, ResidentBatches])
def test_draws_go_on_amid_a_pass_where_a_state_was_taken(kind):
    source = batches(np.arange(22.0).reshape(22, 1), 4, kind)
    for _ in range(2):
        source.draw()
    state = source.state_dict()
    after = [source.draw() for _ in range(3)]
    source.shuffle()
    source.draw()
    source.load_state_dict(state)
    assert all(torch.equal(source.draw(), batch) for batch in after)


def test_small_batches_are_gathered_several_at_once_and_large_ones_are_not(monkeypatch):
    source, sizes = batches(np.zeros((20, 3)), 4), []
    gather = source._gather
    monkeypatch.setattr(source, "_gather", lambda r: sizes.append(len(r)) or gather(r))
    for at_once in (100, 1):  # two batches, filled up, and none
        monkeypatch.setattr("skdeepcluster.engine.data._GATHERED", at_once)
        source.shuffle()
        for _ in range(5):
            assert source.draw().shape == (4, 3)
    # Of two batches together each is filled up to 16 rows, which are 64 bytes or more.
    assert sizes == [32, 32, 4] + 5 * [4]


@pytest.mark.parametrize("width", [1, 9, 10, 16, 50])
def test_batches_begin_where_arrays_of_their_own_could(width):
    X = np.random.default_rng(0).normal(size=(100, width))
    source = batches(X, 33)
    drawn = [source.draw() for _ in range(3)]
    assert all(batch.data_ptr() % 64 == 0 for batch in drawn)
    assert [batch.shape for batch in drawn] == 3 * [(33, width)]
    assert len(torch.unique(torch.cat(drawn)[:, 0])) == 99
    assert drawn[0].untyped_storage().data_ptr() == (
        drawn[2].untyped_storage().data_ptr()
    )


def test_resident_bytes_stay_bytes():
    source = batches(np.zeros((6, 4), dtype=np.uint8), 2, ResidentBatches)
    assert source._data.dtype == torch.uint8


def test_batches_read_a_memmap_in_place(tmp_path):
    X = np.arange(40, dtype=np.uint8).reshape(20, 2)
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    source = batches(mapped)
    assert source._X is mapped
    drawn = torch.cat([source.draw() for _ in range(5)])
    np.testing.assert_array_equal(np.sort(drawn.numpy(), 0), X)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_batch_takes_no_memory_but_its_own(order):
    X = np.zeros((60_000, 50), order=order)
    source = batches(X, 10)
    tracemalloc.start()
    source.draw()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Several small batches are gathered at once: 1 MB as float32.
    assert peak < X.nbytes / 2


def test_a_large_offset_leaves_before_precision_does():
    x = np.random.default_rng(0).normal(size=(200, 1))
    X = x + 1e9
    scaling = Scaling.fit(X, "standard")
    scaled = scaling(scaling.centre(X)).numpy()
    np.testing.assert_allclose(scaled, (x - x.mean()) / x.std(), atol=1e-5)


@pytest.mark.parametrize("n", [30, 1_000, 4_000, 20_000])
def test_neighbour_distance(n):
    """Exact for little data, about right from a sample of more."""
    net = two_networks(X=np.random.default_rng(0).normal(size=(n, 2)))
    everything = net.batches.sample(n)
    x = everything[:25]
    tenth = torch.cdist(x, everything).sort(1).values[:, 10]
    far = neighbour_distance(net, n_steps=1)
    if n == 20_000:  # once for all, from as many rows as there are tenths
        net.batches.resize(25)
        far, x = neighbour_distance(net, n_steps=n), net.draw()
        tenth = torch.cdist(x, everything).sort(1).values[:, 10]
    estimate = far(x)
    if n <= 1_000:
        torch.testing.assert_close(estimate, tenth, rtol=1e-3, atol=1e-5)
    else:
        assert 0.7 < (estimate / tenth).median() < 1.4


@pytest.mark.parametrize("name, moved", [("a", {"a"}), ("both", {"a", "b"})])
def test_descend_moves_only_its_own_parameters(name, moved):
    net = two_networks()
    before = weights(net)
    net.descend(name, loss(net))
    changed = {k[0] for k, v in net.state().items() if not torch.equal(v, before[k])}
    assert changed == moved
    with_gradient = {
        n
        for n in "ab"
        for p in getattr(net, f"{n}_").parameters()
        if p.grad is not None
    }
    assert with_gradient == moved


def test_run_records_a_row_per_epoch_and_follows_progress():
    net = two_networks()
    seen = []

    def step(net):
        seen.append(net.progress.item())
        return {"loss": net.descend("both", loss(net)), "seven": torch.tensor(7.0)}

    net.run(step, n_steps=5, steps_per_epoch=2, phase="first")
    net.run(step, n_steps=2, steps_per_epoch=2, phase="second")
    assert seen == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 0, 0.5])
    rows = net.history
    assert rows[:, "phase"] == ["first"] * 3 + ["second"]
    assert rows[:, "step"] == [2, 4, 5, 7]
    assert rows[:, "seven"] == [7.0] * 4
    assert all(isinstance(value, float) for value in rows[:, "loss"])


def test_losses_are_read_once_per_epoch(monkeypatch):
    """Nothing in a step may wait for the device."""
    net = two_networks()
    reads = []
    for name in ("item", "tolist", "__bool__", "__float__", "cpu", "numpy"):
        read = getattr(torch.Tensor, name)

        def counted(self, *args, _read=read, _name=name, **kwargs):
            reads.append(_name)
            return _read(self, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, name, counted)
    counts = []
    for n in (10, 50):
        reads.clear()
        net.run(
            lambda net: {
                "loss": net.descend(
                    "both",
                    torch.square(net.a_.bias).sum()
                    + net.b_.bias.sum()
                    + net.b_.weight.sum()
                    + net.a_.weight.sum(),
                )
            },
            n_steps=n,
            steps_per_epoch=n,
        )
        counts.append(len(reads))
    assert counts[0] == counts[1]


def test_not_finite_goes_back_to_the_last_good_state():
    net = two_networks()
    states = []

    def step(net):
        states.append(weights(net))
        value = net.descend("both", loss(net))
        return {"loss": value * (float("nan") if len(states) == 5 else 1)}

    with pytest.raises(FitStopped, match="loss was no longer finite after 6 steps"):
        net.run(step, n_steps=10, steps_per_epoch=2)
    # Epochs 1 and 2 were good: their end is the state before step 5.
    for key, value in net.state().items():
        assert torch.equal(value, states[4][key])


def test_a_network_that_overflows_is_noticed_though_its_loss_is_finite():
    net = two_networks()

    def step(net):
        value = net.descend("both", loss(net))
        with torch.no_grad():
            net.b_.weight.fill_(float("inf"))
        return {"loss": value}

    with pytest.raises(FitStopped, match="network"):
        net.run(step, n_steps=2, steps_per_epoch=1)
    assert net.b_.weight.isfinite().all()


def run(net, n_steps=20, name="both"):
    step = lambda net: {"loss": net.descend(name, loss(net))}  # noqa: E731
    net.run(step, n_steps=n_steps, steps_per_epoch=2)


def test_skorch_callbacks_are_called_and_may_stop():
    class Count(Callback):
        batches = epochs = updates = 0

        def on_batch_end(self, net, loss=None, **kwargs):
            assert loss.ndim == 0
            self.batches += 1

        def on_epoch_end(self, net, **kwargs):
            self.epochs += 1

        def on_grad_computed(self, net, named_parameters, **kwargs):
            assert all(p.grad is not None for _, p in named_parameters)
            self.updates += 1

    count = Count()
    schedule = LRScheduler("StepLR", step_size=1, gamma=0.5)
    net = two_networks([count, schedule, GradientNormClipping(1e-9)])
    before = weights(net)
    run(net, 6, "a")
    assert (count.batches, count.epochs, count.updates) == (6, 3, 6)
    assert net.a_optimizer_.param_groups[0]["lr"] == pytest.approx(1e-4 / 8)
    for key, value in net.state().items():  # the clipped gradient moved next to nothing
        torch.testing.assert_close(value, before[key], atol=1e-9, rtol=0)


def test_early_stopping_is_a_stop_and_ctrl_c_is_not():
    stop = EarlyStopping(
        monitor="loss", patience=1, threshold=1e9, sink=lambda *_, **__: None
    )
    net = two_networks([stop])
    with pytest.raises(FitStopped):
        run(net)
    assert len(net.history) < 10

    class Late(Callback):
        ended = 0

        def on_epoch_end(self, net, **kwargs):
            self.ended += 1

        def on_train_end(self, net, **kwargs):
            self.ended += 100

    late = Late()
    with pytest.raises(FitStopped):
        run(two_networks([TimeLimit(0), late]))
    assert late.ended == 101  # told of the epoch and of the end, though it comes after

    class Person(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(two_networks([Person()]))


@pytest.mark.parametrize(
    "values, ends_after",
    [
        ([1.0] * 40, 11),  # flat from the start
        (list(np.linspace(0.1, 5, 15)) + [5.0] * 40, 25),  # rises first, then flat
        (list(np.geomspace(9, 0.1, 40)), None),  # falls all the time
        ([-x for x in np.geomspace(1, 50, 40)], None),  # falls below zero
    ],
)
def test_convergence_waits_for_the_fall_to_end(values, ends_after):
    net = two_networks([Convergence("w", tol=0.01, window=10, smooth=1)])
    left = iter(values)
    net.run(
        lambda net: {"w": torch.tensor(next(left))},
        n_steps=len(values),
        steps_per_epoch=1,
    )
    assert len(net.history) == (ends_after or len(values))
    assert net.converged_ == (ends_after is not None)


def test_random_state_and_threads_are_given_back():
    before, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(2)
    try:
        with seeded(3, CPU), threads_for(10, CPU):
            assert torch.get_num_threads() == 1
            torch.rand(3)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("batch_size, n_threads", [(4, 1), (10, 2)])
def test_threads_are_chosen_by_the_work_of_each_phase(
    monkeypatch, batch_size, n_threads
):
    monkeypatch.setattr("skdeepcluster.engine.runtime._SMALL_PASS", 30)
    net, seen = two_networks(), []
    net.batches.resize(batch_size)  # five weights each

    def step(net):
        seen.append(torch.get_num_threads())
        return {"loss": net.descend("both", loss(net))}

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        net.run(step, n_steps=1, steps_per_epoch=1)
        assert seen == [n_threads] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("device", ["abacus", "cuda:99:1"])
def test_unknown_device(device):
    with pytest.raises(ValueError, match="not a device that torch knows"):
        resolve_device(device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_absent_device():
    assert resolve_device("auto") == CPU or resolve_device("auto").type == "mps"
    with pytest.raises(ValueError, match="not available on this machine"):
        resolve_device("cuda")


@pytest.mark.parametrize(
    "optimizer",
    [torch.optim.Adam, functools.partial(torch.optim.SGD, momentum=0.9)],
    ids=["adam", "sgd"],
)
def test_moments_of_weights_without_a_gradient_do_not_get_denormal(optimizer):
    """A processor takes ten times as long to compute with such numbers."""
    X = np.arange(22, dtype=np.float32).reshape(11, 2)
    net = Net(
        {"a": nn.Linear(2, 1)},
        {"a": (functools.partial(optimizer, lr=1e-4), ["a"])},
        batches(X),
        generator=torch.Generator().manual_seed(0),
        device=CPU,
    ).initialize()

    def step(net):
        alive = net.n_steps == 0  # in the first epoch
        x = net.draw() * torch.tensor([1.0, float(alive)])
        return {"loss": net.descend("a", net.a_(x).square().mean())}

    net.run(step, n_steps=1_200, steps_per_epoch=5)
    (state, _) = net.a_optimizer_.state.values()
    moments = [v for k, v in state.items() if k != "step" and v is not None]
    smallest = torch.finfo(torch.float32).tiny
    for moment in moments:
        assert not ((moment != 0) & (moment.abs() < smallest)).any()
    assert moments[0][0, 0] != 0 and moments[0][0, 1] == 0
