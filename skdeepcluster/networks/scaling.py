"""Scaling as part of the model."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from skdeepcluster.engine import chunks

_BLOCK = 2**20  # values read at once: 8 MB as float64


class Scaling(nn.Module):
    """Affine scaling of each column, and the shape that the network reads.

    The network's input is ``(x - shift) * factor`` as float32. Small integers (uint8
    images) travel to the device as they are. Floats and wide integers are centred
    before, by `centre`: a large offset has to go while the precision is still there.

    Parameters
    ----------
    shift, factor : ndarray of shape (n_features,) or (1,)
    std : ndarray of shape (n_features,) or (1,)
        Standard deviation of each column after scaling: the unit of the noise that
        augments a table (not used for images).
    image_shape : tuple of int or None
        (height, width, channels) of the images in the rows; the output is then of
        shape (n, channels, height, width).
    """

    shift: torch.Tensor
    factor: torch.Tensor
    std: torch.Tensor

    def __init__(self, shift, factor, std, image_shape=None):
        super().__init__()
        self._shift = np.asarray(shift, dtype=np.float64)
        self._shift32 = self._shift.astype(np.float32)
        for name, value in (("shift", shift), ("factor", factor), ("std", std)):
            # A copy: the arrays may be a file mapped for reading (joblib).
            own = torch.from_numpy(np.array(value, dtype=np.float32))
            self.register_buffer(name, own)
        self.image_shape = image_shape

    @classmethod
    def fit(
        cls,
        X: np.ndarray,
        kind: str | None,
        image_shape=None,
        limits: tuple[float, float] = (-1.0, 1.0),
    ) -> Scaling:
        """Learn the scaling of `X`.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Read in blocks.
        kind : {"auto", "standard", "common", "minmax", None}
            ``"standard"``: each column to mean 0 and standard deviation 1 (a constant
            column to 0). ``"common"``: each column to mean 0, all of them divided by
            one number, so that their mean variance is 1. ``"minmax"``: all values
            together to `limits`; the range of uint8 is 0 to 255. None: left as they
            are. ``"auto"``: ``"minmax"`` for images; ``"common"`` for tables whose
            columns look like one kind of measurement (pixels, an embedding), where
            half of them span at least half of the widest range; else ``"standard"``.
        image_shape : tuple of int or None
        limits : tuple of float, default=(-1, 1)

        Raises
        ------
        ValueError
            If values vary by less than float32 can tell.
        """
        if kind == "auto" and image_shape is not None:
            kind = "minmax"
        if kind == "minmax":
            low, high = (0, 255) if X.dtype == np.uint8 else (X.min(), X.max())
            span = (float(high) - float(low)) or 1.0
            factor = (limits[1] - limits[0]) / span
            _refuse_tiny(factor)
            # (low + high) / 2 for limits around 0, low for limits from 0 on
            shift = float(low) - limits[0] / factor
            std = [1.0] if image_shape else _moments(X)[1] * factor
            return cls([shift], [factor], std, image_shape)
        mean, std = _moments(X)
        if kind is None:
            return cls(np.zeros_like(mean), np.ones_like(std), std, image_shape)
        # What rounding leaves of a constant column must not be blown up to noise.
        varies = std > 1e-12 * np.abs(mean)
        if kind == "auto":
            kind = "common" if _is_common_scale(X) else "standard"
        if kind == "common" and varies.any():
            unit = np.full_like(std, np.sqrt(np.square(std[varies]).mean()))
        else:
            unit = np.where(varies, std, 1)
        factor = varies / unit
        _refuse_tiny(factor)
        return cls(mean, factor, std * factor, image_shape)

    def arguments(self) -> dict[str, np.ndarray]:
        """Return the arrays that the constructor takes, to build it again."""
        factor, std = self.factor.numpy(), self.std.numpy()
        return {"shift": self._shift, "factor": factor, "std": std}

    def centre(self, rows: np.ndarray) -> torch.Tensor:
        """Make a tensor of raw rows, in the host's memory."""
        if rows.dtype.kind in "iub" and rows.dtype.itemsize <= 2:
            # A copy where it is read-only, such as a file mapped for reading.
            return torch.from_numpy(np.require(rows, requirements="W"))
        if rows.dtype == np.float32:
            return torch.from_numpy(rows - self._shift32)
        return torch.from_numpy((rows - self._shift).astype(np.float32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scale what `centre` gave to the network's float32 input."""
        if x.is_floating_point():
            x = x * self.factor
        else:
            x = (x.to(torch.float32) - self.shift) * self.factor
        if self.image_shape is not None:
            x = x.unflatten(1, self.image_shape).permute(0, 3, 1, 2)
        return x

    def inverse(self, x: torch.Tensor) -> np.ndarray:
        """Return scaled rows in the units of the input, float32, on the host.

        A column that was constant becomes that constant again.
        """
        if self.image_shape is not None:
            x = x.permute(0, 2, 3, 1).flatten(1)
        factor = self.factor.double().cpu().numpy()
        rows = np.divide(x.cpu().numpy(), np.where(factor == 0, np.inf, factor))
        return (rows + self._shift).astype(np.float32)


def _refuse_tiny(factor) -> None:
    """Raise where values differ by less than float32 can tell."""
    if np.max(factor) > np.finfo(np.float32).max:
        raise ValueError(
            "X holds values that vary too little for float32, in which networks "
            "compute: multiply them by a number."
        )


def _is_common_scale(X: np.ndarray) -> bool:
    """Whether half of the columns span at least half of the widest range."""
    span = X.max(0).astype(np.float64) - X.min(0)
    return bool(np.median(span[span > 0]) >= span.max() / 2) if span.any() else True


def _moments(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation per column, in two passes over float64 blocks."""
    size = max(1, _BLOCK // X.shape[1])
    mean = sum(rows.sum(0, dtype=np.float64) for rows in chunks(X, size)) / len(X)
    squares = sum(np.square(rows - mean).sum(0) for rows in chunks(X, size))
    return np.asarray(mean), np.sqrt(np.asarray(squares) / len(X))


class CodeScaling(nn.Module):
    """Codes to mean 0, and to a mean variance of 1, which keeps their proportions.

    Parameters
    ----------
    n_latent : int
        Width of the code.

    Attributes
    ----------
    shift : tensor of shape (n_latent,)
    factor : tensor of shape ()
    """

    shift: torch.Tensor
    factor: torch.Tensor

    def __init__(self, n_latent: int):
        super().__init__()
        self.register_buffer("shift", torch.zeros(n_latent))
        self.register_buffer("factor", torch.ones(()))

    @torch.no_grad()
    def fit(self, codes: torch.Tensor) -> None:
        """Learn shift and factor from these codes."""
        std = codes.var(0, correction=0).mean().sqrt()
        self.shift.copy_(codes.mean(0))
        self.factor.copy_(torch.where(std > 0, 1 / std, 1.0))

    def forward(self, codes):
        """Return scaled codes."""
        return (codes - self.shift) * self.factor
