"""For each update of each step: which networks move, and which stay.

(The first phase of the augmented GAN, whose end freezes a network: in its own tests.)
"""

import numpy as np
import pytest
import torch

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
    started,
    weights,
)

TABLE = np.random.default_rng(0).normal(size=(120, 5)).astype(np.float32)
IMAGES = np.random.default_rng(0).integers(0, 256, (60, 12, 12)).astype(np.uint8)

UDC_MOVES = {"critic": {"critic"}, "classifier": {"classifier"}}
UDC_MOVES["generator"] = {"generator"}
GAN_MOVES = {"critic": {"critic"}, "generator_encoder": {"generator", "encoder"}}

# Model, data, phase, updates in their order; the networks whose weights move, per name
# of an update or for one update after the other; the networks whose batch statistics
# move at some time in the step.
STEPS = {
    "DCCS": (
        DCCS(3, **QUICK),
        TABLE,
        0,
        4 * ["critic"] + ["encoder"],
        {"critic": {"critic"}, "encoder": {"encoder", "discriminator"}},
        {"encoder"},
    ),
    "UDC": (
        UDC(3, **QUICK_UDC),
        TABLE,
        0,
        5 * ["critic"] + 4 * ["classifier"] + ["generator"],
        UDC_MOVES,
        set(),
    ),
    "UDC, images": (
        UDC(3, n_critic=1, n_classifier=2, **QUICK_UDC),
        IMAGES,
        0,
        ["critic", "classifier", "classifier", "generator"],
        UDC_MOVES,
        set(),
    ),
    "UDC, doubled": (
        UDC(3, n_critic=1, n_classifier=2, doubling=True, **QUICK_UDC),
        TABLE,
        1,
        2 * ["critic"] + 4 * ["classifier"] + ["generator"],
        UDC_MOVES,
        set(),
    ),
    "ClusterGAN": (
        ClusterGAN(3, **QUICK_CLUSTERGAN),
        TABLE,
        0,
        5 * ["critic"] + ["generator_encoder"],
        GAN_MOVES,
        set(),
    ),
    "IMSAT": (
        IMSAT(3, **QUICK_IMSAT),
        TABLE,
        0,
        ["encoder"],
        {"encoder": {"encoder"}},
        {"encoder"},
    ),
    "SIMI, phase 1": (
        SIMIClusterGAN(3, **QUICK_SIMI),
        TABLE,
        0,
        ["prior"],
        {"prior": {"prior"}},
        {"prior"},
    ),
    "SIMI, phase 2": (
        SIMIClusterGAN(3, **QUICK_SIMI),
        TABLE,
        1,
        5 * ["critic"] + ["generator_encoder"],
        GAN_MOVES,
        set(),
    ),
    "SIMI, phase 2 of images": (
        SIMIClusterGAN(3, n_critic=1, **QUICK_SIMI),
        IMAGES,
        1,
        ["critic", "generator_encoder"],
        GAN_MOVES,
        {"generator"},
    ),
    "SIMI, uniform prior": (
        SIMIClusterGAN(3, learned_prior=False, **QUICK_SIMI),
        TABLE,
        0,
        5 * ["critic"] + ["generator_encoder"],
        GAN_MOVES,
        set(),
    ),
    "variational clustering": (
        VariationalClustering(3, **QUICK_VC),
        TABLE,
        -1,
        ["all"],
        {"all": {"encoder", "posterior", "prior", "decoder"}},
        set(),
    ),
    "autoencoder": (
        AutoencoderKMeans(3, **QUICK_AE),
        TABLE,
        0,
        ["autoencoder"],
        {"autoencoder": {"encoder", "decoder"}},
        set(),
    ),
    "DEC": (
        DEC(3, **QUICK_DEC),
        TABLE,
        1,
        ["clustering"],
        {"clustering": {"encoder", "centers"}},
        set(),
    ),
    "DCN": (
        DCN(3, **QUICK_DEC),
        TABLE,
        1,
        ["clustering"],
        {"clustering": {"encoder", "decoder"}},
        {"encoder", "decoder", "centers"},
    ),
    "DEPICT, softmax": (
        DEPICT(3, **QUICK_DEC),
        TABLE,
        1,
        ["clustering"],
        {"clustering": {"encoder", "decoder", "centers"}},
        set(),
    ),
    "DEPICT": (
        DEPICT(3, **QUICK_DEC),
        IMAGES,
        2,
        ["clustering"],
        {"clustering": {"encoder", "decoder", "centers"}},
        set(),
    ),
    "GMVAE": (
        GMVAE(3, **QUICK_GMVAE),
        TABLE,
        0,
        ["all"],
        {"all": {"encoder", "posterior", "prior", "decoder"}},
        set(),
    ),
    "VaDE": (
        VaDE(3, **QUICK_DEC),
        TABLE,
        1,
        ["all"],
        {"all": {"encoder", "decoder", "centers"}},
        set(),
    ),
    "IDEC": (
        IDEC(3, **QUICK_DEC),
        TABLE,
        1,
        ["clustering"],
        {"clustering": {"encoder", "decoder", "centers"}},
        set(),
    ),
    "IIC": (
        IIC(3, **QUICK_IIC),
        TABLE,
        0,
        3 * ["all"],
        [{"encoder", "over_heads"}, {"encoder", "heads"}, {"encoder", "heads"}],
        {"encoder", "heads"},  # batch statistics, running losses
    ),
    "SpectralNet, siamese": (
        SpectralNet(3, siamese=True, **QUICK_SPECTRAL),
        TABLE,
        0,
        ["siamese"],
        {"siamese": {"siamese"}},
        set(),
    ),
    "SpectralNet": (
        SpectralNet(3, **QUICK_SPECTRAL),
        IMAGES,
        2,
        ["spectral"],
        {"spectral": {"map"}},
        {"orthogonal"},
    ),
    "augmented GAN, phase 2": (
        AugmentedGANClustering(3, **QUICK_AUG),
        TABLE,
        0,
        ["heads"],
        {"heads": {"heads"}},
        {"heads"},  # the running losses of the heads
    ),
}


@pytest.mark.parametrize("case", STEPS)
def test_what_moves(case):
    model, X, phase, updates, moves, statistics = STEPS[case]
    net, phases = started(model, X)
    parameters = {
        f"{name}.{key}"
        for name in net.networks
        for key, _ in getattr(net, f"{name}_").named_parameters()
    }
    descend, seen, buffers = net.descend, [], set()

    def changed(before):
        return {k for k, v in net.state().items() if not torch.equal(v, before[k])}

    def watched(name, loss):
        before = weights(net)
        out = descend(name, loss)
        seen.append((name, changed(before)))
        return out

    net.descend = watched
    before = weights(net)
    phases[phase][0](net)
    buffers = {key.split(".")[0] for key in changed(before) - parameters}
    assert [name for name, _ in seen] == updates
    if isinstance(moves, dict):
        moves = [moves[name] for name in updates]
    for (_, keys), networks in zip(seen, moves, strict=True):
        assert keys <= parameters
        assert {key.split(".")[0] for key in keys} == networks
    assert buffers == statistics
