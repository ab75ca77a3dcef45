"""Encoder and decoder whose layers can be compared one by one (DEPICT)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import nn

from skdeepcluster.networks.linear import Linear

_SLOPE = 0.01

# Kernel, stride, padding of the convolutions.
_CONVOLUTIONS = ((4, 2, 0), (5, 2, 2))
_CHANNELS = 50


class LadderEncoder(nn.Module):
    """Encoder that can be damaged, and gives the activations of all its layers.

    Linear layers with LeakyReLU(0.01), of rows or of images as rows; or two
    convolutions of stride 2 with 50 channels, for images of any size from 4 pixels up;
    then a linear layer and tanh, the code.

    Parameters
    ----------
    input_shape : tuple of int
    hidden : sequence of int or None
        Widths of the linear layers; None: convolutions.
    n_latent : int
        Width of the code.

    Attributes
    ----------
    shapes : list of tuple of int
        Of the input and of each hidden layer's activations.
    """

    def __init__(
        self, input_shape: tuple[int, ...], hidden: Sequence[int] | None, n_latent: int
    ):
        super().__init__()
        self.layers = nn.ModuleList()
        if hidden is None:
            self.shapes = [tuple(input_shape)]
            for kernel, stride, padding in _CONVOLUTIONS:
                channels, *sides = self.shapes[-1]
                conv = nn.Conv2d(channels, _CHANNELS, kernel, stride, padding)
                self.layers.append(nn.Sequential(conv, nn.LeakyReLU(_SLOPE)))
                sides = [(n + 2 * padding - kernel) // stride + 1 for n in sides]
                self.shapes.append((_CHANNELS, *sides))
        else:
            self.shapes = [(n,) for n in (math.prod(input_shape), *hidden)]
            for (n_in,), (n_out,) in zip(self.shapes, self.shapes[1:], strict=False):
                layer = nn.Sequential(Linear(n_in, n_out), nn.LeakyReLU(_SLOPE))
                self.layers.append(layer)
        self.head = nn.Sequential(
            Linear(math.prod(self.shapes[-1]), n_latent), nn.Tanh()
        )

    def forward(self, x, masks=None):
        """Return the activations of the hidden layers, and the code.

        Parameters
        ----------
        x : tensor of shape (n, ...)
        masks : list of tensors, default=None
            Factors of the input and of each hidden layer's activations.
        """
        x = x.reshape(len(x), *self.shapes[0])
        factors = [1.0] * len(self.shapes) if masks is None else masks
        activations = []
        x = x * factors[0]
        for layer, factor in zip(self.layers, factors[1:], strict=True):
            x = layer(x) * factor
            activations.append(x)
        return activations, self.head(x.flatten(1))


class LadderDecoder(nn.Module):
    """Mirror image of a `LadderEncoder`, with a reconstruction of each of its layers.

    Parameters
    ----------
    shapes : list of tuple of int
        The encoder's.
    n_latent : int
    input_shape : tuple of int
        Shape of the last reconstruction.
    bounded : bool
        End with tanh, for pixels in [-1, 1].
    """

    def __init__(
        self,
        shapes: Sequence[tuple[int, ...]],
        n_latent: int,
        input_shape: tuple[int, ...],
        bounded: bool,
    ):
        super().__init__()
        hidden = [nn.LeakyReLU(_SLOPE)] if len(shapes) > 1 else []
        self.first = nn.Sequential(
            nn.Linear(n_latent, math.prod(shapes[-1])),
            *hidden,
            nn.Unflatten(1, shapes[-1]),
        )
        self.layers = nn.ModuleList()
        steps = list(zip(shapes, shapes[1:], _convolutions(shapes), strict=False))
        for below, above, plan in reversed(steps):
            up: nn.Module
            if plan is None:
                up = nn.Linear(above[0], below[0])
            else:
                kernel, stride, padding = plan
                # What the convolution's rounding has left out.
                missing = [
                    n - ((m - 1) * stride - 2 * padding + kernel)
                    for n, m in zip(below[1:], above[1:], strict=True)
                ]
                up = nn.ConvTranspose2d(
                    above[0], below[0], kernel, stride, padding, tuple(missing)
                )
            self.layers.append(up)
        self.bounded = bounded
        self.shape = tuple(input_shape)
        if bounded:
            self.offset = nn.Parameter(torch.zeros(self.shape))

    @torch.no_grad()
    def begin_at(self, image: torch.Tensor) -> None:
        """Let reconstructions start from an image, such as the mean of all."""
        if self.bounded:
            self.offset.copy_(image.clamp(-0.99, 0.99).atanh())
        else:
            last = self.layers[-1] if self.layers else self.first[0]
            cast(nn.Linear, last).bias.copy_(image.flatten())

    def forward(self, code):
        """Return the reconstructions of the input and of each hidden layer."""
        x = self.first(code)
        parts = [x]
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i < len(self.layers) - 1:
                x = nn.functional.leaky_relu(x, _SLOPE)
            elif self.bounded:
                x = (x + self.offset).tanh()
            parts.append(x)
        image, *hidden = reversed(parts)
        return [image.reshape(len(code), *self.shape), *hidden]


def _convolutions(shapes) -> list:
    """Kernel, stride, padding of each layer; None for a linear one."""
    linear = len(shapes[0]) == 1
    return [None] * (len(shapes) - 1) if linear else list(_CONVOLUTIONS)


def damaged(shapes, n: int, rate: float, draws) -> list[torch.Tensor]:
    """Draw masks for `LadderEncoder`: dropout, with what is left scaled up."""
    return [(draws.rand(n, *shape) >= rate) / (1 - rate) for shape in shapes]
