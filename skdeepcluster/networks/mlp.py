"""Multi-layer perceptrons."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from skdeepcluster.networks.linear import Linear


def hidden_layers(
    n_in: int, hidden: Sequence[int], batch_norm: bool, slope: float
) -> list[nn.Module]:
    """Linear, batch norm if any, and LeakyReLU(slope) for each width."""
    layers: list[nn.Module] = []
    for n_hidden in hidden:
        layers.append(Linear(n_in, n_hidden, bias=not batch_norm))
        if batch_norm:
            layers.append(nn.BatchNorm1d(n_hidden))
        layers.append(nn.LeakyReLU(slope, inplace=True))
        n_in = n_hidden
    return layers


def mlp(
    n_in: int,
    hidden: Sequence[int],
    n_out: int,
    *,
    batch_norm: bool = False,
    slope: float = 0.2,
) -> nn.Sequential:
    """Linear layers with LeakyReLU(slope) between, and a linear output; 0 is ReLU."""
    layers = hidden_layers(n_in, hidden, batch_norm, slope)
    return nn.Sequential(*layers, Linear([n_in, *hidden][-1], n_out))


class MLPEncoder(nn.Module):
    """Table encoder: linear, batch norm, LeakyReLU per hidden layer, linear head.

    Parameters
    ----------
    n_in : int
        Columns of the input.
    hidden : sequence of int
        Widths of the hidden layers. The last one is the activation map.
    n_out : int
        Width of the head.
    batch_norm : bool, default=True
        Without it the linear layers have biases instead.
    slope : float, default=0.2
        Of the LeakyReLU; 0 is ReLU.

    Attributes
    ----------
    n_activation : int
        Width of the activation map.
    """

    def __init__(
        self,
        n_in: int,
        hidden: Sequence[int],
        n_out: int,
        *,
        batch_norm: bool = True,
        slope: float = 0.2,
    ):
        super().__init__()
        self.body = nn.Sequential(*hidden_layers(n_in, hidden, batch_norm, slope))
        self.n_activation = [n_in, *hidden][-1]
        self.head = Linear(self.n_activation, n_out)

    def forward(self, x):
        """Return the activation map and the head's output, both 2-D."""
        a = self.body(x)
        return a, self.head(a)
