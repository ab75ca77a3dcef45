"""Several softmax heads on one trunk."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from skdeepcluster.networks.linear import Linear


class ClusterHeads(nn.Module):
    """Trunk of linear layers and ReLU, and on it all heads as one matrix.

    Parameters
    ----------
    n_in : int
        Width of the features.
    hidden : sequence of int
        Widths of the trunk's layers.
    heads : sequence of (int, int)
        Per kind, how many heads there are and how many outputs each has. The first
        kind clusters.

    Attributes
    ----------
    losses : tensor of shape (n_heads,)
        Running mean of the loss of each head of the first kind.
    chosen : tensor of shape ()
        The head of the first kind that is read.
    """

    losses: torch.Tensor
    chosen: torch.Tensor

    def __init__(
        self, n_in: int, hidden: Sequence[int], heads: Sequence[tuple[int, int]]
    ):
        super().__init__()
        layers: list[nn.Module] = []
        for n_hidden in hidden:
            layers += [Linear(n_in, n_hidden), nn.ReLU()]
            n_in = n_hidden
        self.trunk = nn.Sequential(*layers)
        self.heads = [(n, k) for n, k in heads if n]
        self.output = Linear(n_in, sum(n * k for n, k in self.heads))
        self.register_buffer("losses", torch.zeros(self.heads[0][0]))
        self.register_buffer("chosen", torch.zeros((), dtype=torch.int64))

    def forward(self, m: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the trunk's output, and logits (n, n_heads, k) per kind of head."""
        hidden = self.trunk(m)
        parts = self.output(hidden).split([n * k for n, k in self.heads], dim=1)
        logits = [
            part.unflatten(1, shape)
            for part, shape in zip(parts, self.heads, strict=True)
        ]
        return hidden, logits

    @torch.no_grad()
    def follow(self, losses: torch.Tensor, weight: float) -> None:
        """Add a step's losses to their running means, which begin at the first."""
        losses = losses.detach()
        mean = self.losses.lerp(losses, weight)
        self.losses.copy_(torch.where(self.losses == 0, losses, mean))

    @torch.no_grad()
    def choose(self) -> None:
        """Read the head with the lowest loss from here on."""
        self.chosen.copy_(self.losses.argmin())

    def read(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits (n, k) of the chosen head, of those of all (n, n_heads, k)."""
        return logits.index_select(1, self.chosen.view(1)).squeeze(1)
