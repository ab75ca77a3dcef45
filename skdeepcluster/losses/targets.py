"""Targets that sharpen assignments."""

from __future__ import annotations

import torch


def sharpened(q: torch.Tensor) -> torch.Tensor:
    r"""Target distribution of all rows (DEC eq. 3).

    .. math::
        p_{ij}=\frac{q_{ij}^2/f_j}{\sum_{j'}q_{ij'}^2/f_{j'}},\qquad f_j=\sum_iq_{ij}

    The frequencies are of the whole data set: those of a minibatch would change the
    target with the company that a row happens to be in.

    Parameters
    ----------
    q : tensor of shape (n_samples, n_clusters)
        Soft assignments of all rows.

    Returns
    -------
    tensor of shape (n_samples, n_clusters)
    """
    # A cluster without any weight has none in the target either.
    weight = q.square() / q.sum(0).clamp(min=torch.finfo(q.dtype).tiny)
    return weight / weight.sum(1, keepdim=True)
