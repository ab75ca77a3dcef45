"""Mutual information and divergences between assignments."""

from __future__ import annotations

import math
import sys

import torch
from torch.nn import functional as F


def js_mutual_information(joint: torch.Tensor, marginal: torch.Tensor) -> torch.Tensor:
    r"""Negative Jensen-Shannon bound on mutual information (DCCS eq. 6).

    Binary cross-entropy of a discriminator's logits, joint pairs against pairs from
    the product of the marginals, as the mean over all of them:

    .. math::
        -\tfrac12\big(\mathbb E_{\text{joint}}\log S(D)
        +\mathbb E_{\text{marginal}}\log(1-S(D))\big)

    Parameters
    ----------
    joint, marginal : tensor of shape (n, 1)
        Logits; as many of one kind as of the other.
    """
    return (F.softplus(-joint).mean() + F.softplus(marginal).mean()) / 2


def categorical_kl(p_logits: torch.Tensor, q_logits: torch.Tensor) -> torch.Tensor:
    r"""Mean over the rows of :math:`\mathrm{KL}(p\parallel q)` (DCCS eq. 7).

    Parameters
    ----------
    p_logits, q_logits : tensor of shape (n, ..., n_clusters)

    Returns
    -------
    tensor of shape (...)
        A scalar for (n, n_clusters), one value per head for (n, n_heads, n_clusters).
    """
    log_p, log_q = p_logits.log_softmax(-1), q_logits.log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1).mean(0)


def categorical_entropy(log_p: torch.Tensor) -> torch.Tensor:
    r"""Entropy over the last axis, in nats: :math:`-\sum_k p_k\log p_k`.

    Parameters
    ----------
    log_p : tensor of shape (..., n_clusters)
        Normalised log probabilities.

    Returns
    -------
    tensor of shape (...)
    """
    return -(log_p.exp() * log_p).sum(-1)


def information_maximisation(
    logits: torch.Tensor, marginal_weight: float = 4.0, tolerance: float = 0.0
) -> torch.Tensor:
    r"""Negative mutual information of rows and clusters, regularised (RIM).

    .. math::
        \overline H\big(p(y\mid x)\big)
        +\mu\max\big(\mathrm{KL}(\bar p\parallel u)-\delta,\,0\big),\qquad
        \mathrm{KL}(\bar p\parallel u)=\log k-H(\bar p)

    With :math:`\delta=0` it is IMSAT's :math:`\overline H-\mu H(\bar p)` up to the
    constant :math:`\mu\log k`; with :math:`\delta>0` nearly uniform is uniform enough.

    Parameters
    ----------
    logits : tensor of shape (n, ..., n_clusters)
    marginal_weight : float, default=4.0
        Weight :math:`\mu`.
    tolerance : float, default=0.0
        In nats, :math:`\delta`.

    Returns
    -------
    tensor of shape (...)
        A scalar for (n, n_clusters), one value per head for (n, n_heads, n_clusters).
    """
    log_p = logits.log_softmax(-1)
    p = log_p.exp()
    conditional = -(p * log_p).sum(-1).mean(0)
    mean = p.mean(0)
    # A cluster that nobody is in has no logarithm, and adds nothing.
    log_mean = mean.clamp(min=torch.finfo(mean.dtype).tiny).log()
    divergence = math.log(logits.shape[-1]) + (mean * log_mean).sum(-1)
    return conditional + marginal_weight * (divergence - tolerance).clamp(min=0)


def joint_assignments(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    r"""Joint probabilities of the clusters of two views of a sample (IIC eq. 2).

    .. math::
        P=\tfrac12(A+A^\top)/\textstyle\sum A,\qquad
        A=\tfrac1n\sum_ip(x_i)\,q(x_i)^\top

    Parameters
    ----------
    p, q : tensor of shape (n, ..., n_clusters)
        Probabilities of the clusters of either view. Of several second views of a
        sample the mean may be given: P is linear in q.

    Returns
    -------
    tensor of shape (..., n_clusters, n_clusters)
        Symmetric; sums to one.
    """
    joint = torch.einsum("n...i,n...j->...ij", p, q)
    joint = (joint + joint.mT) / 2
    return joint / joint.sum((-2, -1), keepdim=True)


def iic_loss(
    p: torch.Tensor, q: torch.Tensor, eps: float = sys.float_info.epsilon
) -> torch.Tensor:
    r"""Negative mutual information of the clusters of two views, in nats (IIC eq. 3).

    With :math:`P` of :func:`joint_assignments` and its marginal :math:`P_c`,

    .. math:: -\sum_{cc'}P_{cc'}\log\frac{P_{cc'}}{P_cP_{c'}}

    It is 0 where the views have nothing in common, and :math:`-\log k` where they
    agree, surely, on clusters of one size.

    Parameters
    ----------
    p, q : tensor of shape (n, ..., n_clusters)
        As for :func:`joint_assignments`.
    eps : float
        Least value of a probability, for its logarithm.

    Returns
    -------
    tensor of shape (...)
        A scalar for (n, n_clusters), one value per head for (n, n_heads, n_clusters).
    """
    joint = joint_assignments(p, q)
    log_marginal = joint.sum(-1).clamp(min=eps).log()
    joint = joint.clamp(min=eps)
    ratio = joint.log() - log_marginal[..., :, None] - log_marginal[..., None, :]
    return -(joint * ratio).sum((-2, -1))


def entropy_bound(logits: torch.Tensor, category: torch.Tensor) -> torch.Tensor:
    r"""Upper bound of the entropy of clusters given samples (UDC eqs. 3, 4, 6).

    Cross-entropy between the categories that samples were generated for and those
    that a classifier finds in them:

    .. math:: -\mathbb E_{y,z}\log C_y\big(G(y,z)\big)

    Parameters
    ----------
    logits : tensor of shape (n, n_clusters)
    category : tensor of shape (n, n_clusters)
        One-hot, or rows that sum to one.
    """
    return -(category * logits.log_softmax(1)).sum(1).mean()
