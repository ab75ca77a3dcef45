"""Fit one estimator on one data set with one seed, in a process of its own."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import threading
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path

import joblib
import numpy as np
import torch
from sklearn.cluster import KMeans, SpectralClustering
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.data import load, load_held_out
from skdeepcluster.engine import ResumableCheckpoint, TimeLimit
from skdeepcluster.methods import METHODS
from skdeepcluster.metrics import external_scores, internal_scores


def _classic(make):
    return lambda k, seed: make_pipeline(StandardScaler(), make(k, seed))


CLASSIC = {
    "kmeans": lambda k, seed: KMeans(k, n_init=10, random_state=seed),
    "kmeans_scaled": _classic(lambda k, s: KMeans(k, n_init=10, random_state=s)),
    "gmm": _classic(lambda k, s: GaussianMixture(k, reg_covar=1e-3, random_state=s)),
    "spectral": _classic(
        lambda k, s: SpectralClustering(
            k, affinity="nearest_neighbors", n_neighbors=10, random_state=s
        )
    ),
}
NAMES = [*METHODS, *CLASSIC]

_TAKERS = ("dec", "idec", "dcn", "vade")


def takes_autoencoder(method, data, params) -> bool:
    """Whether it can go on from one of `ae_kmeans`, see `fit_one`."""
    if method == "spectralnet":  # where it reads a code
        return params.get("affinity") == "code" or load(data)[0].ndim > 2
    return method in _TAKERS


def scores_of(X, y, labels) -> dict[str, float]:
    """External and internal scores, named as in the results file."""
    scores = {**external_scores(y, labels), **internal_scores(X, labels)}
    return {name.lower().replace("-", "_"): value for name, value in scores.items()}


class Curve:
    """Scikit-learn callback: scores at ever longer intervals of training.

    The labels are written down beside the steps; nothing else sees them.
    """

    def __init__(self, X, y, first=100, ratio=1.3):
        self.X, self.y, self.next, self.ratio = X, y, first, ratio
        self.points = []

    def setup(self, estimator, context):
        """Start the clock."""
        self.started = time.perf_counter()

    def teardown(self, estimator, context):
        """Nothing to close."""

    def on_fit_task_begin(self, estimator, context):
        """Nothing to do."""

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        """Score if it is time to."""
        if fitted_estimator is None:
            return
        history = fitted_estimator.history_
        step = int(history["step"][-1])
        if step < self.next:
            return
        self.next = step * self.ratio
        scores = external_scores(self.y, fitted_estimator.predict(self.X))
        self.points.append(
            {
                "step": step,
                "seconds": time.perf_counter() - self.started,
                **_losses(history),
                **{k.lower(): v for k, v in scores.items()},
            }
        )


def _losses(history) -> dict[str, float]:
    """Whatever quantities the last epoch has; not its seconds."""
    return {
        name: float(values[-1])
        for name, values in history.items()
        if values.dtype.kind == "f" and name != "dur" and not np.isnan(values[-1])
    }


def hardware() -> dict:
    """Processor, threads, accelerator and versions."""
    packages = ("skdeepcluster", "torch", "scikit-learn", "skorch", "numpy")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "gpu": gpu,
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }


def fit_one(
    method,
    data,
    seed,
    params,
    minutes=None,
    curve=False,
    checkpoint=None,
    autoencoders=None,
) -> dict:
    """Fit and score; one row of the results file.

    A deep fit goes on from the file `checkpoint`, if it is there, and saves to it. A
    fit of ``ae_kmeans`` is kept in the folder `autoencoders`, by data and seed, whence
    one with ``params["pretrained"]`` takes it in place of its own pretraining.
    """
    X, y = load(data)
    kept = Path(autoencoders or ".") / f"{data}-{seed}.joblib"
    taken = {"pretrained": joblib.load(kept)} if "pretrained" in params else {}
    k = len(np.unique(y))
    follow = Curve(X, y) if curve else None
    if method in METHODS:
        own = {name: value for name, value in params.items() if name not in taken}
        model = METHODS[method](k, random_state=seed, **own)
        callbacks = [TimeLimit(60 * minutes)] if minutes else []
        if checkpoint:
            callbacks.append(ResumableCheckpoint(checkpoint))
        model.set_params(callbacks=callbacks)
        if follow:
            model.set_callbacks(follow)
        fitted_on = X
    else:
        model, params, minutes = CLASSIC[method](k, seed), {}, None
        fitted_on = X.reshape(len(X), -1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        labels = model.fit_predict(fitted_on, **taken)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    row = {
        "method": method,
        "data": data,
        "seed": seed,
        "params": params,
        "minutes": minutes,
        "n_samples": len(X),
        "n_clusters": k,
        "n_clusters_found": len(np.unique(labels)),
        **scores_of(fitted_on.reshape(len(X), -1), y, labels),
        "seconds": seconds,
        "peak_mb": (peak - before) / 1024,
        "steps": getattr(model, "n_iter_", None) if method in METHODS else None,
        "warnings": sorted({str(w.message)[:200] for w in caught}),
        **hardware(),
    }
    if method in METHODS:
        row["score"] = model.score(X)
        row["stopped"] = {
            k: float(v[-1]) for k, v in model.history_.items() if v.dtype.kind == "f"
        }
        # With those of the fits that it went on from.
        row["training_seconds"] = float(model.history_["dur"].sum())
        held_out = load_held_out(data)
        if held_out:
            scores = external_scores(held_out[1], model.predict(held_out[0]))
            row["held_out"] = {k.lower(): v for k, v in scores.items()}
    if follow:
        row["curve"] = follow.points
    if autoencoders and method == "ae_kmeans":
        kept.parent.mkdir(parents=True, exist_ok=True)
        joblib.dump(model, kept)
    return {k: float(v) if isinstance(v, np.floating) else v for k, v in row.items()}


def _end_with_parent():
    """End this process as soon as the one that started it is gone."""

    def watch():
        wait([parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def in_own_process(call, *args):
    """Call in a fresh process, so that its peak memory is its own."""
    context = get_context("spawn")
    with ProcessPoolExecutor(1, context, _end_with_parent) as pool:
        return pool.submit(call, *args).result()
