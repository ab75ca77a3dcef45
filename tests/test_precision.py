"""Lower precision and compiled networks: where, and that nothing of it stays."""

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from skdeepcluster import (
    DCCS,
    AugmentedGANClustering,
    VariationalClustering,
)
from skdeepcluster.engine import resolve_precision
from skdeepcluster.engine.precision import Precision
from tests.conftest import started, with_all

CPU = torch.device("cpu")
BACKENDS = [
    torch.backends.cuda.matmul,
    torch.backends.cudnn.conv,
    torch.backends.mkldnn.matmul,
    torch.backends.mkldnn.conv,
]


def settings():
    return [backend.fp32_precision for backend in BACKENDS]


def products_of(model, X):
    """(types of the factors, backends' settings) of every product of a last step."""
    net, phases = started(model, X)
    seen = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func._schema.name in ("aten::mm", "aten::addmm", "aten::bmm"):
                kinds = {str(a.dtype) for a in args if isinstance(a, torch.Tensor)}
                seen.append((network[-1], kinds, settings()[0]))
            return func(*args, **(kwargs or {}))

    network = ["none"]
    for name, module in net.networks.items():
        module.register_forward_pre_hook(
            lambda module, args, name=name: network.append(name)
        )
        module.register_forward_hook(lambda *args: network.pop() and None)
    step, _ = phases[-1]
    with net._precision.steps(), Watch():
        step(net)
    return seen


@with_all
def test_bf16_is_for_networks_but_critics(model, table):
    model = type(model)(**{**model.get_params(), "precision": "bf16"})
    seen = products_of(model, table)
    by_network = {}
    for network, kinds, _ in seen:
        by_network.setdefault(network, set()).update(kinds)
    by_network.pop("none", None)  # of backward passes
    assert by_network.pop("critic", {"torch.float32"}) == {"torch.float32"}
    assert by_network
    assert all(kinds == {"torch.bfloat16"} for kinds in by_network.values())


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@with_all
def test_fits_and_leaves_the_settings_as_found(model, precision, table):
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"  # a user's
    try:
        before = settings()
        params = {**model.get_params(), "precision": precision}
        fitted = type(model)(**params).fit(table)
        assert settings() == before and not torch.is_autocast_enabled("cpu")
    finally:
        torch.backends.mkldnn.matmul.fp32_precision = "none"
    losses = fitted.history_["loss"]
    assert losses.dtype == np.float64 and np.isfinite(losses).all()
    assert fitted.transform(table).dtype == np.float32
    for value in fitted._model.state_dict().values():
        assert value.dtype in (torch.float32, torch.int64)


def test_features_of_a_frozen_discriminator_are_in_bf16_too(table):
    short = {"gan_max_epochs": 1, "max_epochs": 1, "batch_size": 64}
    model = AugmentedGANClustering(3, features="gan", precision="bf16", **short)
    found = [k for n, k, _ in products_of(model, table) if n == "discriminator"]
    assert found and all(kinds == {"torch.bfloat16"} for kinds in found)


def test_bf16_finds_the_clusters_that_float32_does(blobs):
    y = np.argmin(abs(blobs[:, :1] - [[-9, 0, 9]]), axis=1)
    model = VariationalClustering(3, precision="bf16", max_epochs=150, random_state=0)
    assert adjusted_rand_score(y, model.fit_predict(blobs)) == 1


def test_tf32_is_for_passes_and_their_gradients_alone():
    net = torch.nn.Linear(2, 2)
    seen = {}
    net.register_forward_pre_hook(lambda *args: seen.update(inside=settings()[:2]))
    before = settings()
    precision = Precision("tf32", [net], CPU)
    # A hook of the network's own comes before those of the phase: look from within.
    inner = torch.nn.Sequential(net)
    precision.networks = [inner]
    with precision.steps():
        assert settings()[:2] == ["ieee", "ieee"]
        out = inner(torch.ones(1, 2))
        assert seen["inside"] == ["tf32", "tf32"]
        assert settings()[:2] == ["ieee", "ieee"] and out.dtype == torch.float32
        with precision.backward(exact=True):
            assert settings()[0] == "ieee"
        with precision.backward(exact=False):
            assert settings()[0] == "tf32"
        with pytest.raises(RuntimeError):
            inner(torch.ones(1, 3))
        assert settings()[0] == "ieee"  # also after a pass that failed
    assert settings() == before and not inner._forward_hooks


def test_what_precision_stands_for():
    gpu = torch.device("cuda")
    assert resolve_precision("auto", CPU) == "float32"
    assert resolve_precision("auto", gpu) == "tf32"
    assert resolve_precision("bf16", CPU) == "bf16"
    with pytest.raises(ValueError, match="precision='tf32' needs a CUDA device"):
        DCCS(3, precision="tf32", device="cpu").fit(np.ones((9, 2)))


# Torch looks at every tensor that it traces.
@pytest.mark.filterwarnings("ignore:The .grad attribute", "ignore::DeprecationWarning")
@with_all
def test_compiled_networks_train_alike(model, table):
    """Traced as for any compiler, then run as they are: seconds instead of minutes."""
    # Of a kind of network torch traces eight at most in one process.
    torch.compiler.reset()
    params = model.get_params()
    plain = type(model)(**params).fit(table)
    traced = []

    def backend(graph, inputs):
        traced.append(graph)
        return graph.forward

    compiled = type(model)(**{**params, "compile": {"backend": backend}}).fit(table)
    assert traced
    np.testing.assert_allclose(
        compiled.history_["loss"], plain.history_["loss"], rtol=1e-3
    )
    np.testing.assert_allclose(
        compiled.transform(table), plain.transform(table), rtol=1e-2, atol=1e-3
    )
    for network in compiled._model.values():
        assert "forward" not in vars(network)
