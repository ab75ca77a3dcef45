"""Convergence, and the bridge to scikit-learn's own callbacks (1.9+)."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback

from skdeepcluster.engine.net import FitStopped

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn < 1.9 has no callbacks

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in for scikit-learn's mixin: offers nothing."""

    def with_callbacks(method):
        """Return the method as it is."""
        return method


__all__ = [
    "CallbackSupportMixin",
    "Convergence",
    "Settled",
    "SklearnCallbacks",
    "TimeLimit",
    "with_callbacks",
]


class Convergence(Callback):
    """End a phase when a falling quantity has stopped falling.

    Its exponential average over `smooth` epochs is followed from its highest point on
    (an estimate that a critic has yet to learn rises first). The phase has converged
    once the average has not fallen by the share `tol` of its best value within
    `window` epochs.

    Parameters
    ----------
    monitor : str
        Name of the loss.
    tol : float
        Relative fall that counts as one; 0 never stops.
    window : int
        Epochs to wait for it.
    smooth : int, default=20
        Span of the exponential average, in epochs.
    phase : str, default=None
        The phase that may end so; None: any.
    """

    def __init__(
        self,
        monitor: str,
        tol: float,
        window: int,
        smooth: int = 20,
        phase: str | None = None,
    ):
        self.monitor = monitor
        self.tol = tol
        self.window = window
        self.smooth = smooth
        self.phase = phase

    def on_train_begin(self, net, **kwargs):
        """Forget the phase before."""
        self.average_ = None
        if self.phase in (None, net.phase):
            net.converged_ = False

    def state_dict(self):
        """What has been followed so far."""
        return {k: v for k, v in vars(self).items() if k.endswith("_")}

    def load_state_dict(self, state):
        """Go on where `state_dict` was taken."""
        vars(self).update(state)

    def on_epoch_end(self, net, **kwargs):
        """Follow the average; note convergence in ``net.converged_``."""
        if self.phase not in (None, net.phase):
            return
        value = net.history[-1, self.monitor]
        if self.average_ is None:
            self.average_ = self.peak_ = self.best_ = value
            self.waited_ = 0
            return
        self.average_ += (value - self.average_) * 2 / (self.smooth + 1)
        self.waited_ += 1
        if self.average_ > self.peak_:
            self.peak_ = self.best_ = self.average_
            self.waited_ = 0
        elif self.average_ < self.best_ - self.tol * abs(self.best_):
            self.best_ = self.average_
            self.waited_ = 0
        net.converged_ = self.tol > 0 and self.waited_ >= self.window


class Settled(Callback):
    """End a phase when assignments have stopped changing.

    Each epoch is compared with the one `window` epochs, and at least `least` steps,
    before: the epochs of a small table are of a single step. The share of samples whose
    cluster differs is ``changed`` in the history, nan until there is one.

    Parameters
    ----------
    assign : callable
        Returns the clusters of some fixed samples, shape (n,).
    phase : str
        The phase that may end so.
    tol : float
        It ends when `changed` is at most this; 0 never stops.
    window : int
        Epochs.
    least : int, default=500
        Steps.
    """

    def __init__(
        self,
        assign: Callable[[], np.ndarray],
        phase: str,
        tol: float,
        window: int,
        least: int = 500,
    ):
        self.assign = assign
        self.phase = phase
        self.tol = tol
        self.window = window
        self.least = least

    def on_train_begin(self, net, **kwargs):
        """Forget the phase before."""
        self.before_: deque = deque()
        if net.phase == self.phase:
            net.converged_ = False

    def state_dict(self):
        """Assignments of the last epochs."""
        return {"before": [(at, torch.from_numpy(was)) for at, was in self.before_]}

    def load_state_dict(self, state):
        """Go on where `state_dict` was taken."""
        self.before_.extend((at, was.cpu().numpy()) for at, was in state["before"])

    def on_epoch_end(self, net, **kwargs):
        """Compare; note convergence in ``net.converged_``."""
        if net.phase != self.phase or self.tol == 0:
            return
        now, changed = self.assign(), float("nan")
        while len(self.before_) >= self.window:
            at, was = self.before_[0]
            if net.n_steps - at < self.least:
                break
            changed = float((now != was).mean())
            self.before_.popleft()
        self.before_.append((net.n_steps, now))
        net.history.record("changed", changed)
        net.converged_ = changed <= self.tol


class SklearnCallbacks(Callback):
    """Report each epoch to the callbacks that scikit-learn handed to the estimator.

    Parameters
    ----------
    context : sklearn.callback.CallbackContext
        The estimator's root context.
    estimator : estimator
    X, y : array-like
        As given to ``fit``.
    snapshot : callable
        Returns the attributes that make a copy of the estimator ready to predict.
    """

    def __init__(
        self, context: Any, estimator: Any, X: Any, y: Any, snapshot: Callable
    ):
        self.context = context
        self.estimator = estimator
        self.X = X
        self.y = y
        self.snapshot = snapshot

    def on_epoch_begin(self, net, **kwargs):
        """Open the epoch's task."""
        name = f"{net.phase} epoch"
        self.epoch_ = self.context.subcontext(task_name=name)
        self.epoch_.call_on_fit_task_begin(estimator=self.estimator, X=self.X, y=self.y)

    def on_epoch_end(self, net, **kwargs):
        """Close it; a callback that returns True ends the fit."""
        stop = self.epoch_.call_on_fit_task_end(
            estimator=self.estimator,
            X=self.X,
            y=self.y,
            reconstruction_attributes=self.snapshot,
        )
        if stop:
            raise FitStopped("")


class TimeLimit(Callback):
    """End the fit after a number of seconds, at the end of an epoch.

    Parameters
    ----------
    seconds : float
        Counted from the first phase on; with ``n_init`` above 1 in each fit.

    Raises
    ------
    ValueError
        In ``fit``, before any training, if `seconds` is no number from 0 on.
    """

    def __init__(self, seconds: float):
        self.seconds = seconds

    def check_params(self):
        """Raise if `seconds` is no length of time."""
        if not isinstance(self.seconds, Real) or not self.seconds >= 0:
            raise ValueError(
                f"TimeLimit takes a number of seconds, from 0 on; got {self.seconds!r}."
            )

    def initialize(self):
        """Start the clock."""
        self.started_ = time.perf_counter()
        return self

    def on_epoch_end(self, net, **kwargs):
        """Stop if the time is over."""
        if time.perf_counter() - self.started_ > self.seconds:
            raise FitStopped("")
