"""The nearest methods of other packages, in the same run: clustpy and gemclus.

Neither has one of the five methods. VaDE is in clustpy and here; it is also the nearest
to variational clustering: a variational autoencoder with a Gaussian mixture. Of
gemclus, an MLP that maximises mutual information is the nearest to the heads of the
augmented GAN, which add an adversarial and a dropout view to that. Both are given the
same data, layers and rows of a batch.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch

from benchmarks.in_turn import seconds_to_fit
from skdeepcluster import AugmentedGANClustering, VaDE, VariationalClustering

_N, _COLUMNS, _K, _BATCH, _LATENT = 5_000, 50, 10, 100, 10
# Hidden layers, and epochs of two fits whose difference is free of what is done once.
_LAYERS = {"small": ((32, 32), 5, 45), "large": ((500, 500, 2_000), 2, 8)}


def _vade(hidden, epochs: int):
    deep = importlib.import_module("clustpy.deep")
    vae = importlib.import_module("clustpy.deep.vade")._VaDE_VAE
    return deep.VaDE(
        _K,
        batch_size=_BATCH,
        pretrain_epochs=1,
        clustering_epochs=epochs,
        ssl_loss_fn=torch.nn.MSELoss(reduction="sum"),
        neural_network=(vae, {"layers": [_COLUMNS, *hidden, _LATENT]}),
        embedding_size=_LATENT,
        device="cpu",
        random_state=0,
    )


def _our_vade(hidden, epochs: int):
    return VaDE(
        _K,
        hidden_layer_sizes=hidden,
        n_latent=_LATENT,
        likelihood="gaussian",
        batch_size=_BATCH,
        pretrain_max_epochs=1,
        max_epochs=epochs,
        tol=0,
        random_state=0,
    )


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
                    for _ in range(rounds)
                ]
            )
            a, b = np.median(times, 0)
            ratio = times[:, 0] / times[:, 1]
            lines.append(
                f"| {name} | {package}: {theirs} | {a:.2f} | {ours} | {b:.2f} | "
                f"{np.median(ratio):.2f} ({ratio.min():.2f}-{ratio.max():.2f}) |"
            )
    return "\n".join(lines)
