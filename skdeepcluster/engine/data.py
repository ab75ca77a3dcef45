"""Minibatches from arrays on the device, in memory or in a memmap."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

# Share of the free device memory that the training data may take.
_RESIDENT_SHARE = 0.5

# Values that are gathered and scaled at once, 1 MB in float32: of a small batch the
# calls cost more than the work.
_GATHERED = 2**18

# A product can round otherwise where its rows begin at another address modulo 64 bytes,
# which are so many values of float32.
_ALIGNED = 64 // 4


def chunks(X: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Yield consecutive blocks of `size` rows (views)."""
    for start in range(0, len(X), size):
        yield X[start : start + size]


def make_batches(
    X: np.ndarray,
    batch_size: int,
    scaling: Any,
    generator: torch.Generator,
    device: torch.device,
) -> Batches:
    """Return minibatches of `X` from where they are read fastest.

    On an accelerator the array moves there, if it takes at most half of the free
    memory. On a CPU the rows are gathered from where they lie, without any copy.
    """
    fits = device.type != "cpu"
    if device.type == "cuda":
        # What torch holds in reserve is free too.
        free = torch.cuda.mem_get_info(device)[0]
        free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        fits = X.nbytes <= _RESIDENT_SHARE * free
    kind = ResidentBatches if fits else Batches
    return kind(X, batch_size, scaling, generator, device)


class Batches:
    """Fresh minibatches of an array in memory or in a memmap, without end.

    Every pass goes through a new random order; the rows that do not fill a last batch
    are left to a later pass, as a batch of one breaks batch normalisation. The array
    is never converted as a whole: a batch is gathered in the array's own type (uint8
    stays uint8), moved, and only then scaled.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    batch_size : int
        Rows of a batch; at most ``n_samples`` are taken.
    scaling : module
        ``scaling.centre`` turns raw rows into a tensor, ``scaling`` maps that, on the
        device, to the network's float32 input.
    generator : torch.Generator
        Source of the random order, on `device`.
    device : torch.device
    """

    def __init__(
        self,
        X: np.ndarray,
        batch_size: int,
        scaling: Any,
        generator: torch.Generator,
        device: torch.device,
    ):
        self.n_samples = len(X)
        self.scaling = scaling
        self.generator = generator
        self.device = device
        self._take(X)
        self.resize(batch_size)

    def __len__(self) -> int:
        """Number of whole batches in a pass over the data."""
        return self.n_samples // self.batch_size

    def _take(self, X: np.ndarray) -> None:
        self._X = X

    def resize(self, batch_size: int) -> None:
        """Draw batches of another size from here on, in a new order."""
        self.batch_size = min(batch_size, self.n_samples)
        self.shuffle()

    def _new_order(self) -> torch.Tensor:
        return torch.randperm(
            self.n_samples, generator=self.generator, device=self.device
        )

    def shuffle(self) -> None:
        """Start a new pass: a new order, from its first row on."""
        self._seek(self._new_order(), 0)

    def state_dict(self) -> dict[str, Any]:
        """Order of the pass, position within it and size of a batch."""
        order = torch.from_numpy(self._order)
        return {"order": order, "at": self._at, "batch_size": self.batch_size}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.resize(state["batch_size"])
        self._seek(state["order"], state["at"])

    def _seek(self, order: torch.Tensor, at: int) -> None:
        self._order, self._at = order.cpu().numpy(), at
        # The next batches, last one first.
        self._ready: list[torch.Tensor] = []

    def _gather(self, rows: np.ndarray) -> torch.Tensor:
        """Return these rows, scaled, on the device."""
        X = self._X
        # Twice as fast where rows lie in one piece; elsewhere `take` copies all of X.
        values = X.take(rows, 0) if X.flags.c_contiguous else X[rows]
        return self.scaling(self.scaling.centre(values).to(self.device))

    def sample(self, n: int) -> torch.Tensor:
        """Return n different random rows, scaled; the pass goes on undisturbed."""
        return self._gather(self._new_order()[:n].cpu().numpy())

    def in_order(self, size: int) -> Iterator[torch.Tensor]:
        """Yield all rows, `size` at a time, scaled, on the device."""
        for rows in chunks(self._X, size):
            yield self.scaling(self.scaling.centre(rows).to(self.device))

    def draw(self) -> torch.Tensor:
        """Return the next minibatch, scaled, on the device."""
        if not self._ready:
            self._gather_ahead()
        batch = self._ready[-1]
        self._go_on()
        return batch

    def draw_from(self, values: torch.Tensor) -> torch.Tensor:
        """Draw a minibatch of other values of the same rows, already on the device.

        Parameters
        ----------
        values : tensor of shape (n_samples, ...)
        """
        self._go_on()
        return self.of_batch(values)

    def _turn_over(self) -> None:
        """Start a new pass where this one has no whole batch left."""
        if self._at + self.batch_size > self.n_samples:
            self.shuffle()

    def _go_on(self) -> None:
        """Take the rows of the next minibatch."""
        self._turn_over()
        self._rows = self._order[self._at : self._at + self.batch_size]
        self._at += self.batch_size
        del self._ready[-1:]

    def _gather_ahead(self) -> None:
        """Make the next batches ready, each as if it were gathered alone."""
        self._turn_over()
        size, width = self.batch_size, self._X[0].size
        # Each begins where an array of its own could: a resumed fit gathers from
        # another batch on, and has to see the same bits.
        filler = -size % (_ALIGNED // math.gcd(_ALIGNED, width))
        n = min(
            _GATHERED // ((size + filler) * width),
            (self.n_samples - self._at) // size,
        )
        if n < 2:
            n, filler = 1, 0
        rows = self._order[self._at : self._at + n * size].reshape(n, size)
        rows = rows.take(np.arange(size + filler) % size, 1)
        values = self._gather(rows.ravel()).unflatten(0, rows.shape)
        self._ready = list(values[:, :size].unbind())[::-1]

    def of_batch(self, values: torch.Tensor) -> torch.Tensor:
        """Return the entries of the last drawn batch.

        Parameters
        ----------
        values : tensor of shape (n_samples, ...)
            On the device, one entry per row of the data.
        """
        return values.index_select(0, torch.from_numpy(self._rows).to(values.device))


class ResidentBatches(Batches):
    """Minibatches of an array that lies on the device.

    The order of the coming batches and the position within it lie there too, so that a
    draw never waits for the device, and a captured step goes on to new rows each time
    it is replayed. The order has a generator of its own: it is the same whether it is
    drawn when a pass begins or ahead of that, see `have`.
    """

    def _take(self, X: np.ndarray) -> None:
        first = self.scaling.centre(X[:1])
        self._data = first.new_empty(X.shape, device=self.device)
        block = max(1, 2**24 // first.nbytes)
        rows = zip(self._data.split(block), chunks(X, block), strict=True)
        for there, here in rows:
            there.copy_(self.scaling.centre(here))
        self._shuffler = torch.Generator(self.device)
        self._n_resized = 0
        self._start = torch.zeros((), dtype=torch.int64, device=self.device)
        # Batches drawn so far.
        self.n_drawn = 0

    def resize(self, batch_size: int) -> None:
        """Draw batches of another size from here on, in a new order."""
        self._ahead = 1
        # A seed for each size, as it must not count how many passes were drawn ahead
        # with the last one; nor may it be that of the steps' own draws.
        self._n_resized += 1
        self._shuffler.manual_seed(self.generator.initial_seed() + self._n_resized)
        super().resize(batch_size)
        self._offsets = torch.arange(self.batch_size, device=self.device)

    def _new_pass(self) -> torch.Tensor:
        order = torch.randperm(
            self.n_samples, generator=self._shuffler, device=self.device
        )
        return order[: len(self) * self.batch_size]

    def shuffle(self) -> None:
        """Start a new pass."""
        self._seek(self._new_pass(), 0)

    def _seek(self, order: torch.Tensor, at: int) -> None:
        # As many batches as can be there after `have`.
        passes = math.ceil(self._ahead / len(self))
        room = (self._ahead - 1 + passes * len(self)) * self.batch_size
        self._index = order.new_zeros(max(room, len(order)), device=self.device)
        self._index[: len(order)] = order.to(self.device)
        self._start.fill_(at)
        # Batches that are still to be drawn in the order that is there.
        self.left = (len(order) - at) // self.batch_size

    def reserve(self, n: int) -> None:
        """Make room for `n` batches ahead; `have` then never moves the order."""
        self._ahead = max(self._ahead, n)
        self._seek(self._rest(), 0)

    def have(self, n: int) -> None:
        """See to it that the next `n` batches are in the order, where it lies."""
        if self.left >= n:
            return
        parts = [self._rest()]
        while self.left < n:
            parts.append(self._new_pass())
            self.left += len(self)
        order = torch.cat(parts)
        self._index[: len(order)] = order
        self._start.zero_()

    def passed(self, n: int) -> None:
        """Count `n` batches as drawn; the position itself is moved on the device."""
        self.left -= n
        self.n_drawn += n

    def _rest(self) -> torch.Tensor:
        """Order of the batches that are still to be drawn."""
        n = self.left * self.batch_size
        offsets = torch.arange(n, device=self.device)
        return self._index.index_select(0, self._start + offsets)

    def state_dict(self) -> dict[str, Any]:
        """Order of the coming batches, size of a batch, source of the next order."""
        return {
            "order": self._rest(),
            "at": 0,
            "batch_size": self.batch_size,
            "shuffler": self._shuffler.get_state(),
            "n_resized": self._n_resized,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        super().load_state_dict(state)
        self._shuffler.set_state(state["shuffler"].cpu())
        self._n_resized = state["n_resized"]

    def sample(self, n: int) -> torch.Tensor:
        """Return n different random rows, scaled; the pass goes on undisturbed."""
        return self.scaling(self._data.index_select(0, self._new_order()[:n]))

    def in_order(self, size: int) -> Iterator[torch.Tensor]:
        """Yield all rows, `size` at a time, scaled, on the device."""
        yield from map(self.scaling, self._data.split(size))

    def draw(self) -> torch.Tensor:
        """Return the next minibatch, scaled, without a word to the host."""
        self._go_on()
        return self.scaling(self._data.index_select(0, self._batch))

    def _go_on(self) -> None:
        self.have(1)
        self._batch = self._index.index_select(0, self._start + self._offsets)
        self._start += self.batch_size
        self.passed(1)

    def of_batch(self, values: torch.Tensor) -> torch.Tensor:
        """Return the entries of the last drawn batch."""
        return values.index_select(0, self._batch)
