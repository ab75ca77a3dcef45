"""Batch statistics: used without a trace, or part by part."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


class UnitSpread(nn.Module):
    """Centre a code, and divide it by one number, so that its mean variance is 1.

    As batch norm does, but for all columns together, whose proportions it keeps: what a
    code hardly uses does not become as large as what it is about.

    Parameters
    ----------
    n_features : int
    momentum : float, default=0.1
        Weight of a batch in the averages that are used in eval mode.
    """

    mean: torch.Tensor
    variance: torch.Tensor

    def __init__(self, n_features: int, momentum: float = 0.1):
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("variance", torch.ones(()))

    def forward(self, x):
        """Return x, shape (n, n_features), in a size that is always the same."""
        x = x.float()  # also amid passes in bf16
        mean, variance = self.mean, self.variance
        if self.training:
            mean = x.mean(0)
            variance = (x - mean).square().mean()
            with torch.no_grad():
                self.mean.lerp_(mean, self.momentum)
                self.variance.lerp_(variance, self.momentum)
        return (x - mean) / (variance + 1e-5).sqrt()


def _norms(network: nn.Module) -> list:
    """Layers that take statistics over the rows of a batch."""
    kind = nn.modules.batchnorm._NormBase
    return [layer for layer in network.modules() if isinstance(layer, kind)]


@contextmanager
def still_statistics(network: nn.Module) -> Iterator[None]:
    """Let batch norm use a batch's statistics without adding them to its averages."""
    layers = _norms(network)
    before = [(layer.momentum, layer.num_batches_tracked) for layer in layers]
    for layer in layers:
        layer.momentum, layer.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for layer, (momentum, n_batches) in zip(layers, before, strict=True):
            layer.momentum, layer.num_batches_tracked = momentum, n_batches


@torch.no_grad()
def add_to_statistics(network: nn.Module, x: torch.Tensor) -> None:
    """Add a batch to the averages of batch norm, where there is any."""
    if _norms(network):
        network(x)


@contextmanager
def ghost_batches(network: nn.Module, n: int) -> Iterator[None]:
    """Let one pass stand for `n` passes, one after the other.

    The `n` batches, of one size, lie behind each other in the one. Batch norm takes its
    statistics of each of them, and adds them to its averages in their order; all other
    layers see one large batch, in one call.
    """
    layers = _norms(network)
    before = [layer.__dict__.get("forward") for layer in layers]
    for layer in layers:
        layer.forward = functools.partial(_by_parts, layer.forward, n)
    try:
        yield
    finally:
        for layer, forward in zip(layers, before, strict=True):
            del layer.forward
            if forward is not None:  # another one's around this
                layer.forward = forward


def _by_parts(forward: Callable, n: int, x: torch.Tensor) -> torch.Tensor:
    return torch.cat([forward(part) for part in x.chunk(n)])
