"""Peak memory of fit and predict beyond imports and input."""

from __future__ import annotations

import pickle
import resource

import numpy as np

from benchmarks.run import in_own_process
from skdeepcluster.methods import METHODS


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _fit(method: str, shape: tuple[int, ...]) -> float:
    X = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    before = _peak_mb()
    METHODS[method](10, max_epochs=1, random_state=0).fit(X)
    return _peak_mb() - before + X.nbytes / 2**20


def _fitted(method: str) -> bytes:
    X = np.random.default_rng(0).integers(0, 256, (1_000, 784), dtype=np.uint8)
    return pickle.dumps(METHODS[method](10, max_epochs=1, random_state=0).fit(X))


def _predict(pickled: bytes, n: int) -> float:
    X = np.random.default_rng(0).integers(0, 256, (n, 784), dtype=np.uint8)
    model = pickle.loads(pickled)
    before = _peak_mb()
    model.predict(X)
    return _peak_mb() - before


def report(method: str = "dccs") -> str:
    """Fit 30,000 x 784 bytes, as rows and as images; predict ever more rows."""
    float32 = 30_000 * 784 * 4 / 2**20
    lines = ["| what | MB beyond imports | limit |", "|---|---|---|"]
    for shape in ((30_000, 784), (30_000, 28, 28)):
        peak = in_own_process(_fit, method, shape)
        size = " x ".join(map(str, shape))
        lines.append(
            f"| fit {size} uint8, input included | {peak:.0f} | {3 * float32:.0f} |"
        )
    model = in_own_process(_fitted, method)
    for n in (1_000, 30_000, 300_000):
        peak = in_own_process(_predict, model, n)
        lines.append(f"| predict {n:,} x 784 beyond the input | {peak:.0f} | 200 |")
    return "\n".join(lines)
