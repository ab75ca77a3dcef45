"""Terms of an evidence lower bound: diagonal Gaussians and likelihoods."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F


def gaussian_kl(
    mean_q: torch.Tensor,
    variance_q: torch.Tensor,
    mean_p: torch.Tensor,
    variance_p: torch.Tensor,
) -> torch.Tensor:
    r"""Divergence of diagonal Gaussians :math:`\mathrm{KL}(q\parallel p)`, in nats.

    .. math::
        \tfrac12\sum_d\Big[\log\frac{\sigma_p^2}{\sigma_q^2}
        +\frac{\sigma_q^2+(\mu_q-\mu_p)^2}{\sigma_p^2}-1\Big]

    Parameters
    ----------
    mean_q, variance_q, mean_p, variance_p : tensor of shape (..., n_dimensions)
        Broadcast against each other.

    Returns
    -------
    tensor of shape (...)
    """
    ratio = variance_q / variance_p
    return (ratio - ratio.log() - 1 + (mean_q - mean_p).square() / variance_p).sum(
        -1
    ) / 2


def gaussian_log_likelihood(
    x: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor
) -> torch.Tensor:
    r"""Log density of a diagonal Gaussian, in nats, summed over the last axis.

    .. math:: -\tfrac12\sum_d\Big[\log 2\pi\sigma_d^2+(x_d-\mu_d)^2/\sigma_d^2\Big]
    """
    each = (x - mean).square() / variance + variance.log()
    return -(each.sum(-1) + mean.shape[-1] * math.log(2 * math.pi)) / 2


def bernoulli_log_likelihood(x: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    r"""Log probability of values in [0, 1], in nats, summed over the last axis.

    With :math:`p` the logistic function of the logits,

    .. math:: \sum_d x_d\log p_d+(1-x_d)\log(1-p_d)
    """
    return (x * logits - F.softplus(logits)).sum(-1)


def squared_wasserstein2(
    mean_a: torch.Tensor,
    variance_a: torch.Tensor,
    mean_b: torch.Tensor,
    variance_b: torch.Tensor,
) -> torch.Tensor:
    r"""Squared 2-Wasserstein distance of diagonal Gaussians (Prasad eq. 17).

    .. math:: \lVert\mu_a-\mu_b\rVert^2+\lVert\sigma_a-\sigma_b\rVert^2

    Over the last axis; :math:`\sigma` is a standard deviation.
    """
    spread = variance_a.sqrt() - variance_b.sqrt()
    return ((mean_a - mean_b).square() + spread.square()).sum(-1)
