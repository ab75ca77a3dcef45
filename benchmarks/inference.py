"""Rows per second of `predict`, beside the network's own passes."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.in_turn import ratio_of, seconds_to_fit
from benchmarks.modes import data_like, short
from skdeepcluster.engine import chunks
from skdeepcluster.methods import METHODS


def compare(data: str = "table", device: str = "cpu", rounds: int = 9) -> str:
    """Predict all rows with each method; rows per second, and a bare loop's."""
    lines = [
        "| method | rows | bare, us a row | predict, us | ratio: median (range) |",
        "|---|---|---|---|---|",
    ]
    X = data_like(data)
    for method in METHODS:
        model = short(method, device, 1)
        seconds_to_fit(model, X[:1_000])
        rows = X.reshape(len(X), -1)

        def bare(model=model, rows=rows):
            scaling, kept, found = model._scaling, model._kept, []
            with torch.inference_mode():
                for part in chunks(rows, model._chunk):
                    x = scaling(scaling.centre(part).to(scaling.factor.device))
                    found.append(model._encode(x)[1].cpu()[:, kept].argmax(1))
            return torch.cat(found).numpy()

        def predict(model=model):
            return model.predict(X)

        assert np.mean(bare() == predict()) > 0.99
        cells = ratio_of(bare, predict, rounds, len(X) / 1e3)
        lines.append(f"| {method} | {len(X):,} | {cells}")
    return "\n".join(lines)
