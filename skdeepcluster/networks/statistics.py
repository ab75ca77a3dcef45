"""Batch statistics: used without a trace, or part by part."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


def _norms(network: nn.Module) -> list:
    """Layers that take statistics over the rows of a batch."""
    kind = nn.modules.batchnorm._NormBase
    return [layer for layer in network.modules() if isinstance(layer, kind)]


@contextmanager
def still_statistics(network: nn.Module) -> Iterator[None]:
    """Let batch norm use a batch's statistics without adding them to its averages."""
    layers = _norms(network)
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


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
