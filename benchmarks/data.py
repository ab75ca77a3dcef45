"""Named data sets: scikit-learn's own, and those of the folder SKDEEPCLUSTER_DATA."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

VARIABLE = "SKDEEPCLUSTER_DATA"


class MissingData(Exception):
    """The data set is not on this machine."""


def _bundled(load: Callable):
    def read():
        data = load()
        return data.data, data.target

    return read


def _file(name: str, first: int | None = None, rows: bool = False):
    """Read ``<name>.npz``: the first so many samples, images as rows if asked."""

    def read():
        folder = os.environ.get(VARIABLE)
        path = Path(folder or ".") / f"{name}.npz"
        if folder is None or not path.exists():
            raise MissingData(
                f"needs {name}.npz: set {VARIABLE} to the folder that holds it."
            )
        with np.load(path) as data:
            X, y = data["X"][:first], data["y"][:first]
        return (X.reshape(len(X), -1) if rows else X), y

    return read


DATA: dict[str, Callable] = {
    "digits": _bundled(load_digits),
    "wine": _bundled(load_wine),
    "breast_cancer": _bundled(load_breast_cancer),
    "pendigits": _file("pendigits"),
    "usps_rows": _file("usps", rows=True),
    "cifar10_features": _file("cifar10_test_effnetlite0"),
    "searchsnippets": _file("text_searchsnippets_minilm"),
    "pbmc": _file("pbmc68k_reduced"),
    "usps": _file("usps"),
    "mnist10k": _file("mnist", first=10_000),
    "fashion10k": _file("fashion_mnist", first=10_000),
    "mnist": _file("mnist"),
    "fashion": _file("fashion_mnist"),
    "orl": _file("orl_112x92"),
}


def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return samples and labels; the labels are for scores only."""
    return DATA[name]()
