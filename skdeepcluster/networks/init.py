"""Initialisation of weights from an explicit generator; biases become zero."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

_LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


@torch.no_grad()
def _layers(network: nn.Module) -> Iterator[Any]:
    """Linear and convolutional layers, their biases set to zero."""
    for layer in network.modules():
        if isinstance(layer, _LAYERS):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
            yield layer


def _fans(layer: Any) -> tuple[float, float]:
    """Values that a value of the output is computed from, and that one goes into.

    Of convolutions, those that a stride skips are left out.
    """
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    kernel, skipped = math.prod(layer.kernel_size), math.prod(layer.stride)
    fan_in, fan_out = layer.in_channels * kernel, layer.out_channels * kernel
    if isinstance(layer, nn.ConvTranspose2d):
        return fan_in / skipped, fan_out
    return fan_in, fan_out / skipped


def xavier_uniform_(network: nn.Module, generator: torch.Generator) -> nn.Module:
    """Xavier-uniform weights, the default of TensorFlow's layers."""
    for layer in _layers(network):
        nn.init.xavier_uniform_(layer.weight, generator=generator)
    return network


def xavier_normal_(network: nn.Module, generator: torch.Generator) -> nn.Module:
    """Xavier-normal weights."""
    for layer in _layers(network):
        nn.init.xavier_normal_(layer.weight, generator=generator)
    return network


def kaiming_normal_(network: nn.Module, generator: torch.Generator) -> nn.Module:
    """Normal weights that keep the size of what a ReLU lets through (He)."""
    for layer in _layers(network):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
    return network


def fan_in_uniform_(network: nn.Module, generator: torch.Generator) -> nn.Module:
    r"""Uniform weights within :math:`\pm1/\sqrt{n_{in}}` (DEC's reruns)."""
    for layer in _layers(network):
        bound = 1 / math.sqrt(_fans(layer)[0])
        nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
    return network


def normal_(
    network: nn.Module, generator: torch.Generator, std: float = 0.02
) -> nn.Module:
    """Normal weights of one standard deviation (DCGAN)."""
    for layer in _layers(network):
        nn.init.normal_(layer.weight, std=std, generator=generator)
    return network


def imsat_normal_(network: nn.Module, generator: torch.Generator) -> nn.Module:
    r"""Normal weights as IMSAT has them, for linear layers.

    Standard deviation :math:`0.1/\sqrt{n_{in}}`, and :math:`10^{-4}/\sqrt{n_{in}}` for
    the last layer, so that training starts from equal probabilities.
    """
    layers = list(_layers(network))
    for layer in layers:
        scale = 1e-4 if layer is layers[-1] else 0.1
        std = scale / math.sqrt(layer.in_features)
        nn.init.normal_(layer.weight, std=std, generator=generator)
    return network


def wgan_uniform_(network: nn.Module, generator: torch.Generator) -> nn.Module:
    r"""Uniform weights as the WGAN-GP release has them.

    Standard deviation :math:`\sqrt{2/(n_{in}+n_{out})}` (Glorot) for linear layers,
    and for convolutions, with the inputs or outputs that a stride skips left out and
    the gain of a ReLU, :math:`\sqrt{4/(n_{in}+n_{out}/s^2)}`, transposed
    :math:`\sqrt{4/(n_{in}/s^2+n_{out})}`.
    """
    for layer in _layers(network):
        gain = 2 if isinstance(layer, nn.Linear) else 4
        std = math.sqrt(gain / sum(_fans(layer)))
        bound = math.sqrt(3) * std
        nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
    return network
