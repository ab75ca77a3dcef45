"""Random numbers on the device, from one explicit generator."""

from __future__ import annotations

from typing import Any

import torch


class Draws:
    """Random float32 numbers on a device, all of them from one generator.

    Parameters
    ----------
    generator : torch.Generator
        On `device`.
    device : torch.device
    """

    def __init__(self, generator: torch.Generator, device: torch.device):
        self.generator = generator
        self.device = device

    @classmethod
    def seeded(cls, seed: int, device: torch.device) -> Draws:
        """Return a source that starts at `seed`."""
        return cls(torch.Generator(device).manual_seed(seed), device)

    def rand(self, *shape: int) -> torch.Tensor:
        """Uniform numbers in [0, 1)."""
        return torch.rand(shape, **self._kind())

    def randn(self, *shape: int) -> torch.Tensor:
        """Standard normal numbers."""
        return torch.randn(shape, **self._kind())

    def randperm(self, n: int) -> torch.Tensor:
        """Return a random order of n indices, in a way that a graph can capture."""
        return self.rand(n).argsort()

    def _kind(self) -> dict[str, Any]:
        # Whatever torch's default type is where a fitted model generates rows.
        device, generator = self.device, self.generator
        return {"generator": generator, "device": device, "dtype": torch.float32}
