"""Encoders and decoders that mirror each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from skdeepcluster.networks.custom import CustomEncoder
from skdeepcluster.networks.mlp import MLPEncoder, mlp
from skdeepcluster.networks.strided import StridedEncoder, StridedGenerator


class FlatEncoder(MLPEncoder):
    """Encoder of linear layers and ReLU, of rows or of images as rows."""

    def __init__(self, input_shape: tuple[int, ...], hidden: Sequence[int], n_out: int):
        n_in = math.prod(input_shape)
        super().__init__(n_in, hidden, n_out, batch_norm=False, slope=0)

    def forward(self, x):
        """Return the last hidden layer and the code."""
        return super().forward(x.flatten(1))


class FlatDecoder(nn.Module):
    """Decoder of linear layers and ReLU, to rows or to images."""

    def __init__(self, n_in: int, hidden: Sequence[int], input_shape: tuple[int, ...]):
        super().__init__()
        self.body = mlp(n_in, hidden, math.prod(input_shape), slope=0)
        self.shape = tuple(input_shape)

    def forward(self, code):
        """Return the reconstruction, shaped as the input."""
        return self.body(code).unflatten(1, self.shape)


class ImageDecoder(StridedGenerator):
    """Decoder of transposed convolutions, to images in [-1, 1]."""

    def forward(self, code):
        """Return the reconstruction."""
        return 2 * super().forward(code) - 1


def autoencoder(
    input_shape: tuple[int, ...],
    hidden: Sequence[int],
    n_latent: int,
    convolutional: bool = False,
    encoder: nn.Module | Callable | None = None,
    n_out: int | None = None,
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
        Strided 5x5 convolutions in place of the linear layers; for images in [-1, 1].
    encoder : nn.Module or callable, default=None
        A user's own, on which the code is a linear layer.
    n_out : int, default=None
        Width of the encoder's output, by default `n_latent`.
    """
    n_out = n_latent if n_out is None else n_out
    E: nn.Module
    D: nn.Module
    if convolutional:
        channels, height, width = input_shape
        shape = channels, height, width
        E, D = StridedEncoder(shape, n_out), ImageDecoder(n_latent, shape)
    else:
        E = FlatEncoder(input_shape, hidden, n_out)
        D = FlatDecoder(n_latent, hidden[::-1], input_shape)
    return (E if encoder is None else CustomEncoder(encoder, input_shape, n_out)), D


class Centers(nn.Module):
    """Centres of clusters in a code, as Gaussians of one variance, once they are known.

    Parameters
    ----------
    n_clusters : int
    n_embedding : int
        Width of the code.
    """

    centers: torch.Tensor
    variance: torch.Tensor

    def __init__(self, n_clusters: int, n_embedding: int):
        super().__init__()
        self.register_buffer("centers", torch.zeros(n_clusters, n_embedding))
        self.register_buffer("variance", torch.zeros(()))

    @property
    def fitted(self) -> bool:
        """Whether there are any."""
        return bool(self.variance > 0)

    def set(self, centers, variance: float) -> None:
        """Take over centres (an array), and the variance of a value around them."""
        self.centers.copy_(torch.from_numpy(centers))
        self.variance.fill_(max(variance, 1e-12))

    def forward(self, embedding):
        """Logarithm of each Gaussian's density, up to a constant."""
        difference = embedding[:, None] - self.centers
        return -difference.square().sum(2) / (2 * self.variance)


class StudentCenters(nn.Module):
    r"""Soft assignment by Student's t-distribution around centres (DEC eq. 1).

    .. math::
        q_{ij}\propto\big(1+\lVert z_i-\mu_j\rVert^2/\alpha\big)^{-(\alpha+1)/2}

    Parameters
    ----------
    n_clusters : int
    n_embedding : int
        Width of the code.
    alpha : float, default=1.0
        Degrees of freedom :math:`\alpha`.

    Attributes
    ----------
    centers : parameter of shape (n_clusters, n_embedding)
        :math:`\mu`; trained.
    placed : tensor of shape ()
        1 once they have been placed by `set`.
    """

    placed: torch.Tensor

    def __init__(self, n_clusters: int, n_embedding: int, alpha: float = 1.0):
        super().__init__()
        self.centers = nn.Parameter(torch.zeros(n_clusters, n_embedding))
        self.alpha = alpha
        self.register_buffer("placed", torch.zeros(()))

    @property
    def fitted(self) -> bool:
        """Whether the centres have been placed."""
        return bool(self.placed)

    @torch.no_grad()
    def set(self, centers, variance: float) -> None:
        """Place the centres (an array); their variance is always 1."""
        self.centers.copy_(torch.from_numpy(centers))
        self.placed.fill_(1)

    def forward(self, embedding):
        """Logits of the assignment q."""
        difference = embedding[:, None] - self.centers
        squares = difference.square().sum(2)
        return -(self.alpha + 1) / 2 * torch.log1p(squares / self.alpha)


class MixturePrior(nn.Module):
    r"""Gaussian mixture in the code, with one diagonal Gaussian per cluster (VaDE).

    Parameters
    ----------
    n_clusters : int
    n_embedding : int
        Width of the code.

    Attributes
    ----------
    log_weights : parameter of shape (n_clusters,)
        Unnormalised; their softmax is :math:`\pi`.
    means, log_variances : parameters of shape (n_clusters, n_embedding)
        :math:`\mu_c` and :math:`\log\sigma_c^2`.
    """

    placed: torch.Tensor

    def __init__(self, n_clusters: int, n_embedding: int):
        super().__init__()
        self.log_weights = nn.Parameter(torch.zeros(n_clusters))
        self.means = nn.Parameter(torch.zeros(n_clusters, n_embedding))
        self.log_variances = nn.Parameter(torch.zeros(n_clusters, n_embedding))
        self.register_buffer("placed", torch.zeros(()))

    @property
    def fitted(self) -> bool:
        """Whether the Gaussians have been placed."""
        return bool(self.placed)

    @torch.no_grad()
    def set(self, weights, means, variances) -> None:
        """Take over a fitted mixture (arrays)."""
        self.log_weights.copy_(torch.from_numpy(weights).log())
        self.means.copy_(torch.from_numpy(means))
        self.log_variances.copy_(torch.from_numpy(variances).log())
        self.placed.fill_(1)

    def forward(self, z):
        """Logits of the cluster given a code, and the logarithm of its density."""
        ratio = (z[:, None] - self.means).square() / self.log_variances.exp()
        log_density = -(ratio + self.log_variances + math.log(2 * math.pi)).sum(2) / 2
        return self.log_weights.log_softmax(0) + log_density
