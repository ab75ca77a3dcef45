"""Features of a row or of an image, for softmax heads (IIC)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from skdeepcluster.networks.conv import ResidualEncoder
from skdeepcluster.networks.dcgan import Sobel
from skdeepcluster.networks.mlp import hidden_layers


class Edges(Sobel):
    """Edges alone, d/dx and d/dy: two channels, whatever the colours are."""

    def forward(self, x):
        """Return images of shape (n, 2, h, w)."""
        return super().forward(x)[:, :2]


class Trunk(nn.Module):
    """Linear layers for rows, convolutions for images; batch norm and ReLU.

    Grey images go through four 5x5 convolutions with a max-pooling between each two, as
    published for 24 x 24; from 48 pixels on, what they give is pooled to 3 to 5 pixels
    once more. Colour images are turned into edges, and go through residual blocks, or
    below 32 pixels through the same convolutions.

    Parameters
    ----------
    input_shape : tuple of int
        (n_features,) or (channels, height, width), of 8 pixels at least.
    hidden : sequence of int
        Widths of the layers of a row.

    Attributes
    ----------
    n_features : int
        Width of the features: 4608 for 24 x 24 and 28 x 28 grey pixels, 512 for 32 x 32
        coloured ones.
    """

    def __init__(self, input_shape: tuple[int, ...], hidden: Sequence[int]):
        super().__init__()
        if len(input_shape) == 1:
            layers = hidden_layers(input_shape[0], hidden, batch_norm=True, slope=0)
            self.n_features = [input_shape[0], *hidden][-1]
        else:
            channels, *sides = input_shape
            layers = [] if channels == 1 else [Edges(channels)]
            n_in = 1 if channels == 1 else 2
            plan = _plain if n_in == 1 or min(sides) < 32 else _residual
            convolutions, self.n_features = plan(n_in, *sides)
            layers += [*convolutions, nn.Flatten()]
        self.body = nn.Sequential(*layers)

    def forward(self, x):
        """Return features of shape (n, n_features)."""
        return self.body(x)


def _plain(n_in: int, height: int, width: int) -> tuple[list[nn.Module], int]:
    """Published convolutions, and how many features they give."""
    layers: list[nn.Module] = []
    for n_out in (64, 128, 256, 512):
        layers += [nn.MaxPool2d(2)] if layers else []
        layers += [nn.Conv2d(n_in, n_out, 5, padding=2, bias=False)]
        layers += [nn.BatchNorm2d(n_out), nn.ReLU()]
        n_in = n_out
    height, width = height // 8, width // 8
    last = max(1, min(height, width) // 3)
    return [*layers, nn.MaxPool2d(last)], n_in * (height // last) * (width // last)


def _residual(n_in: int, height: int, width: int) -> tuple[list[nn.Module], int]:
    """Residual blocks up to one pixel, and how many features they give."""
    encoder = ResidualEncoder((n_in, height, width), 1)
    layers = [encoder.body, encoder.last, nn.AdaptiveAvgPool2d(1)]
    return layers, encoder.head.in_channels
