"""Named data sets: scikit-learn's own, and those of the folder SKDEEPCLUSTER_DATA."""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

from skdeepcluster.datasets import (
    make_arcs,
    make_ring_of_gaussians,
    mark_first_pixel,
    retention_rates,
    take_per_class,
)

VARIABLE = "SKDEEPCLUSTER_DATA"

_ALL = slice(None)
# Of MNIST and Fashion-MNIST.
_TRAIN, _TEST = slice(60_000), slice(60_000, None)


class MissingData(Exception):
    """The data set is not on this machine."""


def _bundled(load: Callable):
    def read():
        data = load()
        return data.data, data.target

    return read


def _path(name: str) -> Path:
    folder = os.environ.get(VARIABLE)
    path = Path(folder or ".") / f"{name}.npz"
    if folder is None or not path.exists():
        raise MissingData(
            f"needs {name}.npz: set {VARIABLE} to the folder that holds it."
        )
    return path


def _file(name: str, rows: slice = _ALL, flat: bool = False):
    """Read these samples of ``<name>.npz``, images as rows of a table if asked."""

    def read():
        with np.load(_path(name)) as data:
            X, y = data["X"][rows], data["y"][rows]
        if X.dtype == np.float16:  # embeddings; a scaler's sums would overflow
            X = X.astype(np.float32)
        return (X.reshape(len(X), -1) if flat else X), y

    return read


def _jpegs(name: str, rows: slice = _ALL):
    """Decode these images of ``<name>.npz``, which holds one JPEG after the other."""

    def read():
        with np.load(_path(name)) as data:
            jpeg, offsets, y = data["jpeg"], data["offsets"], data["y"]
        which = range(len(y))[rows]
        parts = [jpeg[offsets[i] : offsets[i + 1]].tobytes() for i in which]
        images = [np.asarray(Image.open(io.BytesIO(part))) for part in parts]
        return np.stack(images), y[rows]

    return read


def _resized(read: Callable, shape: tuple[int, int]):
    """Grey images of another height and width."""

    def smaller():
        X, y = read()
        images = (Image.fromarray(x).resize(shape[::-1]) for x in X)
        return np.stack([np.asarray(image) for image in images]), y

    return smaller


def _imbalanced(read: Callable, sizes: Callable):
    """Take these sizes of the classes; always the same rows."""

    def reduced():
        X, y = read()
        rows = take_per_class(y, sizes(y), random_state=0)
        return X[rows], y[rows]

    return reduced


def _few(read: Callable, n: int):
    """Take `n` rows at random; always the same."""

    def fewer():
        X, y = read()
        rows = np.random.default_rng(0).permutation(len(X))[:n]
        return X[rows], y[rows]

    return fewer


def _hundreds(cap: int):
    """Sizes of the variants of USPS (UDC): whole hundreds, at most `cap`."""
    return lambda y: {k: min(cap, n // 100 * 100) for k, n in enumerate(np.bincount(y))}


def _marked(read: Callable, seed: int):
    """Artifact-MNIST (UDC): the classes are the values of the first pixel."""
    return lambda: mark_first_pixel(read()[0], random_state=seed)


_MNIST, _MNIST_TEST = _file("mnist", _TRAIN), _file("mnist", _TEST)

DATA: dict[str, Callable] = {
    "digits": _bundled(load_digits),
    "wine": _bundled(load_wine),
    "breast_cancer": _bundled(load_breast_cancer),
    "gaussians": lambda: make_ring_of_gaussians(100_000, random_state=0),
    "arcs": lambda: make_arcs(random_state=0),
    "pendigits": _file("pendigits"),
    "usps_rows": _file("usps", flat=True),
    "cifar10_features": _file("cifar10_test_effnetlite0"),
    "searchsnippets": _file("text_searchsnippets_minilm"),
    "pbmc": _file("pbmc68k_reduced"),
    "usps": _file("usps"),
    "mnist10k": _file("mnist", slice(10_000)),
    "mnist10k_rows": _file("mnist", slice(10_000), flat=True),
    "fashion10k": _file("fashion_mnist", slice(10_000)),
    "fashion10k_rows": _file("fashion_mnist", slice(10_000), flat=True),
    "mnist": _file("mnist"),
    "fashion": _file("fashion_mnist"),
    "cifar10": _jpegs("cifar10_jpeg"),
    "orl": _resized(_file("orl_112x92"), (32, 32)),
    # Training splits, with the test split held out for scores.
    "mnist_train": _MNIST,
    "fashion_train": _file("fashion_mnist", _TRAIN),
    "cifar10_train": _jpegs("cifar10_jpeg", slice(50_000)),
    "mnist_artifact": _marked(_MNIST, seed=0),
    "mnist_one_class_less": _imbalanced(_MNIST, lambda y: {0: 0.1}),
    "mnist_three_classes_less": _imbalanced(_MNIST, lambda y: {1: 0.1, 3: 0.3, 5: 0.5}),
}
DATA |= {
    f"usps{cap}": _imbalanced(DATA["usps"], _hundreds(cap))
    for cap in (1500, 1200, 900, 800, 700)
}
DATA |= {
    f"{name}_{n}": _few(DATA[name], n)
    for name, n in [
        ("pendigits", 2_000),
        ("pendigits", 3_000),
        ("usps_rows", 3_000),
        ("searchsnippets", 3_000),
        ("cifar10_features", 3_000),
    ]
}
RETENTION = (0.1, 0.3, 0.5, 0.7, 0.9)
DATA |= {
    f"mnist_r{r_min}": _imbalanced(
        _MNIST, functools.partial(retention_rates, r_min=r_min)
    )
    for r_min in RETENTION
}

HELD_OUT: dict[str, Callable] = {
    "mnist_train": _MNIST_TEST,
    "fashion_train": _file("fashion_mnist", _TEST),
    "cifar10_train": _jpegs("cifar10_jpeg", slice(50_000, None)),
    "mnist_artifact": _marked(_MNIST_TEST, seed=1),
    "mnist_one_class_less": _MNIST_TEST,
    "mnist_three_classes_less": _MNIST_TEST,
}


def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return samples and labels; the labels are for scores only."""
    return DATA[name]()


def load_held_out(name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return samples and labels that were kept for scores, if there are any."""
    return HELD_OUT[name]() if name in HELD_OUT else None
