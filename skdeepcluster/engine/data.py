"""Minibatches from arrays on the device, in memory or in a memmap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

# Share of the free device memory that the training data may take.
_RESIDENT_SHARE = 0.5


def chunks(X: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Yield consecutive blocks of `size` rows (views)."""
    for start in range(0, len(X), size):
        yield X[start : start + size]


class Batches:
    """Fresh minibatches of an array, without end.

    Every pass goes through a new random order; the rows that do not fill a last batch
    are left to a later pass, as a batch of one breaks batch normalisation. The array
    is never converted as a whole: a batch is gathered in the array's own type (uint8
    stays uint8), moved, and only then scaled.

    Parameters
    ----------
    X : ndarray of shape (n_samples, ...)
        In memory or a memmap.
    batch_size : int
        Rows of a batch; at most ``n_samples`` are taken.
    scaling : module
        ``scaling.centre`` turns raw rows into a tensor, ``scaling`` maps that, on the
        device, to the network's float32 input.
    generator : torch.Generator
        Source of the random order, on `device`.
    device : torch.device
    resident : bool or "auto", default="auto"
        Whether the array is kept on the device. ``"auto"``: on an accelerator, if it
        takes at most half of the free memory. On a CPU the rows are gathered from
        where they lie, which needs no copy at all.
    """

    def __init__(
        self,
        X: np.ndarray,
        batch_size: int,
        scaling: Any,
        generator: torch.Generator,
        device: torch.device,
        resident: bool | str = "auto",
    ):
        self.n_samples = len(X)
        self.batch_size = min(batch_size, self.n_samples)
        self.scaling = scaling
        self.generator = generator
        self.device = device
        if resident == "auto":
            resident = device.type != "cpu" and self._fits(X)
        self.X: np.ndarray | torch.Tensor = self._upload(X) if resident else X
        # Position within the random order. On the device it is a tensor, so that a
        # captured step goes on to new rows each time it is replayed.
        self._offsets = torch.arange(self.batch_size, device=device)
        self._usable = self.n_samples - self.n_samples % self.batch_size
        self._position: int | torch.Tensor = (
            torch.zeros((), dtype=torch.int64, device=device) if resident else 0
        )
        self._order: np.ndarray | torch.Tensor = np.empty(0, dtype=np.int64)
        self.shuffle()

    def __len__(self) -> int:
        """Number of whole batches in a pass over the data."""
        return self.n_samples // self.batch_size

    def _fits(self, X: np.ndarray) -> bool:
        if self.device.type != "cuda":
            return True  # mps shares the host's memory
        return X.nbytes <= _RESIDENT_SHARE * torch.cuda.mem_get_info(self.device)[0]

    def _upload(self, X: np.ndarray) -> torch.Tensor:
        block = max(1, 2**24 // max(1, X[:1].nbytes))
        parts = (self.scaling.centre(np.array(rows)) for rows in chunks(X, block))
        return torch.cat([part.to(self.device) for part in parts])

    def shuffle(self) -> None:
        """Start a new pass: a new order, from its first row on."""
        order = torch.randperm(
            self.n_samples, generator=self.generator, device=self.device
        )
        if isinstance(self.X, torch.Tensor):
            if isinstance(self._order, torch.Tensor):
                self._order.copy_(order)  # in place: a captured step reads this memory
            else:
                self._order = order
            self._position.zero_()  # type: ignore[union-attr]
        else:
            self._order = order.cpu().numpy()
            self._position = 0

    def draw(self) -> torch.Tensor:
        """Return the next minibatch, scaled, on the device.

        A resident array is read with a position that lies on the device and wraps
        around, so nothing here waits for the device; `shuffle` is called between
        passes by the net.
        """
        if isinstance(self.X, torch.Tensor):
            at = (self._position + self._offsets) % self._usable
            rows = self.X.index_select(0, self._order.index_select(0, at))  # type: ignore[union-attr]
            self._position += self.batch_size
        else:
            if self._position + self.batch_size > self.n_samples:
                self.shuffle()
            at = slice(self._position, self._position + self.batch_size)
            rows = self.scaling.centre(self.X[self._order[at]]).to(self.device)
            self._position += self.batch_size
        return self.scaling(rows)
