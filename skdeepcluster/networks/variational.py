"""Networks of a variational autoencoder with one Gaussian per cluster.

None has a normalisation layer. Convolutions are 3 x 3. Published for 28 x 28 grey and
32 x 32 colour images; `_plan` says how other sizes follow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from skdeepcluster.networks.linear import Linear
from skdeepcluster.networks.mlp import hidden_layers, mlp

# Least variance of a latent dimension: keeps divergences finite.
_LEAST = 1e-4


def _plan(image_shape: Sequence[int]) -> tuple[bool, int]:
    """How a size is reached: without padding or with it, and halvings beforehand.

    From 28 pixels on, layers of stride 1 have no padding, as published; below it would
    leave nothing. Sides of 56 pixels and more are halved, until they are less.
    """
    side = min(image_shape[1:])
    return side >= 28, max(0, int(math.log2(side / 28)))


def activation(input_shape: Sequence[int]) -> nn.Module:
    """ReLU for grey images, LeakyReLU for colour and for tables."""
    grey = len(input_shape) == 3 and input_shape[0] == 1
    return nn.ReLU() if grey else nn.LeakyReLU(0.2)


def trunk(input_shape: Sequence[int], hidden: Sequence[int]) -> nn.Sequential:
    """Features of a row (hidden layers) or of an image (convolutions), flattened."""
    n_in = input_shape[0]
    if len(input_shape) == 1:
        return nn.Sequential(*hidden_layers(n_in, hidden, batch_norm=False, slope=0.2))
    layers: list[nn.Module] = []
    valid, halvings = _plan(input_shape)
    if n_in == 1:
        plan = [(64, 1)] * 3 + [(128, 2), (128, 1), (128, 1), (256, 2)]
    else:
        plan = [(96, 1), (96, 1), (96, 2), (192, 1), (192, 1), (192, 2)]
    before = [(plan[0][0], 2)] * halvings
    for i, (n_out, stride) in enumerate([*before, *plan]):
        padding = int(i < halvings or not valid)
        layers += [nn.Conv2d(n_in, n_out, 3, stride=stride, padding=padding)]
        layers += [activation(input_shape)]
        n_in = n_out
    return nn.Sequential(*layers, nn.Flatten())


@torch.no_grad()
def width(body: nn.Module, input_shape: Sequence[int]) -> int:
    """Features that a trunk gives for such an input."""
    device = next((p.device for p in body.parameters()), None)
    return body(torch.zeros(1, *input_shape, device=device)).shape[1]


class PlainEncoder(nn.Module):
    """Trunk of linear or convolutional layers, and a linear head.

    Parameters
    ----------
    input_shape : tuple of int
        (n_features,) or (channels, height, width).
    hidden : sequence of int
        Widths of the hidden layers of a table's trunk.
    n_out : int
        Width of the head.

    Attributes
    ----------
    n_activation : int
        Features of the trunk: 1024 for 28 x 28 grey, 3072 for 32 x 32 colour images.
    """

    def __init__(self, input_shape: Sequence[int], hidden: Sequence[int], n_out: int):
        super().__init__()
        self.body = trunk(input_shape, hidden)
        self.n_activation = width(self.body, input_shape)
        self.head = Linear(self.n_activation, n_out)

    def forward(self, x):
        """Return the trunk's features and the head's output, both 2-D."""
        a = self.body(x)
        return a, self.head(a)


class _Gaussian(nn.Module):
    """Linear layer with means and variances; a variance is a softplus plus a floor."""

    def __init__(self, n_in: int, n_out: int, floor: float = _LEAST):
        super().__init__()
        self.linear = Linear(n_in, 2 * n_out)
        self.floor = floor

    def forward(self, h):
        mean, raw = self.linear(h).chunk(2, -1)
        return mean, F.softplus(raw) + self.floor


class GaussianPosterior(nn.Module):
    """Gaussian of the latent code, given a sample and a cluster.

    The features of a sample are shared by its clusters. The first layer reads both,
    side by side; its product with a one-hot cluster is a column of the weights, so it
    is computed as ``W_x h + W_e e_k`` with ``W_x h`` once per sample.

    Parameters
    ----------
    n_features : int
    n_clusters : int
    hidden : sequence of int
        Widths of the hidden layers; at least one.
    n_latent : int
    activation : nn.Module
    body : nn.Module, default=None
        Own trunk that turns samples into features; None: features are given.
    """

    def __init__(
        self,
        n_features: int,
        n_clusters: int,
        hidden: Sequence[int],
        n_latent: int,
        activation: nn.Module,
        body: nn.Module | None = None,
    ):
        super().__init__()
        self.body = nn.Identity() if body is None else body
        self.split = n_features, n_clusters
        self.first = Linear(n_features + n_clusters, hidden[0])
        self.activation = activation
        layers: list[nn.Module] = []
        for n_in, n_out in zip(hidden, hidden[1:], strict=False):
            layers += [Linear(n_in, n_out), activation]
        self.hidden = nn.Sequential(*layers)
        self.out = _Gaussian(hidden[-1], n_latent)

    def forward(self, x, clusters=None):
        """Return means and variances of shape (n, n_chosen, n_latent).

        Parameters
        ----------
        x : tensor of shape (n, ...)
            Features, or what the own trunk reads.
        clusters : tensor of shape (n, n_chosen), default=None
            Indices of the clusters of each sample; None: all of them.
        """
        of_sample, of_cluster = self.first.weight.split(self.split, 1)
        column = of_cluster.mT if clusters is None else of_cluster.mT[clusters]
        h = self.first.of(self.body(x), of_sample)[:, None] + column
        return self.out(self.hidden(self.activation(h)))


class GaussianPrior(nn.Module):
    """Gaussian of the latent code, given a cluster.

    Parameters
    ----------
    n_clusters : int
    hidden : sequence of int
        Widths of the hidden layers; without one it is a table.
    n_latent : int
    """

    def __init__(self, n_clusters: int, hidden: Sequence[int], n_latent: int):
        super().__init__()
        self.n_clusters = n_clusters
        self.hidden = trunk((n_clusters,), hidden)
        self.out = _Gaussian([n_clusters, *hidden][-1], n_latent)

    def forward(self, category):
        """Return means and variances (n, n_latent) of categories (n, n_clusters)."""
        return self.out(self.hidden(category))

    def table(self):
        """Means and variances of all clusters, of shape (n_clusters, n_latent)."""
        weight = self.out.linear.weight
        eye = torch.eye(self.n_clusters, device=weight.device, dtype=weight.dtype)
        return self(eye)

    @torch.no_grad()
    def spread(self) -> None:
        r"""Scale the means until divergences from the origin differ by about one nat.

        For means with standard deviation :math:`s` and variances :math:`v`, the
        divergence :math:`\lVert\mu_k\rVert^2/2v` has the standard deviation
        :math:`s^2\sqrt{D/2}/v` over the clusters.
        """
        n_latent = self.out.linear.out_features // 2
        means, variances = self.table()
        wanted = variances.mean() * math.sqrt(2 / n_latent)
        factor = (wanted / means.square().mean()).sqrt()
        self.out.linear.weight[:n_latent] *= factor


class Decoder(nn.Module):
    """Location and, for a Gaussian likelihood, variance of each value of a sample.

    Images grow from a small map by two transposed convolutions of stride 2, among
    others of stride 1 that add a border of one pixel each. What a size has too much
    is cut off.

    Parameters
    ----------
    n_latent : int
    hidden : sequence of int
        Widths of the hidden layers of a table's decoder.
    output_shape : tuple of int
        (n_features,) or (channels, height, width).
    least_variance : float or None
        None: there is no variance (Bernoulli likelihood).
    """

    def __init__(
        self,
        n_latent: int,
        hidden: Sequence[int],
        output_shape: Sequence[int],
        least_variance: float | None,
    ):
        super().__init__()
        self.output_shape = tuple(output_shape)
        self.least_variance = least_variance
        n_outputs = 1 if least_variance is None else 2
        n_out = n_outputs * output_shape[0]
        if len(output_shape) == 1:
            self.body = mlp(n_latent, hidden, n_out)
        else:
            self.body = _growing(n_latent, output_shape, n_out)

    def forward(self, z):
        """Return locations and variances (or None), flattened: (..., n_values)."""
        out = self.body(z.flatten(0, -2))
        for axis, side in enumerate(self.output_shape[1:], start=2):
            out = out.narrow(axis, 0, side)
        location, *raw = out.split(self.output_shape[0], 1)
        location = location.flatten(1).unflatten(0, z.shape[:-1])
        if not raw:
            return location, None
        variance = F.softplus(raw[0].flatten(1)) + self.least_variance
        return location, variance.unflatten(0, z.shape[:-1])


def _growing(n_latent: int, image_shape: Sequence[int], n_out: int) -> nn.Sequential:
    """Linear layers to a small map, transposed convolutions to the image."""
    valid, doublings = _plan(image_shape)
    grey, padded = image_shape[0] == 1, not valid
    # Only the grey decoder's last layer adds a border, unless the image is large.
    last_padded = padded or not grey or doublings > 0
    # A map of side b becomes 4 b pixels, and those of the borders.
    border = 0 if padded else 14 if grey and doublings else 16
    map_sides = [
        max(1, math.ceil((math.ceil(side / 2**doublings) - border) / 4))
        for side in image_shape[1:]
    ]

    def same(n_in, n_out):
        return nn.ConvTranspose2d(n_in, n_out, 3, padding=int(padded))

    def double(n_in, n_out):
        half = {"stride": 2, "padding": 1, "output_padding": 1}
        return nn.ConvTranspose2d(n_in, n_out, 3, **half)

    if grey:
        n_map, width = 256, 64
        linear = [
            nn.Linear(n_latent, 512),
            nn.Linear(512, n_map * math.prod(map_sides)),
        ]
        grow = [double(256, 128), same(128, 128), same(128, 128), same(128, 64)]
        grow += [double(64, 64), same(64, 64)]
    else:
        n_map, width = 192, 96
        linear = [nn.Linear(n_latent, n_map * math.prod(map_sides))]
        # Without padding 4 becomes 9, and 13 becomes 28.
        first = nn.ConvTranspose2d(192, 192, 3, stride=2)
        second = nn.ConvTranspose2d(96, 96, 3, stride=2, output_padding=1)
        grow = [first if valid else double(192, 192), same(192, 192), same(192, 96)]
        grow += [second if valid else double(96, 96), same(96, 96), same(96, 96)]
    grow += [double(width, width) for _ in range(doublings)]

    def active(layers):
        return [part for layer in layers for part in (layer, activation(image_shape))]

    return nn.Sequential(
        *active(linear),
        nn.Unflatten(1, (n_map, *map_sides)),
        *active(grow),
        nn.ConvTranspose2d(width, n_out, 3, padding=int(last_padded)),
    )
