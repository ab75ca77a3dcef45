"""Steps captured once and replayed, with a stand-in for CUDA graphs."""

import logging

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from skdeepcluster import (
    DCCS,
    DCN,
    DEC,
    DEPICT,
    GMVAE,
    IDEC,
    IIC,
    IMSAT,
    UDC,
    AugmentedGANClustering,
    AutoencoderKMeans,
    ClusterGAN,
    SIMIClusterGAN,
    SpectralNet,
    VaDE,
    VariationalClustering,
)
from skdeepcluster.engine import ResidentBatches, ResumableCheckpoint, TimeLimit, graph
from tests.conftest import (
    QUICK,
    QUICK_AE,
    QUICK_AUG,
    QUICK_CLUSTERGAN,
    QUICK_DEC,
    QUICK_GMVAE,
    QUICK_IIC,
    QUICK_IMSAT,
    QUICK_SIMI,
    QUICK_SPECTRAL,
    QUICK_UDC,
    QUICK_VC,
)
from tests.stand_in import RecordedGraph

TABLE = np.random.default_rng(0).normal(size=(150, 5)).astype(np.float32)
IMAGES = np.random.default_rng(0).integers(0, 256, (70, 12, 12)).astype(np.uint8)

# Epochs of one, two and more steps; passes that end within a step.
CASES = {
    "DCCS": (DCCS(3, batch_size=16, **QUICK), TABLE),
    "DCCS, few rows": (DCCS(3, **QUICK | {"max_epochs": 9}), TABLE),
    "DCCS, images": (DCCS(3, batch_size=4, **QUICK | {"max_epochs": 3}), IMAGES),
    "UDC": (UDC(3, batch_size=8, **QUICK_UDC), TABLE),
    "UDC, doubled": (UDC(3, batch_size=8, doubling=True, **QUICK_UDC), TABLE),
    "UDC, stairs": (UDC(3, batch_size=8, n_eta_steps=9, **QUICK_UDC), TABLE),
    "UDC, images": (
        UDC(
            3, batch_size=8, n_critic=1, n_classifier=1, **QUICK_UDC | {"max_epochs": 1}
        ),
        IMAGES,
    ),
    "ClusterGAN": (ClusterGAN(3, batch_size=8, **QUICK_CLUSTERGAN), TABLE),
    "IMSAT, images": (IMSAT(3, batch_size=16, affine=True, **QUICK_IMSAT), IMAGES),
    "SIMI": (SIMIClusterGAN(3, batch_size=8, **QUICK_SIMI), TABLE),
    "SIMI, images": (
        SIMIClusterGAN(3, batch_size=4, prior_batch_size=16, affine=True, **QUICK_SIMI),
        IMAGES,
    ),
    "VC": (VariationalClustering(3, batch_size=16, **QUICK_VC), TABLE),
    "VC, annealed": (
        VariationalClustering(
            3,
            batch_size=16,
            kl_warmup=0.5,
            lambda_rec=((0.0, 1.0), (0.5, 0.1)),
            **QUICK_VC,
        ),
        TABLE,
    ),
    "VC, few clusters at a time": (
        VariationalClustering(3, batch_size=16, n_top=2, **QUICK_VC),
        TABLE,
    ),
    "autoencoder, variational": (
        AutoencoderKMeans(3, kind="variational", **QUICK_AE),
        TABLE,
    ),
    "DCN": (DCN(3, **QUICK_DEC), TABLE),
    "DEPICT": (DEPICT(3, tol=0, update_interval=7, **QUICK_DEC), TABLE),
    "DEPICT, images": (DEPICT(3, tol=0, **QUICK_DEC | {"max_epochs": 20}), IMAGES),
    "GMVAE": (GMVAE(3, **QUICK_GMVAE), TABLE),
    "VaDE": (VaDE(3, **QUICK_DEC), TABLE),
    "DEC": (DEC(3, tol=0, update_interval=7, **QUICK_DEC), TABLE),
    "IDEC": (IDEC(3, tol=0, update_interval=7, **QUICK_DEC), TABLE),
    "IIC": (IIC(3, **QUICK_IIC), TABLE),
    "IIC, images": (
        IIC(3, n_views=1, **QUICK_IIC | {"batch_size": 4, "max_epochs": 1}),
        IMAGES,
    ),
    "SpectralNet": (SpectralNet(3, **QUICK_SPECTRAL), TABLE),
    "SpectralNet, few rows": (
        SpectralNet(3, siamese=True, **QUICK_SPECTRAL | {"batch_size": 1024}),
        TABLE,
    ),
    "SpectralNet, images": (SpectralNet(3, **QUICK_SPECTRAL), IMAGES),
    "augmented GAN, heads": (AugmentedGANClustering(3, **QUICK_AUG), TABLE),
    "augmented GAN": (
        AugmentedGANClustering(
            3, batch_size=8, gan_batch_size=8, gan_max_epochs=1, **QUICK_AUG
        ),
        IMAGES,
    ),
}


@pytest.fixture
def resident(monkeypatch):
    """Data on the device, as on a GPU."""

    def there(X, batch_size, scaling, generator, device):
        return ResidentBatches(X, batch_size, scaling, generator, device)

    monkeypatch.setattr("skdeepcluster.base.make_batches", there)


@pytest.fixture
def stand_in(resident, monkeypatch):
    """Graphs on a CPU; returns those that have been captured."""
    captured = []

    def capture(work, generator, beside):
        captured.append(RecordedGraph(work, generator))
        return captured[-1]

    monkeypatch.setitem(graph.CAPTURE, "cpu", capture)
    return captured


def assert_same_fit(one, other):
    for name, values in one.history_.items():
        if name != "dur" and values.dtype.kind == "f":
            np.testing.assert_allclose(
                values, other.history_[name], rtol=1e-5, atol=1e-6, err_msg=name
            )
    np.testing.assert_array_equal(one.history_["step"], other.history_["step"])
    state, again = (m._model.state_dict() for m in (one, other))
    for key in state:
        torch.testing.assert_close(state[key], again[key], rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("case", CASES)
def test_replayed_steps_equal_steps_one_by_one(case, stand_in):
    model, X = CASES[case]
    model = model.set_params(graph=False).fit(X)
    assert not stand_in
    replayed = type(model)(**model.get_params()).set_params(graph=True).fit(X)
    n_phases = len(np.unique(replayed.history_["phase"]))
    assert len(stand_in) == 2 * n_phases
    assert_same_fit(model, replayed)


def test_capturing_changes_nothing(stand_in):
    """All steps of a phase that is too short to be replayed."""
    params = {**QUICK_UDC, "max_epochs": 4}  # 3 steps, then the capture
    one, replayed = (
        UDC(3, batch_size=25, graph=graph_, **params).fit(TABLE)
        for graph_ in (False, True)
    )
    assert one.n_iter_ == 4 and len(stand_in) == 2
    assert_same_fit(one, replayed)


def test_a_captured_fit_goes_on_where_it_was_stopped(stand_in, tmp_path):
    whole = DCCS(3, graph=True, batch_size=16, **QUICK).fit(TABLE)
    keep = ResumableCheckpoint(tmp_path / "fit.ckpt")
    stop = DCCS(3, graph=True, batch_size=16, callbacks=[TimeLimit(0), keep], **QUICK)
    assert stop.fit(TABLE).n_iter_ < whole.n_iter_
    # With graphs or without is the same course.
    rest = DCCS(3, graph=False, batch_size=16, callbacks=[keep], **QUICK).fit(TABLE)
    assert_same_fit(whole, rest)


class EveryBatch(Callback):
    def on_batch_end(self, net, **kwargs):
        pass


def reads_a_number(x):
    return x + 0.1 * float(x.detach().max())


@pytest.mark.parametrize(
    "params, reason",
    [
        ({"callbacks": [EveryBatch()]}, "every batch"),
        ({"augmentation": reads_a_number}, "_local_scalar_dense"),
    ],
)
def test_steps_that_cannot_be_captured_are_made_one_by_one(
    params, reason, stand_in, caplog
):
    params = {**QUICK_UDC, "batch_size": 16, **params}
    plain = UDC(3, graph=False, **params).fit(TABLE)
    with caplog.at_level(logging.INFO, "skdeepcluster"):
        model = UDC(3, graph="auto", **params).fit(TABLE)
    assert reason in caplog.text and not stand_in
    assert_same_fit(plain, model)


def test_data_that_do_not_fit_on_the_device_are_not_captured(monkeypatch, caplog):
    monkeypatch.setitem(graph.CAPTURE, "cpu", RecordedGraph)
    with caplog.at_level(logging.INFO, "skdeepcluster"):
        UDC(3, **QUICK_UDC).fit(TABLE)
    assert "do not fit" in caplog.text


def test_a_cpu_has_no_graphs():
    with pytest.raises(ValueError, match="graph=True needs a CUDA device"):
        DCCS(3, graph=True, device="cpu").fit(TABLE)


class Counting(UDC):
    """Weighs by a count that Python keeps."""

    def _eta(self, progress):
        self.count_ = getattr(self, "count_", 0) + 1
        return float(self.count_)


def test_the_stand_in_is_blind_to_what_python_decides(stand_in):
    one, replayed = (
        Counting(3, batch_size=8, graph=graph_, **QUICK_UDC).fit(TABLE)
        for graph_ in (False, True)
    )
    with pytest.raises(AssertionError):
        assert_same_fit(one, replayed)
