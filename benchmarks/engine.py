"""What the engine costs: the same step in a bare PyTorch loop and in a net."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from benchmarks.in_turn import ratio_of
from skdeepcluster.engine import Net, make_batches, threads_for
from skdeepcluster.networks import Scaling

NETWORKS = {
    "20-64-64-10": (20, 64, 64, 10),
    "784-500-500-2000-10": (784, 500, 500, 2000, 10),
}
_BATCH = 256


def _network(sizes) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for n_in, n_out in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _adam(parameters):
    return torch.optim.Adam(parameters, fused=True)


def _bare(X, n_steps):
    """Return a function that trains for `n_steps`, with nothing around the maths."""
    network = _network(_sizes_of(X))
    optimizer = _adam(network.parameters())
    data, order = torch.from_numpy(X), torch.randperm(len(X))

    def train():
        at = 0
        nonlocal order
        for _ in range(n_steps):
            if at + _BATCH > len(data):
                order, at = torch.randperm(len(data)), 0
            x = data[order[at : at + _BATCH]]
            at += _BATCH
            optimizer.zero_grad()
            network(x).square().mean().backward()
            optimizer.step()

    return train


def _engine(X, n_steps):
    """Return the same training by the engine; scaling and history included."""
    cpu = torch.device("cpu")
    generator = torch.Generator().manual_seed(0)
    batches = make_batches(X, _BATCH, Scaling.fit(X, None), generator, cpu)
    net = Net(
        {"network": _network(_sizes_of(X))},
        {"network": (_adam, ["network"])},
        batches,
        generator=generator,
        device=cpu,
    ).initialize()

    def step(net):
        return {
            "loss": net.descend("network", net.network_(net.draw()).square().mean())
        }

    return lambda: net.run(step, n_steps=n_steps, steps_per_epoch=len(batches))


def _sizes_of(X):
    return next(s for s in NETWORKS.values() if s[0] == X.shape[1])


def compare(rounds: int = 16) -> str:
    """Train in turn, bare, engine, bare, ...; the ratio round by round."""
    lines = [
        "| network | threads | bare, ms a step | engine | ratio: median (range) |",
        "|---|---|---|---|---|",
    ]
    for name, sizes in NETWORKS.items():
        X = np.random.default_rng(0).normal(size=(10_000, sizes[0])).astype(np.float32)
        n_steps = 390 if sizes[0] < 100 else 39
        work = _BATCH * sum(a * b for a, b in zip(sizes, sizes[1:], strict=False))
        with threads_for(work, torch.device("cpu")):
            threads = torch.get_num_threads()
            trainers = _bare(X, n_steps), _engine(X, n_steps)
            cells = ratio_of(*trainers, rounds, n_steps)
        lines.append(f"| {name} | {threads} | {cells}")
    return "\n".join(lines)
