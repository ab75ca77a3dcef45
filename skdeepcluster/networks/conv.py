"""Convolutional encoders for square or oblong images of any size from 4 pixels up."""

from __future__ import annotations

import math

from torch import nn
from torch.nn import functional as F

from skdeepcluster.networks.linear import Linear


class ConvEncoder(nn.Module):
    """Encoder for small images: two 4x4 convolutions of stride 2, two linear layers.

    Without padding, as published for 28 x 28 (28 -> 13 -> 5); under 14 pixels with a
    padding of 1, so that something is left (8 -> 4 -> 2).

    Parameters
    ----------
    image_shape : tuple of int
        Channels, height, width.
    n_out : int
        Width of the head.
    batch_norm : bool, default=True
        Without it the layers have biases instead.

    Attributes
    ----------
    n_activation : int
        Size of the flattened activation map: the second convolution's output, 3200 for
        28 x 28.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], n_out: int, batch_norm: bool = True
    ):
        super().__init__()
        channels, *sides = image_shape
        padding = int(min(sides) < 14)

        def halve(n_in, n_out):
            layer = nn.Conv2d(
                n_in, n_out, 4, stride=2, padding=padding, bias=not batch_norm
            )
            norm = [nn.BatchNorm2d(n_out)] if batch_norm else []
            return [layer, *norm, nn.LeakyReLU(0.2)]

        self.body = nn.Sequential(*halve(channels, 64), *halve(64, 128), nn.Flatten())
        for _ in range(2):
            sides = [(side + 2 * padding - 4) // 2 + 1 for side in sides]
        self.n_activation = 128 * math.prod(sides)
        self.head = nn.Sequential(
            Linear(self.n_activation, 1024, bias=not batch_norm),
            *([nn.BatchNorm1d(1024)] if batch_norm else []),
            nn.LeakyReLU(0.2),
            Linear(1024, n_out),
        )

    def forward(self, x):
        """Return the activation map, flattened, and the head's output."""
        a = self.body(x)
        return a, self.head(a)


class _FirstBlock(nn.Module):
    """conv-BN-ReLU-conv-pool beside pool-conv1x1, for raw pixels."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            nn.Conv2d(n_out, n_out, 3, padding=1, bias=False),
            nn.AvgPool2d(2),
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(n_in, n_out, 1))

    def forward(self, x):
        return self.main(x) + self.shortcut(x)


class _Block(nn.Module):
    """Pre-activation residual block; halves the sides where `down`."""

    def __init__(self, n_in: int, n_out: int, down: bool):
        super().__init__()
        pool = [nn.AvgPool2d(2)] if down else []
        self.main = nn.Sequential(
            nn.BatchNorm2d(n_in),
            nn.ReLU(),
            nn.Conv2d(n_in, n_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            nn.Conv2d(n_out, n_out, 3, padding=1, bias=False),
            *pool,
        )
        self.shortcut = (
            nn.Sequential(nn.Conv2d(n_in, n_out, 1), *pool) if down else nn.Identity()
        )

    def forward(self, x):
        return self.main(x) + self.shortcut(x)


class ResidualEncoder(nn.Module):
    """Encoder for images from 32 pixels up: pre-activation residual blocks.

    The sides are halved until the shorter one is 4 to 7 pixels, the channels doubled
    up to 512: width 128 and three halvings for 32 x 32, width 64 and four for 96 x 96,
    as published.

    Parameters
    ----------
    image_shape : tuple of int
        Channels, height, width.
    n_out : int
        Width of the head.

    Attributes
    ----------
    n_activation : int
        Size of the flattened activation map, the output of the last halving block:
        8192 for 32 x 32, 18432 for 96 x 96.
    """

    def __init__(self, image_shape: tuple[int, int, int], n_out: int):
        super().__init__()
        channels, height, width_px = image_shape
        n_halvings = int(math.log2(min(height, width_px) / 4))
        width = 512 // 2 ** (n_halvings - 1)
        blocks: list[nn.Module] = [_FirstBlock(channels, width)]
        for _ in range(n_halvings - 1):
            blocks.append(_Block(width, 2 * width, down=True))
            width *= 2
        self.body = nn.Sequential(*blocks)
        self.n_activation = (
            width * (height // 2**n_halvings) * (width_px // 2**n_halvings)
        )
        self.last = nn.Sequential(
            _Block(width, width, down=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        # A 1x1 convolution on a map that is pooled to one pixel.
        self.head = nn.Conv2d(width, n_out, 1)

    def forward(self, x):
        """Return the activation map, flattened, and the head's output."""
        a = self.body(x)
        pooled = F.adaptive_avg_pool2d(self.last(a), 1)
        return a.flatten(1), self.head(pooled).flatten(1)
