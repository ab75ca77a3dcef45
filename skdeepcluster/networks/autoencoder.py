"""Encoders and decoders that mirror each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import nn

from skdeepcluster.networks.custom import CustomEncoder
from skdeepcluster.networks.mlp import MLPEncoder, mlp
from skdeepcluster.networks.statistics import UnitSpread
from skdeepcluster.networks.strided import StridedEncoder, StridedGenerator


class FlatEncoder(MLPEncoder):
    """Encoder of linear layers and ReLU, of rows or of images as rows."""

    def __init__(
        self,
        input_shape: tuple[int, ...],
        hidden: Sequence[int],
        n_out: int,
        *,
        batch_norm: bool = False,
    ):
        n_in = math.prod(input_shape)
        super().__init__(n_in, hidden, n_out, batch_norm=batch_norm, slope=0)

    def forward(self, x):
        """Return the last hidden layer and the code."""
        return super().forward(x.flatten(1))


class FlatDecoder(nn.Module):
    """Decoder of linear layers and ReLU, to rows or to images."""

    def __init__(
        self,
        n_in: int,
        hidden: Sequence[int],
        input_shape: tuple[int, ...],
        *,
        batch_norm: bool = False,
    ):
        super().__init__()
        n_out = math.prod(input_shape)
        self.body = mlp(n_in, hidden, n_out, batch_norm=batch_norm, slope=0)
        self.shape = tuple(input_shape)

    @torch.no_grad()
    def rescale(self, factor: float, offset: float) -> None:
        """Let outputs y be ``factor * y + offset`` from here on."""
        last = cast(nn.Linear, self.body[-1])
        last.weight.mul_(factor)
        last.bias.mul_(factor).add_(offset)

    def forward(self, code):
        """Return the reconstruction, shaped as the input."""
        return self.body(code).unflatten(1, self.shape)


def autoencoder(
    input_shape: tuple[int, ...],
    hidden: Sequence[int],
    n_latent: int,
    convolutional: bool = False,
    encoder: nn.Module | Callable | None = None,
    n_out: int | None = None,
    batch_norm: bool = False,
) -> tuple[nn.Module, nn.Module]:
    """Build an encoder and a decoder.

    Parameters
    ----------
    input_shape : tuple of int
        (n_features,) or (channels, height, width).
    hidden : sequence of int
        Widths from the input to the code; the decoder has them in reverse.
    n_latent : int
        Width of the code that the decoder reads.
    convolutional : bool, default=False
        Strided 5x5 convolutions in place of the linear layers; for images in [0, 1].
    encoder : nn.Module or callable, default=None
        A user's own, on which the code is a linear layer.
    n_out : int, default=None
        Width of the encoder's output, by default `n_latent`.
    batch_norm : bool, default=False
        In the linear layers; and the code has one size, see `UnitSpread`.
    """
    n_out = n_latent if n_out is None else n_out
    E: FlatEncoder | StridedEncoder | CustomEncoder
    D: nn.Module
    if convolutional:
        channels, height, width = input_shape
        shape = channels, height, width
        E = StridedEncoder(shape, n_out)
        D = StridedGenerator(n_latent, shape)
    else:
        E = FlatEncoder(input_shape, hidden, n_out, batch_norm=batch_norm)
        D = FlatDecoder(n_latent, hidden[::-1], input_shape, batch_norm=batch_norm)
    if encoder is not None:
        E = CustomEncoder(encoder, input_shape, n_out)
    if batch_norm:
        size = UnitSpread(n_out)
        E.head = nn.Sequential(E.head, size)  # type: ignore[assignment]
    return E, D
