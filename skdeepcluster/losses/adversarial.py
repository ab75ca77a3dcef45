"""Wasserstein critics, discriminators of a GAN, and their penalties."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F


def wasserstein(
    critic: Callable[[torch.Tensor], torch.Tensor],
    real: torch.Tensor,
    fake: torch.Tensor,
) -> torch.Tensor:
    r"""Critic's estimate of the Wasserstein distance (DCCS eq. 8).

    .. math:: \mathbb E_{x\sim\text{real}} C(x)-\mathbb E_{x\sim\text{fake}} C(x)
    """
    return critic(real).mean() - critic(fake).mean()


def gradient_penalty(
    critic: Callable[[torch.Tensor], torch.Tensor],
    real: torch.Tensor,
    fake: torch.Tensor,
    epsilon: torch.Tensor,
    center: float = 1.0,
) -> torch.Tensor:
    r"""Gradient penalty of WGAN-GP (DCCS eq. 11, last term; UDC eq. 5).

    .. math::
        \mathbb E\big(\lVert\nabla_{\bar x}C(\bar x)\rVert_2-c\big)^2,\qquad
        \bar x=\epsilon x_{\text{real}}+(1-\epsilon)x_{\text{fake}}

    Parameters
    ----------
    critic : callable
    real, fake : tensor of shape (n, ...)
    epsilon : tensor of shape (n,)
        Uniform in [0, 1], one per sample.
    center : float, default=1.0
        The slope :math:`c` that is not penalised.
    """
    epsilon = epsilon.view(-1, *[1] * (real.ndim - 1))
    between = (epsilon * real + (1 - epsilon) * fake).detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - center).square().mean()


def discriminator_loss(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    r"""Loss of a GAN's discriminator, from its logits.

    With :math:`\mathrm{sp}(a)=\log(1+e^a)`,

    .. math::
        \mathbb E_{x\sim\text{real}}\,\mathrm{sp}(-D(x))
        +\mathbb E_{x\sim\text{fake}}\,\mathrm{sp}(D(x))

    Parameters
    ----------
    real, fake : tensor of shape (n, 1)
    """
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake: torch.Tensor) -> torch.Tensor:
    r"""Non-saturating loss of a GAN's generator, from the discriminator's logits.

    .. math:: \mathbb E_{x\sim\text{fake}}\,\mathrm{sp}(-D(x))

    Its slope does not vanish where the discriminator is sure that x is fake.

    Parameters
    ----------
    fake : tensor of shape (n, 1)
    """
    return F.softplus(-fake).mean()


def range_penalty(x: torch.Tensor, limit: float = 20.0) -> torch.Tensor:
    r"""Sum of what lies beyond a range: :math:`\sum\max(|x|-\ell,0)`."""
    return (x.abs() - limit).clamp(min=0).sum()
