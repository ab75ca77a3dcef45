"""Networks of ClusterGAN for images, and what extends them to larger ones."""

from __future__ import annotations

import math

from torch import nn

from skdeepcluster.networks.linear import Linear


def _n_halvings(image_shape: tuple[int, int, int]) -> int:
    """Two below 32 pixels; else until the shorter side is 4 to 7, at least three."""
    side = min(image_shape[1:])
    return 2 if side < 32 else int(math.log2(side / 4))


class DeepConvEncoder(nn.Module):
    """Critic or encoder for images from 32 pixels up, without normalisation.

    4x4 convolutions of stride 2 with LeakyReLU(0.2) and 64, 128, 256, ... channels,
    then a linear layer of 1024.

    Parameters
    ----------
    image_shape : tuple of int
        Channels, height, width.
    n_out : int
        Width of the head.

    Attributes
    ----------
    n_activation : int
        Size of the last convolution's output, flattened: 4096 for 32 x 32.
    """

    def __init__(self, image_shape: tuple[int, int, int], n_out: int):
        super().__init__()
        n_in, height, width = image_shape
        layers: list[nn.Module] = []
        n_halvings = _n_halvings(image_shape)
        for i in range(n_halvings):
            layers.append(nn.Conv2d(n_in, 64 * 2**i, 4, stride=2, padding=1))
            layers.append(nn.LeakyReLU(0.2))
            n_in = 64 * 2**i
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.n_activation = n_in * (height >> n_halvings) * (width >> n_halvings)
        self.head = nn.Sequential(
            Linear(self.n_activation, 1024),
            nn.LeakyReLU(0.2),
            Linear(1024, n_out),
        )

    def forward(self, x):
        """Return the activation map, flattened, and the head's output."""
        a = self.body(x)
        return a, self.head(a)


class ConvGenerator(nn.Module):
    """A code becomes an image in [-1, 1].

    Linear layers of 1024 and of the first map, then transposed 4x4 convolutions of
    stride 2; batch norm and ReLU after each, tanh at the end. Two of them from 128
    channels below 32 pixels (7 -> 14 -> 28), as published; from 32 on as many, and as
    wide, as the encoder has.

    Parameters
    ----------
    n_in : int
        Width of the code.
    image_shape : tuple of int
        Channels, height, width.
    """

    def __init__(self, n_in: int, image_shape: tuple[int, int, int]):
        super().__init__()
        channels, height, width = image_shape
        n_layers = _n_halvings(image_shape)
        self.sides = [
            (-(-height // 2**i), -(-width // 2**i)) for i in reversed(range(n_layers))
        ]
        start = [-(-side // 2**n_layers) for side in (height, width)]
        widths = [64 * 2**i for i in reversed(range(n_layers))]
        n_first = widths[0] * math.prod(start)
        self.linear = nn.Sequential(
            nn.Linear(n_in, 1024),
            nn.BatchNorm1d(1024),
            nn.ReLU(),
            nn.Linear(1024, n_first),
            nn.BatchNorm1d(n_first),
            nn.ReLU(),
            nn.Unflatten(1, (widths[0], *start)),
        )
        self.layers = nn.ModuleList()
        for n_above, n_below in zip(widths, [*widths[1:], channels], strict=True):
            last = len(self.layers) == n_layers - 1
            norm = [nn.Tanh()] if last else [nn.BatchNorm2d(n_below), nn.ReLU()]
            up = nn.ConvTranspose2d(n_above, n_below, 4, stride=2, padding=1)
            self.layers.append(nn.Sequential(up, *norm))

    def forward(self, code):
        """Return images of shape (n, channels, height, width)."""
        x = self.linear(code)
        for layer, (height, width) in zip(self.layers, self.sides, strict=True):
            x = layer(x)[..., :height, :width]
        return x
