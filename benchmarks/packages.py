"""The nearest methods of other packages, in the same run: clustpy and gemclus.

Neither has one of the five methods. DEC, IDEC, DCN and VaDE are in clustpy and here
(there DEC and IDEC take their target from the minibatch alone, here from all rows);
VaDE is also the nearest to variational clustering: a variational autoencoder with a
Gaussian mixture. Of gemclus, an MLP that maximises mutual information is the nearest to
the heads of the augmented GAN, which add an adversarial and a dropout view to that.
Both are given the same data, layers, optimizers and rows of a batch.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch

from benchmarks.in_turn import seconds_to_fit
from skdeepcluster import (
    DCN,
    DEC,
    IDEC,
    AugmentedGANClustering,
    VaDE,
    VariationalClustering,
)

_N, _COLUMNS, _K, _BATCH, _LATENT = 5_000, 50, 10, 100, 10
# Hidden layers, and epochs of two fits whose difference is free of what is done once.
_LAYERS = {"small": ((32, 32), 5, 45), "large": ((500, 500, 2_000), 2, 8)}


def _clustpy(name: str, network: str, hidden, epochs: int, **params):
    """Make one of clustpy's, with a network that it has under a module's name."""
    deep = importlib.import_module("clustpy.deep")
    module, _, kind = network.rpartition(".")
    kind = getattr(importlib.import_module(f"clustpy.deep.{module}"), kind)
    return getattr(deep, name)(
        _K,
        batch_size=_BATCH,
        pretrain_epochs=1,
        clustering_epochs=epochs,
        neural_network=(kind, {"layers": [_COLUMNS, *hidden, _LATENT]}),
        embedding_size=_LATENT,
        device="cpu",
        random_state=0,
        **params,
    )


_FEEDFORWARD = "neural_networks.FeedforwardAutoencoder"


def _vade(hidden, epochs: int):
    loss = torch.nn.MSELoss(reduction="sum")
    return _clustpy("VaDE", "vade._VaDE_VAE", hidden, epochs, ssl_loss_fn=loss)


def _dec(hidden, epochs: int):
    sgd = {"lr": 0.01, "momentum": 0.9}
    return _clustpy(
        "DEC",
        _FEEDFORWARD,
        hidden,
        epochs,
        optimizer_class=torch.optim.SGD,
        pretrain_optimizer_params=sgd,
        clustering_optimizer_params=sgd,
    )


def _idec(hidden, epochs: int):
    return _clustpy("IDEC", _FEEDFORWARD, hidden, epochs)


def _dcn(hidden, epochs: int):
    return _clustpy("DCN", _FEEDFORWARD, hidden, epochs)


def _ours(method, hidden, epochs: int, **params):
    return method(
        _K,
        hidden_layer_sizes=hidden,
        n_latent=_LATENT,
        batch_size=_BATCH,
        pretrain_max_epochs=1,
        max_epochs=epochs,
        tol=0,
        random_state=0,
        **params,
    )


_our_vade = functools.partial(_ours, VaDE, likelihood="gaussian")
_our_dec = functools.partial(_ours, DEC)
_our_idec = functools.partial(_ours, IDEC)
_our_dcn = functools.partial(_ours, DCN, batch_norm=False)

# The interval that is published for the larger networks.
_rarely = functools.partial(functools.partial, update_interval=140)


def _vc(hidden, epochs: int, **params):
    return VariationalClustering(
        _K,
        hidden_layer_sizes=hidden,
        decoder_layer_sizes=hidden[::-1],
        n_latent=_LATENT,
        batch_size=_BATCH,
        max_epochs=epochs,
        tol=0,
        random_state=0,
        **params,
    )


def _gemini(hidden, epochs: int):
    mlp = importlib.import_module("gemclus.mlp").MLPModel
    return mlp(
        _K,
        gemini="mi",
        max_iter=epochs,
        n_hidden_dim=hidden[-1],
        batch_size=_BATCH,
        random_state=0,
    )


def _heads(hidden, epochs: int):
    return AugmentedGANClustering(
        _K,
        hidden_layer_sizes=hidden[-1:],
        n_heads=1,
        n_over_heads=0,
        batch_size=_BATCH,
        max_epochs=epochs,
        tol=0,
        random_state=0,
    )


_PAIRS: list[tuple[str, str, Callable, str, Callable]] = [
    ("clustpy", "DEC", _dec, "DEC", _our_dec),
    ("clustpy", "IDEC", _idec, "IDEC", _our_idec),
    ("clustpy", "DEC", _dec, "DEC, target every 140 steps", _rarely(_our_dec)),
    ("clustpy", "IDEC", _idec, "IDEC, target every 140 steps", _rarely(_our_idec)),
    ("clustpy", "DCN", _dcn, "DCN, no batch norm", _our_dcn),
    ("clustpy", "VaDE", _vade, "VaDE", _our_vade),
    ("clustpy", "VaDE", _vade, "VariationalClustering", _vc),
    (
        "clustpy",
        "VaDE",
        _vade,
        "VariationalClustering, one cluster decoded, no copies",
        lambda hidden, epochs: _vc(hidden, epochs, n_top=1, augmentation=None),
    ),
    ("gemclus", "MLPModel(gemini='mi')", _gemini, "AugmentedGANClustering", _heads),
]


def _step(make: Callable, hidden, few: int, more: int, X) -> float:
    """Milliseconds of a step: of a longer and a shorter fit, the difference."""
    seconds = [seconds_to_fit(make(hidden, epochs), X) for epochs in (few, more)]
    return 1e3 * (seconds[1] - seconds[0]) / ((more - few) * (_N // _BATCH))


def compare(rounds: int = 5) -> str:
    """Fit theirs and ours in turn; milliseconds a step, and the ratio."""
    lines = [
        "| networks | theirs | ms a step | ours | ms a step | "
        "theirs / ours: median (range) |",
        "|---|---|---|---|---|---|",
    ]
    X = np.random.default_rng(0).normal(size=(_N, _COLUMNS)).astype(np.float32)
    for package, theirs, make, ours, make_ours in _PAIRS:
        if find_spec(package) is None:
            lines.append(f"| | {package} is not installed | | {ours} | | |")
            continue
        for name, sizes in _LAYERS.items():
            times = np.array(
                [
                    [_step(one, *sizes, X) for one in (make, make_ours)]
                    for _ in range(rounds + 1)
                ]
            )[1:]  # the first round warms up
            a, b = np.median(times, 0)
            ratio = times[:, 0] / times[:, 1]
            lines.append(
                f"| {name} | {package}: {theirs} | {a:.2f} | {ours} | {b:.2f} | "
                f"{np.median(ratio):.2f} ({ratio.min():.2f}-{ratio.max():.2f}) |"
            )
    return "\n".join(lines)
