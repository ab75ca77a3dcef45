"""Initialisation of weights from an explicit generator."""

from __future__ import annotations

import math

import torch
from torch import nn

_LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


@torch.no_grad()
def xavier_uniform_(network: nn.Module, generator: torch.Generator) -> nn.Module:
    """Xavier-uniform weights and zero biases, the default of TensorFlow's layers."""
    for layer in network.modules():
        if isinstance(layer, _LAYERS):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


@torch.no_grad()
def xavier_normal_(network: nn.Module, generator: torch.Generator) -> nn.Module:
    """Xavier-normal weights and zero biases for linear and convolutional layers."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.xavier_normal_(layer.weight, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


@torch.no_grad()
def wgan_uniform_(network: nn.Module, generator: torch.Generator) -> nn.Module:
    r"""Initialise as the WGAN-GP release does: uniform weights, zero biases.

    Standard deviation :math:`\sqrt{2/(n_{in}+n_{out})}` (Glorot) for linear layers,
    and for convolutions, with the inputs or outputs that a stride skips left out and
    the gain of a ReLU, :math:`\sqrt{4/(n_{in}+n_{out}/s^2)}`, transposed
    :math:`\sqrt{4/(n_{in}/s^2+n_{out})}`.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            std = math.sqrt(2 / (layer.in_features + layer.out_features))
        elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            kernel = math.prod(layer.kernel_size)
            fan_in, fan_out = layer.in_channels * kernel, layer.out_channels * kernel
            skipped = math.prod(layer.stride)
            if isinstance(layer, nn.ConvTranspose2d):
                std = math.sqrt(4 / (fan_in / skipped + fan_out))
            else:
                std = math.sqrt(4 / (fan_in + fan_out / skipped))
        else:
            continue
        bound = math.sqrt(3) * std
        nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return network


@torch.no_grad()
def normal_(
    network: nn.Module, generator: torch.Generator, std: float = 0.02
) -> nn.Module:
    """Normal weights, zero biases for linear and convolutional layers (DCGAN)."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=std, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


@torch.no_grad()
def imsat_normal_(network: nn.Module, generator: torch.Generator) -> nn.Module:
    r"""Initialise as IMSAT does, zero biases.

    Standard deviation :math:`0.1/\sqrt{n_{in}}` for hidden linear layers,
    :math:`10^{-4}/\sqrt{n_{in}}` for the last one, so that training starts from equal
    probabilities.
    """
    linear = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    for layer in linear:
        scale = 1e-4 if layer is linear[-1] else 0.1
        std = scale / math.sqrt(layer.in_features)
        nn.init.normal_(layer.weight, std=std, generator=generator)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return network
