"""Batch statistics, used without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def still_statistics(network: nn.Module) -> Iterator[None]:
    """Let batch norm use a batch's statistics without adding them to its averages."""
    layers = [
        m for m in network.modules() if isinstance(m, nn.modules.batchnorm._NormBase)
    ]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
