"""How rows of data are drawn: as images, or as profiles of their columns."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from skdeepcluster.plotting.displays import COLOURS

_MOST_NAMES = 30


class Ink(NamedTuple):
    """One scale for all rows of a picture."""

    low: float
    high: float
    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> Ink:
        """Scale that these rows fill; of shape (n, height, width, ...) or (n, m)."""
        mean, std = np.nanmean(rows, 0), np.nanstd(rows, 0)
        low, high = np.nanmin(rows), np.nanmax(rows)
        return cls(low, high, mean, np.where(std > 0, std, 1))

    def draw(self, axes, rows: np.ndarray, cluster: int, label=None, **line) -> None:
        """Draw images side by side, or profiles over each other.

        Profiles are columns in standard deviations from their mean.
        """
        if not len(rows):
            pass
        elif rows.ndim > 2:
            axes.imshow(self._strip(rows), cmap="gray", vmin=0, vmax=1)
        else:
            style: dict[str, Any] = {"color": COLOURS[cluster % len(COLOURS)]}
            style |= {"alpha": 0.6, "linewidth": 1, **line}
            axes.plot(((rows - self.mean) / self.std).T, **style)
        axes.set(xticks=[], yticks=[])
        text = str(cluster) if label is None else label
        axes.set_ylabel(text, rotation=0, ha="right", va="center")

    def _strip(self, images: np.ndarray) -> np.ndarray:
        """Values in [0, 1]; other channels than RGB as their mean."""
        strip = np.concatenate(list(images), axis=1)
        strip = (strip - self.low) / ((self.high - self.low) or 1)
        if strip.ndim == 3 and strip.shape[2] != 3:
            strip = strip.mean(2)
        return strip


def as_images(rows: np.ndarray, image_shape) -> np.ndarray:
    """Rows in the shape of images; those of tables, where it is None, as they are."""
    rows = np.asarray(rows, dtype=np.float32)
    width = math.prod(rows.shape[1:])
    if image_shape and math.prod(image_shape) == width:
        return rows.reshape(len(rows), *image_shape)
    return rows.reshape(len(rows), width)


def name_columns(axes, columns) -> None:
    """Write the names of a table's columns below, if there are not too many."""
    if columns is not None and len(columns) <= _MOST_NAMES:
        text = {"rotation": 45, "ha": "right", "fontsize": "x-small"}
        axes.set_xticks(range(len(columns)), columns, **text)


def colour_of(cluster, position: int) -> str:
    """Colour of a cluster: by its number, so that it is the same in every picture."""
    number = cluster if isinstance(cluster, Integral) else position
    return COLOURS[int(number) % len(COLOURS)]
