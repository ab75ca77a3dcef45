"""Multi-layer perceptrons."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn


def mlp(n_in: int, hidden: Sequence[int], n_out: int) -> nn.Sequential:
    """Linear layers with LeakyReLU(0.2) between, and a linear output."""
    layers: list[nn.Module] = []
    for n_hidden in hidden:
        layers += [nn.Linear(n_in, n_hidden), nn.LeakyReLU(0.2)]
        n_in = n_hidden
    return nn.Sequential(*layers, nn.Linear(n_in, n_out))


class MLPEncoder(nn.Module):
    """Table encoder: linear, batch norm, LeakyReLU(0.2) per hidden layer, linear head.

    Parameters
    ----------
    n_in : int
        Columns of the input.
    hidden : sequence of int
        Widths of the hidden layers. The last one is the activation map.
    n_out : int
        Width of the head.

    Attributes
    ----------
    n_activation : int
        Width of the activation map.
    """

    def __init__(self, n_in: int, hidden: Sequence[int], n_out: int):
        super().__init__()
        layers: list[nn.Module] = []
        for n_hidden in hidden:
            layers += [
                nn.Linear(n_in, n_hidden, bias=False),
                nn.BatchNorm1d(n_hidden),
                nn.LeakyReLU(0.2),
            ]
            n_in = n_hidden
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(n_in, n_out)
        self.n_activation = n_in

    def forward(self, x):
        """Return the activation map and the head's output, both 2-D."""
        a = self.body(x)
        return a, self.head(a)
