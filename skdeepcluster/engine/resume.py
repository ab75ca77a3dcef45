"""Checkpoints from which an interrupted fit goes on."""

from __future__ import annotations

import copy
import os
import time
from pathlib import Path
from typing import Any

import torch
from skorch.callbacks import Callback


class ResumableCheckpoint(Callback):
    """Save a training as it goes, and go on from there in the next fit.

    A fit that finds the file skips the phases that were finished and continues the one
    that was not at the epoch after the last one saved. On a CPU its result equals that
    of a fit that was never interrupted, bit for bit, at the same number of threads.

    Parameters
    ----------
    path : str or path-like
        The file. It is replaced as a whole, so that a crash leaves the one before. It
        stays when the fit has ended: the same fit again then returns at once.
    every_s : float, default=600
        Seconds between two savings, which are made at the end of an epoch. A phase is
        also saved when it ends, or when a callback (such as ``TimeLimit``) stops it.

    Raises
    ------
    ValueError
        In ``fit``, before any training: if the folder of the file does not exist, or
        the file was not written by a fit of the same estimator with the same
        parameters, data, ``random_state`` and kind of device. (Of several fits,
        ``n_init``, each finds out about its own file when its turn comes.)

    Notes
    -----
    Give it last in ``callbacks=[...]``. Callbacks before it that have ``state_dict``
    and ``load_state_dict`` go on where they were; others (skorch's ``LRScheduler``,
    ``EarlyStopping``) start anew. With ``random_state=None`` every fit is another one.
    With ``n_init`` above 1 each fit has a file of its own, see `for_fit`.

    The file holds the weights, the optimizers' state and the order of the rows, once
    for the running phase and once for each that is finished.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_wine
    >>> from skdeepcluster import DCCS
    >>> from skdeepcluster.engine import ResumableCheckpoint, TimeLimit
    >>> X = load_wine().data
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     keep = ResumableCheckpoint(f"{folder}/wine.ckpt")
    ...     part = DCCS(3, max_epochs=4, callbacks=[TimeLimit(0), keep], random_state=0)
    ...     whole = DCCS(3, max_epochs=4, callbacks=[keep], random_state=0)
    ...     part.fit(X).n_iter_, whole.fit(X).n_iter_
    (1, 4)
    """

    def __init__(self, path, every_s: float = 600.0):
        self.path = path
        self.every_s = every_s

    def check_params(self):
        """Raise if there is no folder for the file."""
        if not Path(self.path).parent.is_dir():
            raise ValueError(f"{self.path}: there is no such folder.")

    def for_fit(self, i: int) -> ResumableCheckpoint:
        """Return the checkpoint of one of several fits (``n_init``): a file of its own.

        The number is put before the extension.
        """
        path = Path(self.path)
        own = path.with_name(f"{path.stem}-{i}{path.suffix}")
        return type(self)(own, self.every_s)

    def initialize(self):
        """Read the file, if there is one."""
        self.file_ = Path(self.path)
        self.saved_: dict[str, Any] | None = None
        if self.file_.exists():
            try:
                self.saved_ = torch.load(
                    self.file_, map_location="cpu", weights_only=True
                )
            except Exception as error:  # torch has no class for what it cannot read
                raise ValueError(f"{self.file_} is no checkpoint: {error}") from error
        self.begun_, self.finished_ = 0, []
        return self

    def on_train_begin(self, net, **kwargs):
        """Take up this phase where it was left, if it was begun."""
        self.whole_, self.last_ = False, time.perf_counter()
        phase, self.begun_ = self.begun_, self.begun_ + 1
        if self.saved_ is None:
            return
        if self.saved_["identity"] != net.identity:
            raise ValueError(
                f"{self.file_} was written by another fit (estimator, parameters, "
                "data, random_state or device differ). Remove it or use another path."
            )
        done = self.saved_["finished"]
        if phase < len(done):
            self.finished_.append(done[phase])
            self._load(net, done[phase])
        elif phase == len(done) and self.saved_["running"]:
            self._load(net, self.saved_["running"])

    def on_epoch_begin(self, net, **kwargs):
        """From here on, the state is that of an epoch that has not ended."""
        self.whole_ = False

    def on_epoch_end(self, net, **kwargs):
        """Save if it is time to, and the state is a good one."""
        self.whole_ = net.sound_
        if self.whole_ and time.perf_counter() - self.last_ > self.every_s:
            self._save(net, self._snapshot(net))

    def on_train_end(self, net, **kwargs):
        """Save the phase as finished, or as far as it came."""
        if not self.whole_:  # interrupted amid an epoch, or finished in an earlier fit
            return
        if net.finished:
            self.finished_.append(copy.deepcopy(self._snapshot(net)))
            self._save(net, None)
        else:
            self._save(net, self._snapshot(net))

    def _snapshot(self, net) -> dict[str, Any]:
        return {**net.snapshot(), "callbacks": [c.state_dict() for c in _kept(net)]}

    def _load(self, net, saved: dict[str, Any]) -> None:
        callbacks, states = _kept(net), saved["callbacks"]
        if len(callbacks) != len(states):
            raise ValueError(
                f"{self.file_} holds the states of {len(states)} callbacks, but "
                f"{len(callbacks)} have one. Remove it or use another path."
            )
        net.load_snapshot(saved)
        for callback, state in zip(callbacks, states, strict=True):
            callback.load_state_dict(state)

    def _save(self, net, running: dict[str, Any] | None) -> None:
        part = self.file_.with_name(self.file_.name + ".part")
        whole = {"identity": net.identity, "finished": self.finished_}
        torch.save({**whole, "running": running}, part)
        os.replace(part, self.file_)
        self.last_ = time.perf_counter()


def _kept(net) -> list:
    """Callbacks whose state is saved."""
    return [
        callback for _, callback in net.callbacks_ if hasattr(callback, "state_dict")
    ]
