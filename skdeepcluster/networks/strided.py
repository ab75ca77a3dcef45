"""Generator and encoder of strided 5x5 convolutions without normalisation (UDC)."""

from __future__ import annotations

import math

from torch import nn

from skdeepcluster.networks.linear import Linear

_BASE = 64  # channels next to the image, doubled per layer


def _plan(image_shape: tuple[int, int, int]) -> tuple[list[int], list[tuple[int, int]]]:
    """Strides from the image inwards, and the sides before each layer and at the end.

    The shorter side is halved until it is about 4: three strided layers for 28 and 32
    pixels, four for 64, and three of which one keeps the size for 16, as published.
    """
    _, height, width = image_shape
    n_halvings = max(1, round(math.log2(min(height, width) / 4)))
    strides = [1] * (3 - n_halvings) + [2] * n_halvings
    sides = [(height, width)]
    for stride in strides:
        sides.append((-(-sides[-1][0] // stride), -(-sides[-1][1] // stride)))
    return strides, sides


class StridedEncoder(nn.Module):
    """Critic or classifier: 5x5 convolutions, LeakyReLU(0.2), one linear layer.

    Parameters
    ----------
    image_shape : tuple of int
        Channels, height, width.
    n_out : int
        Width of the linear layer.

    Attributes
    ----------
    n_activation : int
        Size of the last convolution's output, flattened: 4096 for 28 x 28.
    """

    def __init__(self, image_shape: tuple[int, int, int], n_out: int):
        super().__init__()
        strides, sides = _plan(image_shape)
        layers: list[nn.Module] = []
        n_in = image_shape[0]
        for i, stride in enumerate(strides):
            n_hidden = _BASE * 2**i
            layers.append(nn.Conv2d(n_in, n_hidden, 5, stride=stride, padding=2))
            layers.append(nn.LeakyReLU(0.2))
            n_in = n_hidden
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.n_activation = n_in * math.prod(sides[-1])
        self.head = Linear(self.n_activation, n_out)

    def forward(self, x):
        """Return the activation map, flattened, and the head's output."""
        a = self.body(x)
        return a, self.head(a)


class StridedGenerator(nn.Module):
    """Mirror image of `StridedEncoder`: a code becomes an image in [0, 1].

    A linear layer, then transposed 5x5 convolutions with ReLU between and a sigmoid at
    the end; each output is cut to the size that the encoder has there (8 to 7 on the
    way to 28).

    Parameters
    ----------
    n_in : int
        Width of the code.
    image_shape : tuple of int
        Channels, height, width.
    """

    def __init__(self, n_in: int, image_shape: tuple[int, int, int]):
        super().__init__()
        strides, self.sides = _plan(image_shape)
        strides.reverse()
        self.sides.reverse()
        widths = [_BASE * 2**i for i in reversed(range(len(strides)))]
        widths.append(image_shape[0])
        self.start = (widths[0], *self.sides[0])
        self.linear = nn.Linear(n_in, math.prod(self.start))
        self.layers = nn.ModuleList()
        for n_above, n_below, stride in zip(widths, widths[1:], strides, strict=False):
            up = nn.ConvTranspose2d(
                n_above, n_below, 5, stride, padding=2, output_padding=stride - 1
            )
            self.layers.append(up)

    def forward(self, code):
        """Return images of shape (n, channels, height, width)."""
        x = self.linear(code).unflatten(1, self.start)
        for layer, (height, width) in zip(self.layers, self.sides[1:], strict=True):
            x = layer(x.relu())[..., :height, :width]
        return x.sigmoid()
