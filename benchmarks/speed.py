"""What a default fit costs on a processor: seconds per 1,000 steps, by phase."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import make_blobs

from benchmarks.in_turn import seconds_to_fit
from benchmarks.run import in_own_process
from skdeepcluster.methods import METHODS

N_SAMPLES, N_FEATURES, N_CLUSTERS = 10_000, 50, 10


def _fit(method: str) -> tuple[dict, float]:
    X, _ = make_blobs(
        N_SAMPLES, N_FEATURES, centers=N_CLUSTERS, cluster_std=8.0, random_state=0
    )
    # With tol=0 no phase ends before its budget.
    model = METHODS[method](N_CLUSTERS, tol=0, random_state=0)
    seconds = seconds_to_fit(model, X)
    return model.history_, seconds


def report() -> str:
    """Fit each method on 10,000 rows of 50 columns with its defaults; a table."""
    lines = [
        "| method | phase | steps | seconds per 1,000 | whole fit, seconds |",
        "|---|---|---|---|---|",
    ]
    for method in METHODS:
        history, seconds = in_own_process(_fit, method)
        phases = list(dict.fromkeys(history["phase"]))
        for phase in phases:
            inside = history["phase"] == phase
            steps = np.diff(history["step"], prepend=0)[inside].sum()
            pace = 1_000 * history["dur"][inside].sum() / steps
            whole = f"{seconds:.0f}" if phase == phases[-1] else ""
            lines.append(f"| {method} | {phase} | {steps:,} | {pace:.1f} | {whole} |")
    return "\n".join(lines)
