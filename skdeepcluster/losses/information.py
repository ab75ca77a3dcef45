"""Mutual information and divergences between assignments."""

from __future__ import annotations

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
    p_logits, q_logits : tensor of shape (n, n_clusters)
    """
    log_p, log_q = p_logits.log_softmax(1), q_logits.log_softmax(1)
    return (log_p.exp() * (log_p - log_q)).sum(1).mean()
