"""Distances between the samples of a batch and the data around them."""

from __future__ import annotations

import torch

from skdeepcluster.engine.net import Net


class NeighbourDistance:
    """Distance from samples to their k-th nearest neighbour in the training data.

    Estimated from `n_reference` random rows, which stay on the device: among m of n
    rows the (k m / n)-th neighbour is about as far as the k-th among all. Up to
    `n_reference` rows that is all of them (duplicates of a sample do not count; with
    fewer rows than neighbours the last is taken, without any the distance is 0).
    Beyond ``k * n_reference`` rows it is somewhat too far, as there is no neighbour
    nearer than the first.

    Parameters
    ----------
    net : Net
        Whose batches are read.
    k : int, default=10
    n_reference : int, default=1000
    """

    def __init__(self, net: Net, k: int = 10, n_reference: int = 1_000):
        n = net.batches.n_samples
        m = min(n_reference, n)
        self.reference = net.batches.sample(m).flatten(1)
        self.k = min(max(1, round(k * m / n)), m - 1)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Distance of each sample of a scaled batch, shape (n,)."""
        # Not by way of a matrix product, which leaves rounding where there is nothing.
        exact = "donot_use_mm_for_euclid_dist"
        distances = torch.cdist(x.flatten(1), self.reference, compute_mode=exact)
        # A sample may itself be among the reference rows.
        distances = distances.masked_fill(distances == 0, float("inf"))
        nearest = distances.topk(self.k, largest=False).values[:, -1]
        return torch.where(nearest.isinf(), torch.zeros_like(nearest), nearest)
