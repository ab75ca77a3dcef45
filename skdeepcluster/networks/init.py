"""Initialisation of weights from an explicit generator."""

from __future__ import annotations

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
