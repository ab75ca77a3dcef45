"""Virtual adversarial perturbations (Miyato 2018, as used by IMSAT)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from skdeepcluster.losses.information import categorical_kl


def virtual_adversarial(
    logits_of: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    radius: torch.Tensor,
    noise: torch.Tensor,
    xi: torch.Tensor,
    divergence: Callable = categorical_kl,
    target: Any = None,
) -> torch.Tensor:
    r"""Move each sample in the direction that changes its assignment most.

    One power iteration: with a random unit vector :math:`d`,

    .. math::
        g=\nabla_d\,\mathrm{KL}\big(p(x)\parallel p(x+\xi d)\big),\qquad
        T(x)=x+\epsilon\,g/\lVert g\rVert_2

    Parameters
    ----------
    logits_of : callable
        Logits of the assignment p; called twice, or once where `target` is given.
    x : tensor of shape (n, ...)
    radius : tensor of shape (n,)
        Length :math:`\epsilon` of each sample's perturbation.
    noise : tensor, shaped as x
        Standard normal, from which the random direction is made.
    xi : tensor of shape (n,)
        Step :math:`\xi` of the power iteration for each sample.
    divergence : callable, default=categorical_kl
        Scalar divergence of two outputs of `logits_of`, for networks that have more
        than one.
    target : tensor, default=None
        What `logits_of` gives for x, without a gradient, where it is already known.

    Returns
    -------
    tensor, shaped as x
        Constant: no gradient flows back through it.
    """
    x = x.detach()
    each = (-1, *[1] * (x.ndim - 1))
    d = _unit(noise).requires_grad_()
    if target is None:
        with torch.no_grad():
            target = logits_of(x)
    (g,) = torch.autograd.grad(divergence(target, logits_of(x + xi.view(each) * d)), d)
    return x + radius.view(each) * _unit(g)


def _unit(v: torch.Tensor) -> torch.Tensor:
    """Each sample's vector over its length; zero stays zero."""
    flat = v.flatten(1)
    # By the largest entry first: squares of tiny gradients would vanish.
    tiny = torch.finfo(flat.dtype).tiny
    flat = flat / flat.abs().amax(1, keepdim=True).clamp(min=tiny)
    return (flat / flat.norm(dim=1, keepdim=True).clamp(min=tiny)).view_as(v)
