"""Distances between the samples of a batch and the data around them."""

from __future__ import annotations

from collections.abc import Callable

import torch

from skdeepcluster.engine.net import Net


class NeighbourDistance:
    """Distance from samples to their k-th nearest neighbour in the training data.

    Estimated from `n_reference` random rows, which stay on the device: among m of n
    rows the (k m / n)-th neighbour is about as far as the k-th among all. Up to
    `n_reference` rows that is all of them (duplicates of a sample do not count; where
    fewer rows than k differ from it, though there are more, the distance is 0).
    Beyond ``k * n_reference`` rows it is somewhat too far, as there is no neighbour
    nearer than the first.

    Parameters
    ----------
    reference : tensor of shape (n_reference, n_features)
        Random rows of the data.
    n_samples : int
        Rows of the data.
    k : int, default=10
    """

    def __init__(self, reference: torch.Tensor, n_samples: int, k: int = 10):
        m = len(reference)
        self.reference = reference
        self.k = min(max(1, round(k * m / n_samples)), m - 1)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Distance of each sample of a scaled batch, shape (n,)."""
        # Not by way of a matrix product, which leaves rounding where there is nothing.
        exact = "donot_use_mm_for_euclid_dist"
        distances = torch.cdist(x.flatten(1), self.reference, compute_mode=exact)
        # A sample may itself be among the reference rows.
        distances = distances.masked_fill(distances == 0, float("inf"))
        nearest = distances.topk(self.k, largest=False).values[:, -1]
        return torch.where(nearest.isinf(), torch.zeros_like(nearest), nearest)


def neighbour_distance(
    net: Net, n_steps: int, features: torch.Tensor | None = None
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Distance to the tenth neighbour, for the rows of the batch drawn last.

    Parameters
    ----------
    net : Net
        Its batches are the data; the reference is 1,000 rows of them or more, if there
        are as many.
    n_steps : int
        Calls to come. Where they read more rows than there are, all distances are
        computed now, once, from a tenth of the data (1,000 to 10,000 rows), with which
        the tenth neighbour is the first; else each in its turn.
    features : tensor of shape (n_samples, n_features), default=None
        What stands for the rows, in their order.

    Returns
    -------
    callable
        Maps a batch as it was drawn to distances of shape (batch_size,).
    """
    batches = net.batches
    n = batches.n_samples
    once = n <= n_steps * batches.batch_size
    n_reference = min(n, max(1_000, min(n // 10, 10_000) if once else 0))
    if features is None:
        reference = batches.sample(n_reference).flatten(1)
    else:
        reference = features[net.randperm(n)[:n_reference]]
    near = NeighbourDistance(reference, n)
    if not once:
        return near
    rows = batches.in_order(1_024) if features is None else features.split(1_024)
    known = torch.cat([near(block) for block in rows])
    return lambda x: batches.of_batch(known)
