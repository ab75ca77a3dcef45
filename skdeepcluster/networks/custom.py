"""A user's own encoder, with a head or frozen."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn

from skdeepcluster.networks.linear import Linear
from skdeepcluster.networks.scaling import CodeScaling


class CustomEncoder(nn.Module):
    """Any module that turns a batch into features, and a linear head on top.

    Parameters
    ----------
    encoder : nn.Module or callable
        A module (copied, never trained in place), or a factory that is called with
        the shape of one input, ``(n_features,)`` or ``(channels, height, width)``.
    input_shape : tuple of int
    n_out : int
        Width of the head.

    Attributes
    ----------
    n_activation : int
        Features per sample that `encoder` gives, flattened: the activation map.

    Raises
    ------
    TypeError
        If the factory does not return a module.
    ValueError
        If the module does not accept such input, or its output is not one row of
        features per sample.
    """

    def __init__(
        self, encoder: nn.Module | Callable, input_shape: tuple[int, ...], n_out: int
    ):
        super().__init__()
        body = encoder if isinstance(encoder, nn.Module) else encoder(input_shape)
        if not isinstance(body, nn.Module):
            raise TypeError(
                "The encoder factory must return a torch.nn.Module; it returned "
                f"{type(body).__name__}."
            )
        # Also a factory may return what it has returned before.
        self.body = copy.deepcopy(body).cpu()
        self.n_activation = self._width(input_shape)
        self.head = Linear(self.n_activation, n_out)

    @torch.no_grad()
    def _width(self, input_shape: tuple[int, ...]) -> int:
        """Ask the module for its output's shape, with two samples of zeros."""
        training = self.body.training
        self.body.eval()
        try:
            out = self.body(torch.zeros(2, *input_shape))
        except Exception as error:
            raise ValueError(
                f"encoder does not accept a batch of shape (n, "
                f"{', '.join(map(str, input_shape))}): {error}"
            ) from error
        finally:
            self.body.train(training)
        if not isinstance(out, torch.Tensor) or out.ndim < 2 or len(out) != 2:
            got = (
                f"shape {tuple(out.shape)}"
                if isinstance(out, torch.Tensor)
                else type(out).__name__
            )
            raise ValueError(
                "encoder must return a tensor of shape (n, n_outputs), one row of "
                f"features per sample; for a batch of 2 it returned {got}."
            )
        return out[0].numel()

    def forward(self, x):
        """Return the user's features, flattened, and the head's output."""
        a = self.body(x).flatten(1)
        return a, self.head(a)


class CustomTrunk(CustomEncoder):
    """Features that any module gives, without a head.

    Parameters
    ----------
    encoder : nn.Module or callable
        As for :class:`CustomEncoder`.
    input_shape : tuple of int

    Attributes
    ----------
    n_features : int
        Width of the features.
    """

    def __init__(self, encoder: nn.Module | Callable, input_shape: tuple[int, ...]):
        super().__init__(encoder, input_shape, 1)
        self.head = nn.Identity()  # type: ignore[assignment]
        self.n_features = self.n_activation

    def forward(self, x):
        """Return features of shape (n, n_features)."""
        return self.body(x).flatten(1)


class FrozenEncoder(CustomTrunk):
    """Features that are never trained: any module's output, always in eval mode.

    They are centred, and divided by one number, so that their mean variance is 1, once
    `standardise` has seen some rows.

    Parameters
    ----------
    encoder : nn.Module or callable
        As for :class:`CustomEncoder`; ``nn.Flatten()`` gives the input itself.
    input_shape : tuple of int

    Attributes
    ----------
    n_features : int
        Width of the features.
    """

    def __init__(self, encoder: nn.Module | Callable, input_shape: tuple[int, ...]):
        super().__init__(encoder, input_shape)
        self.scaled = CodeScaling(self.n_features)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True):
        """Stay as it is."""
        return super().train(False)

    @torch.no_grad()
    def standardise(self, x: torch.Tensor) -> None:
        """Learn shift and factor from some rows."""
        self.scaled.fit(self(x))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Features of shape (n, n_features)."""
        return self.scaled(self(x))
