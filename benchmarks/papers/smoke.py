"""Proof that a setting of hours starts, can be stopped, and goes on."""

from __future__ import annotations

import tempfile
import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from benchmarks.data import load
from benchmarks.papers.tables import Setting
from benchmarks.run import hardware
from skdeepcluster.engine import ResumableCheckpoint, TimeLimit
from skdeepcluster.methods import METHODS

# A step of the largest networks takes seconds on a CPU.
_ROWS = 64


def smoke(table: str, setting: Setting, seed: int = 0) -> dict:
    """Fit the setting's networks on few rows, two epochs per phase, three times.

    Without a break; stopped after the first epoch; resumed from there. Returns the
    steps of each and the greatest difference between a weight of the first and of the
    last model, 0 if they are equal.
    """
    started = time.perf_counter()
    X, y = load(setting.data)
    X = X[np.linspace(0, len(X) - 1, _ROWS).astype(int)]
    model = METHODS[setting.method](len(np.unique(y)), random_state=seed)
    model.set_params(**setting.params)
    phases = [name for name in model.get_params() if name.endswith("max_epochs")]
    model.set_params(**dict.fromkeys(phases, 2))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        keep = ResumableCheckpoint(f"{folder}/smoke.ckpt")
        steps, weights = [], []
        for callbacks in ([], [TimeLimit(0), keep], [keep]):
            model.set_params(callbacks=callbacks).fit(X)
            steps.append(model.n_iter_)
            weights.append(model.__getstate__()["_weights"])
    whole, _, resumed = weights
    return {
        "smoke": True,
        "table": table,
        "setting": setting.name,
        "method": setting.method,
        "data": setting.data,
        "steps": dict(zip(("whole", "stopped", "resumed"), steps, strict=True)),
        "difference": max(_difference(whole[name], resumed[name]) for name in whole),
        "seconds": time.perf_counter() - started,
        **hardware(),
    }


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b.astype(float)).max(initial=0))
