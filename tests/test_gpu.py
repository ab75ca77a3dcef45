"""What only a GPU can show; run with -m gpu."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from skdeepcluster import DCCS, UDC
from skdeepcluster.engine import (
    Batches,
    Net,
    ResidentBatches,
    ResumableCheckpoint,
    TimeLimit,
    make_batches,
)
from skdeepcluster.methods import METHODS
from skdeepcluster.networks import Scaling
from tests.conftest import QUICK, QUICK_UDC, quick

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]


@pytest.mark.parametrize("shape", [(300, 9), (100, 28, 28), (64, 32, 32, 3)])
@pytest.mark.parametrize("name", METHODS)
def test_a_fit_on_the_gpu_is_repeatable_and_loads_on_a_cpu(name, shape):
    X = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    models = [quick(name, device="cuda").fit(X) for _ in range(2)]
    np.testing.assert_allclose(
        models[0].transform(X), models[1].transform(X), rtol=1e-3, atol=1e-4
    )
    state = pickle.dumps(models[0].set_params(device="cpu"))
    on_cpu = pickle.loads(state)
    assert on_cpu._scaling.shift.device.type == "cpu"
    assert adjusted_rand_score(on_cpu.predict(X), models[0].labels_) > 0.9


def test_a_fit_that_was_stopped_on_the_gpu_goes_on(tmp_path):
    X = np.random.default_rng(0).integers(0, 256, (100, 28, 28)).astype(np.uint8)
    whole = DCCS(3, device="cuda", **QUICK).fit(X)
    keep = ResumableCheckpoint(tmp_path / "fit.ckpt")
    parts = []
    for callbacks in ([TimeLimit(0), keep], [keep]):
        model = DCCS(3, device="cuda", **QUICK, callbacks=callbacks)
        parts.append(model.fit(X))
    assert [part.n_iter_ for part in parts] == [1, whole.n_iter_]
    np.testing.assert_allclose(
        parts[1].transform(X), whole.transform(X), rtol=1e-3, atol=1e-4
    )


def test_bytes_lie_on_the_gpu_as_bytes_and_too_many_stay_at_home(monkeypatch):
    X = np.zeros((64, 4), dtype=np.uint8)
    gpu = torch.device("cuda")
    scaling = Scaling.fit(X, "minmax").to(gpu)
    args = X, 8, scaling, torch.Generator(gpu).manual_seed(0), gpu
    batches = make_batches(*args)
    assert isinstance(batches, ResidentBatches) and batches._data.dtype == torch.uint8
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (0, 0))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 0)
    at_home = make_batches(*args)
    assert type(at_home) is Batches and at_home.draw().device.type == "cuda"


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.parametrize("shape", [(500, 9), (500, 28, 28), (64, 32, 32, 3)])
@pytest.mark.parametrize("name", METHODS)
def test_a_step_never_waits_for_the_gpu(name, shape, monkeypatch):
    X = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    one = Net._one

    def watched(net, step):
        torch.cuda.set_sync_debug_mode("error")
        try:
            return one(net, step)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(Net, "_one", watched)
    model = quick(name, device="cuda", graph=False).fit(X)
    assert model.n_iter_ > 0


@pytest.mark.parametrize("shape", [(500, 9), (500, 28, 28), (200, 32, 32, 3)])
@pytest.mark.parametrize("name", METHODS)
def test_captured_steps_equal_steps_one_by_one(name, shape, caplog):
    X = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    params = {"batch_size": 10, "precision": "float32", "device": "cuda"}
    with caplog.at_level("INFO", "skdeepcluster"):
        one, captured = (
            quick(name, graph=graph, **params).fit(X) for graph in (False, True)
        )
    assert not caplog.text  # nothing fell back
    # Atomic additions round in another order each time, and training multiplies that.
    first = slice(0, 2)
    np.testing.assert_allclose(
        captured.history_["loss"][first],
        one.history_["loss"][first],
        rtol=1e-3,
        atol=1e-3,
    )
    assert captured.n_iter_ == one.n_iter_


def test_a_broken_capture_leaves_nothing_behind(caplog):
    X = np.random.default_rng(0).normal(size=(300, 9)).astype(np.float32)
    params = {**QUICK_UDC, "batch_size": 10, "device": "cuda", "precision": "float32"}

    def reads_a_number(x):
        return x + 0.1 * float(x.detach().max())

    with caplog.at_level("INFO", "skdeepcluster"):
        model = UDC(3, augmentation=reads_a_number, **params).fit(X)
    assert "not captured" in caplog.text
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    plain = UDC(3, augmentation=reads_a_number, graph=False, **params).fit(X)
    np.testing.assert_allclose(
        model.history_["loss"], plain.history_["loss"], rtol=1e-2, atol=1e-2
    )
    caplog.clear()
    with caplog.at_level("INFO", "skdeepcluster"):
        UDC(3, **params).fit(X)  # the next one is captured again
    assert not caplog.text


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
@pytest.mark.parametrize("name", METHODS)
def test_every_precision_trains(name, precision):
    X = np.random.default_rng(0).integers(0, 256, (300, 28, 28)).astype(np.uint8)
    model = quick(name, device="cuda", precision=precision).fit(X)
    assert np.isfinite(model.history_["loss"]).all()


@pytest.mark.parametrize("shape", [(500, 9), (200, 28, 28)])
@pytest.mark.parametrize("name", METHODS)
def test_fits_side_by_side_give_what_each_gives(name, shape):
    X = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    params = {"batch_size": 10, "device": "cuda", "precision": "float32"}
    both = quick(name, n_init=8, **params).fit(X)
    turns = quick(name, n_init=8, n_jobs=1, **params).fit(X)
    np.testing.assert_allclose(
        both.init_scores_, turns.init_scores_, rtol=1e-2, atol=1e-3
    )
    np.testing.assert_allclose(
        both.transform(X), turns.transform(X), rtol=1e-2, atol=1e-2
    )
