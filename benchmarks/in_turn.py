"""Two ways to train beside each other, timed in turn."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable

import numpy as np


def ratio_of(bare: Callable, other: Callable, rounds: int, n_steps: int) -> str:
    """Time one, the other, one, ...; the ratio round by round.

    Returns a table's last three cells: milliseconds a step of each, and the ratio,
    median (range).
    """
    times = np.array(
        [[_seconds(train) for train in (bare, other)] for _ in range(rounds + 1)]
    )
    times = times[1:]  # the first round warms up
    ratios = times[:, 1] / times[:, 0]
    one, two = np.median(times, 0) / n_steps * 1e3
    return (
        f"{one:.3f} | {two:.3f} | "
        f"{np.median(ratios):.3f} ({ratios.min():.3f}-{ratios.max():.3f}) |"
    )


def seconds_to_fit(model, X) -> float:
    """Fit, whatever it warns of; how long it took."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _seconds(lambda: model.fit(X))


def _seconds(train: Callable) -> float:
    started = time.perf_counter()
    train()
    return time.perf_counter() - started
