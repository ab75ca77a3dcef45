"""Likelihood of rows whose values are of two kinds."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from skdeepcluster.losses.gaussian import (
    bernoulli_log_likelihood,
    gaussian_log_likelihood,
)

ALL = slice(None)


class Likelihood(NamedTuple):
    """Gaussian for some values of a row, Bernoulli between two levels for the others.

    Parameters
    ----------
    gaussian, bernoulli : tensor of indices, slice or None
        The values of each kind; None: there are none.
    low, span : float or tensor, one entry per Bernoulli value
        Lower level, and its distance to the upper one.
    """

    gaussian: Any = None
    bernoulli: Any = None
    low: Any = 0.0
    span: Any = 1.0

    def log_prob(
        self, x: torch.Tensor, location: torch.Tensor, variance: torch.Tensor | None
    ) -> torch.Tensor:
        """Log likelihood of rows (..., n_values), in nats, without the last axis.

        `location` is the mean of a Gaussian value, the logit of a Bernoulli one.
        """
        total = x.new_zeros(())
        if self.gaussian is not None:
            g = self.gaussian
            args = x[..., g], location[..., g], variance[..., g]  # type: ignore
            total = total + gaussian_log_likelihood(*args)
        if self.bernoulli is not None:
            b = self.bernoulli
            # Augmented copies may leave the levels.
            share = ((x[..., b] - self.low) / self.span).clamp(0, 1)
            total = total + bernoulli_log_likelihood(share, location[..., b])
        return total

    def mean(self, location: torch.Tensor) -> torch.Tensor:
        """Expected rows."""
        if self.bernoulli is None:
            return location
        mean = location.clone()
        b = self.bernoulli
        mean[..., b] = self.low + self.span * location[..., b].sigmoid()
        return mean
