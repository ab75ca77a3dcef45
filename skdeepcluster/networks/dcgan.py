"""DCGAN whose discriminator sees edges beside the image (Ntelemis 2020)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from skdeepcluster.networks.linear import Linear

_SLOPE = 0.2
# Share of units that the discriminator drops while it is trained.
_DROPOUT = 0.2
# TensorFlow's momentum .99 and epsilon, in torch's convention.
_NORM: dict[str, Any] = {"momentum": 0.01, "eps": 1e-3}


class Sobel(nn.Module):
    """Edges beside the image: channels (d/dx, d/dy of its grey version, 2 x - 1).

    The kernels are constant; the gradient goes through to the image. Beyond the border
    all is zero.

    Parameters
    ----------
    channels : int
        Of images in [0, 1]. Grey is .2989 R + .5870 G + .1140 B for three channels,
        else their mean.
    """

    grey: torch.Tensor
    kernels: torch.Tensor

    def __init__(self, channels: int):
        super().__init__()
        weights = [0.2989, 0.5870, 0.1140] if channels == 3 else [1 / channels]
        kernel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
        grey = torch.tensor(weights).expand(channels).clone().view(1, channels, 1, 1)
        self.register_buffer("grey", grey)
        self.register_buffer("kernels", torch.stack([kernel, kernel.T])[:, None])

    def forward(self, x):
        """Return channels + 2 channels for images of shape (n, channels, h, w)."""
        edges = F.conv2d(F.conv2d(x, self.grey), self.kernels, padding=1)
        return torch.cat([edges, 2 * x - 1], 1)


class Discriminator(nn.Module):
    """Blocks, each with LeakyReLU(0.2) and dropout behind it, and a linear output.

    The last block is the feature layer. Once it is frozen it stays in eval mode.

    Parameters
    ----------
    blocks : sequence of nn.Module
        The last one gives the features, of shape (n, n_features).
    n_features : int
    bias : bool, default=True
        Of the output.
    """

    def __init__(
        self, blocks: Sequence[nn.Module], n_features: int, *, bias: bool = True
    ):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.output = nn.Linear(n_features, 1, bias=bias)
        self.n_features = n_features
        self._frozen = False

    def freeze(self) -> None:
        """Stay in eval mode from here on."""
        self._frozen = True
        self.eval()

    def train(self, mode: bool = True):
        """Change the mode, unless frozen."""
        return super().train(mode and not self._frozen)

    def forward(self, x, rate: float = _DROPOUT):
        """Return the logit of "real", and the features before and after activation.

        A share `rate` of each layer is dropped.
        """
        *blocks, last = self.blocks
        for block in blocks:
            x = _activate(block(x), rate)
        M = last(x)
        m = _activate(M, rate)
        return self.output(m), M, m

    def features(self, x, rate: float = 0.0):
        """Features m after their activation."""
        # By a call, which is what a precision and a compilation are of.
        return self(x, rate)[2]


def _activate(x: torch.Tensor, rate: float) -> torch.Tensor:
    x = F.leaky_relu(x, _SLOPE)
    return F.dropout(x, rate) if rate else x


class _Cut(nn.Module):
    """Cut images to (height, width), from the upper left corner."""

    def __init__(self, sides: Sequence[int]):
        super().__init__()
        self.sides = sides

    def forward(self, x):
        return x[:, :, : self.sides[0], : self.sides[1]]


class _Pixels(nn.Module):
    """Values in [0, 1], by way of tanh."""

    def forward(self, x):
        return (x.tanh() + 1) / 2


def dcgan(image_shape: tuple[int, int, int]) -> tuple[Discriminator, nn.Sequential]:
    """Discriminator and generator for images in [0, 1].

    Convolutions of 4 x 4, stride 2. From 32 pixels on the published networks for
    CIFAR-10 (and, at 48 pixels, STL-10): from 64 channels up, until the shorter side is
    4 to 8 pixels, then a feature layer of 1024. Below, those for MNIST: up to 128
    channels, whose flattened last map, of 3 to 6 pixels (1 or 2 of images below 9), is
    the feature layer.

    Parameters
    ----------
    image_shape : tuple of int
        Channels, height, width.

    Returns
    -------
    discriminator : Discriminator
    generator : nn.Sequential
        Maps noise in [-1, 1], of shape (n, ``generator[0].in_features``), to images.
    """
    channels, *sides = image_shape
    large = min(sides) >= 32
    n_halvings = max(2, int(math.log2(min(sides) / (4 if large else 3))))
    first = 64 if large else 128 // 2 ** (n_halvings - 1)
    widths = [first * 2**i for i in range(n_halvings)]

    blocks: list[nn.Module] = []
    n_in, low = channels + 2, sides
    for width in widths:
        # Odd sides get one more row or column: "same" padding.
        pad = nn.ZeroPad2d((0, low[1] % 2, 0, low[0] % 2))
        conv = nn.Conv2d(n_in, width, 4, stride=2, padding=1, bias=False)
        blocks.append(nn.Sequential(pad, conv, _norm(width, scale=not large)))
        n_in, low = width, [(side + 1) // 2 for side in low]
    blocks[0].insert(0, Sobel(channels))  # type: ignore[operator]
    n_map = n_in * math.prod(low)
    if large:
        blocks.append(nn.Sequential(nn.Flatten(), Linear(n_map, 1024)))
    else:
        del blocks[-1][-1]  # type: ignore[operator] # no norm before the features
        blocks[-1].append(nn.Flatten())  # type: ignore[operator]
    D = Discriminator(blocks, 1024 if large else n_map, bias=large)

    n_out = 2 * widths[-1] if large else widths[-1]
    n_noise = (200 if min(sides) < 48 else 500) if large else 100
    layers = [
        nn.Linear(n_noise, n_out * math.prod(low)),
        nn.Unflatten(1, (n_out, *low)),
        nn.LeakyReLU(_SLOPE),
    ]
    for _ in range(n_halvings):
        up = nn.ConvTranspose2d(n_out, n_out // 2, 4, 2, padding=1, bias=False)
        n_out //= 2
        layers += [up, _norm(n_out, scale=not large), nn.LeakyReLU(_SLOPE)]
    kernel = 4 if min(sides) >= 48 else 3
    # "same" padding; one more pixel behind where the kernel is even.
    pad = nn.ZeroPad2d((1, kernel - 2, 1, kernel - 2))
    last = nn.Conv2d(n_out, channels, kernel, bias=False)
    return D, nn.Sequential(*layers, _Cut(sides), pad, last, _Pixels())


def _norm(n: int, *, scale: bool) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(n, **_NORM)
    if not scale:
        norm.register_parameter("weight", None)
    return norm


def mlp_gan(n_columns: int) -> tuple[Discriminator, nn.Sequential]:
    """Discriminator and generator for tables, with 256 features.

    Parameters
    ----------
    n_columns : int

    Returns
    -------
    discriminator : Discriminator
    generator : nn.Sequential
        Maps noise in [-1, 1], of shape (n, ``generator[0].in_features``), to rows.
    """

    def normed(n_in, n_out):
        layer = Linear(n_in, n_out, bias=False)
        return nn.Sequential(layer, nn.BatchNorm1d(n_out, **_NORM))

    D = Discriminator([Linear(n_columns, 512), normed(512, 512), Linear(512, 256)], 256)
    G = nn.Sequential(
        nn.Linear(64, 512, bias=False),
        nn.BatchNorm1d(512, **_NORM),
        nn.LeakyReLU(_SLOPE),
        *normed(512, 512),
        nn.LeakyReLU(_SLOPE),
        nn.Linear(512, n_columns),
    )
    return D, G
