"""Fits to choose among without labels, and how well each criterion chooses.

``fits`` trains and keeps what each fit predicts; ``judge`` scores what was kept.
"""

from __future__ import annotations

import itertools
import json
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import adjusted_rand_score
from sklearn.utils import check_random_state
from sklearn.utils.parallel import Parallel, delayed

from benchmarks.data import load
from benchmarks.run import hardware
from skdeepcluster.consensus import consensus, most_agreed
from skdeepcluster.methods import METHODS
from skdeepcluster.metrics import (
    InternalScorer,
    StabilityScorer,
    ace_scores,
    clustering_accuracy,
    external_scores,
    get_scorer,
    information_scorer,
)

# Settings to choose among: six per method, such as a person would try.
GRIDS = {
    "imsat": {"learning_rate": [2e-4, 2e-3], "vat_radius": [0.05, 0.25, 1.0]},
    "idec": {"n_latent": [2, 5, 10], "gamma": [0.1, 10.0]},
    "vade": {"n_latent": [2, 5, 10], "hidden_layer_sizes": [(64,), (256, 256)]},
}
# Steps of the phases of these: the study needs differences, not the best.
_STEPS = {
    "imsat": {"max_epochs": 800},
    "idec": {"pretrain_max_epochs": 500, "max_epochs": 400},
    "vade": {"pretrain_max_epochs": 500, "max_epochs": 600},
}
SETTINGS_DATA = ["digits", "wine", "breast_cancer", "pbmc", "pendigits_3000"]
SETTINGS_DATA += ["usps_rows_3000", "searchsnippets_3000", "cifar10_features_3000"]

RESTARTS = ["simi_clustergan", "udc", "dccs"]
RESTARTS_DATA = ["digits", "pendigits_2000"]
N_INIT = 5


def settings(method: str, n_samples: int) -> Iterator[tuple[str, dict]]:
    """Settings of a method, each with a name."""
    grid, batch = GRIDS[method], 128
    per_epoch = max(1, n_samples // batch)
    fixed = {k: -(-steps // per_epoch) for k, steps in _STEPS[method].items()}
    fixed["batch_size"] = min(batch, n_samples)
    if method == "idec":
        fixed["hidden_layer_sizes"] = (256, 256)
    for values in itertools.product(*grid.values()):
        own = dict(zip(grid, values, strict=True))
        yield json.dumps(own), fixed | own


def seeds_of(method: str, outer: int) -> list[int]:
    """Seeds of the fits that ``n_init=5, random_state=outer`` makes."""
    first = METHODS[method](2, random_state=outer)._seed()
    return check_random_state(first).randint(2**31 - 1, size=N_INIT).tolist()


def fits_to_make(study: str, seeds: int) -> Iterator[tuple[str, str, str, dict, int]]:
    """Data, method, setting, parameters and seed of each fit of a study."""
    if study == "settings":
        for seed, data in itertools.product(range(seeds), SETTINGS_DATA):
            n = len(load(data)[0])
            for method in GRIDS:
                for name, params in settings(method, n):
                    yield data, method, name, params, seed
    else:
        for outer, data in itertools.product(range(seeds), RESTARTS_DATA):
            for method in RESTARTS:
                for i, seed in enumerate(seeds_of(method, outer)):
                    yield data, method, f"{outer}-{i}", {}, seed


def fit(study: str, data: str, method: str, setting: str, params: dict, seed: int):
    """Fit, and return what the fit predicts and what it costs."""
    X, y = load(data)
    k = len(np.unique(y))
    model = METHODS[method](k, random_state=seed, **params)
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X)
        seconds = time.perf_counter() - started
        row = {
            "study": study,
            "data": data,
            "method": method,
            "setting": setting,
            "seed": seed,
            "n_clusters_found": model.n_clusters_,
            **{k.lower(): v for k, v in external_scores(y, model.labels_).items()},
            "own": float(model.score(X)),
            "init_score": float(model._own_criterion(X)),
            "seconds": seconds,
            "steps": int(model.n_iter_),
            **hardware(),
        }
        if study == "settings" and seed == 0:
            row["stability"] = StabilityScorer(n_repeats=2)(model, X)
            strength = StabilityScorer("prediction_strength", n_repeats=1)
            row["prediction_strength"] = strength(model, X)
    return row, {
        "labels": model.labels_,
        "proba": model.predict_proba(X),
        "embedding": model.transform(X),
    }


def keep(folder: Path, study: str, seeds: int) -> None:
    """Make the fits of a study that the folder does not hold yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for data, method, setting, params, seed in fits_to_make(study, seeds):
        name = f"{study}-{data}-{method}-{setting}-{seed}"
        path = folder / ("".join(c if c.isalnum() or c in "-." else "_" for c in name))
        path = path.with_name(path.name + ".npz")
        claim = path.with_suffix(".claim")
        try:
            claim.touch(exist_ok=False)  # another process may work beside this one
        except FileExistsError:
            continue
        try:
            row, arrays = fit(study, data, method, setting, params, seed)
            np.savez_compressed(path, row=json.dumps(row), **arrays)
        except BaseException:  # to be made by the next that asks for it
            path.unlink(missing_ok=True)
            claim.unlink()
            raise
        print(
            f"{name}: ACC {row['acc']:.3f}, {row['seconds']:.0f} s",
            flush=True,
        )


# -- what was kept, judged ------------------------------------------------------------

_ROWS = 2_000  # that are looked at


class Kept:
    """A fit as it was kept: what it predicts for the rows that are looked at."""

    def __init__(self, arrays, rows):
        self.row = json.loads(str(arrays["row"]))
        self.all_labels, self.all_proba = arrays["labels"], arrays["proba"]
        self.labels, self.proba = self.all_labels[rows], self.all_proba[rows]
        self.embedding = arrays["embedding"][rows]

    def predict(self, X):
        """Labels of all rows."""
        return self.labels

    def predict_proba(self, X):
        """Probabilities of all rows."""
        return self.proba

    def transform(self, X):
        """Embeddings of all rows."""
        return self.embedding


_CRITERIA = {
    "silhouette, embedding": InternalScorer("silhouette", "embedding"),
    "Calinski-Harabasz, embedding": InternalScorer("calinski_harabasz", "embedding"),
    "Davies-Bouldin, embedding": InternalScorer("davies_bouldin", "embedding"),
    "silhouette, input": InternalScorer("silhouette", "input"),
    "silhouette": get_scorer("silhouette"),
    "calinski_harabasz": get_scorer("calinski_harabasz"),
    "davies_bouldin": get_scorer("davies_bouldin"),
    "spectral_silhouette": get_scorer("spectral_silhouette"),
    "modularity": get_scorer("modularity"),
    "ace": get_scorer("ace"),
    "information": information_scorer,
}


def judge(folder: Path, study: str) -> list[dict]:
    """Score every fit of a study by every criterion; one row per fit."""
    groups: dict[tuple, list[Path]] = {}
    for path in sorted(folder.glob(f"{study}-*.npz")):
        with np.load(path) as arrays:
            row = json.loads(str(arrays["row"]))
        if study == "settings":
            key = row["data"], row["seed"]
        else:
            key = row["data"], row["method"], row["setting"].split("-")[0]
        groups.setdefault(key, []).append(path)
    judged = Parallel(-1)(delayed(_judged)(paths, study) for paths in groups.values())
    return [row for rows in judged for row in rows]


def _judged(paths: list[Path], study: str) -> list[dict]:
    with np.load(paths[0]) as arrays:
        data = json.loads(str(arrays["row"]))["data"]
    X, y = load(data)
    rows = np.random.default_rng(0).permutation(len(X))[:_ROWS]
    X = X[rows]
    fits = []
    for path in paths:
        with np.load(path) as arrays:
            fits.append(Kept(arrays, rows))
    embeddings = ace_scores([f.labels for f in fits], [f.embedding for f in fits])
    agreement = [
        np.mean([adjusted_rand_score(f.labels, g.labels) for g in fits if g is not f])
        for f in fits
    ]
    judged = []
    for i, f in enumerate(fits):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores = {name: float(one(f, X)) for name, one in _CRITERIA.items()}
        scores["own"] = f.row["init_score" if study == "restarts" else "own"]
        scores["ace_scores, all embeddings"] = float(embeddings[i])
        scores["agreement with the others"] = float(agreement[i])
        for name in ("stability", "prediction_strength"):  # of refits
            if name in f.row:
                scores[name] = f.row[name]
        judged.append({**f.row, "criteria": scores})
    if study == "restarts":
        first = most_agreed([f.all_labels for f in fits])
        k = len(np.unique(y))
        full = [_full(f, k) for f in fits]
        mean, orders = consensus(full, first)
        soft = sum(p[:, order] for p, order in zip(full, orders, strict=True))
        for row in judged:
            row["consensus_acc"] = clustering_accuracy(y, mean.argmax(1))
            row["mean_acc"] = clustering_accuracy(y, soft.argmax(1))
    return judged


def _full(f: Kept, k: int) -> np.ndarray:
    """Probabilities with as many columns as clusters were asked for."""
    return np.pad(f.all_proba, ((0, 0), (0, k - f.all_proba.shape[1])))


def settings_table(rows: list[dict]) -> str:
    """How well each criterion ranks the settings, and what its choice costs.

    Over all settings of all methods, and within each method; medians over data sets
    and seeds.
    """
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault((row["data"], row["seed"]), []).append(row)
    lines = {}
    for name in dict.fromkeys(n for row in rows for n in row["criteria"]):
        have = [g for g in groups.values() if all(name in r["criteria"] for r in g)]
        whole = np.array([_ranked(g, name) for g in have])
        within = np.array(
            [
                _ranked([r for r in g if r["method"] == method], name)
                for g in have
                for method in GRIDS
            ]
        )
        a, b = np.median(whole, 0), np.nanmedian(within, 0)
        lines[name] = (
            a[0],
            (
                f"| {name} | {len(have)} | {a[0]:.2f} ({whole[:, 0].min():.2f}) | "
                f"{100 * a[1]:.1f} ({100 * whole[:, 1].max():.1f}) | {b[0]:.2f} | "
                f"{100 * b[1]:.1f} |"
            ),
        )
    head = [
        "| criterion | data x seeds | rank correlation, all (least) | "
        "regret, all (most) | rank correlation, one method | regret, one method |",
        "|---|---|---|---|---|---|",
    ]
    best_first = sorted(lines.values(), key=lambda pair: -pair[0])
    return "\n".join([*head, *(text for _, text in best_first)])


def _ranked(rows: list[dict], name: str) -> tuple[float, float]:
    """Spearman's correlation of a criterion with ACC, and the regret of its choice."""
    acc = np.array([row["acc"] for row in rows])
    score = np.array([row["criteria"][name] for row in rows])
    varies = np.ptp(acc) > 0 and np.ptp(score) > 0
    rho = spearmanr(score, acc)[0] if varies else np.nan
    return rho, acc.max() - acc[score.argmax()]


def restarts_table(rows: list[dict]) -> str:
    """Accuracy of single fits, of the best one by each criterion, and of consensus."""
    groups: dict[tuple, dict[str, list[dict]]] = {}
    for row in rows:
        outer = row["setting"].split("-")[0]
        of_data = groups.setdefault((row["data"], row["method"]), {})
        of_data.setdefault(outer, []).append(row)
    names = list(rows[0]["criteria"])
    lines = [
        f"| criterion | {' | '.join(f'{m}, {d}' for d, m in groups)} |",
        "|---|" + "---|" * len(groups),
    ]
    cells = {"single fits": [], "consensus": [], "mean of probabilities": []}
    cells |= {f"best by {name}": [] for name in names}
    for outers in groups.values():
        single = [row["acc"] for five in outers.values() for row in five]
        cells["single fits"].append(single)
        first = [five[0] for five in outers.values()]
        cells["consensus"].append([row["consensus_acc"] for row in first])
        cells["mean of probabilities"].append([row["mean_acc"] for row in first])
        for name in names:
            best = [
                max(five, key=lambda r: r["criteria"][name]) for five in outers.values()
            ]
            cells[f"best by {name}"].append([row["acc"] for row in best])
    for name, values in cells.items():
        texts = [f"{np.median(v):.3f} ({min(v):.3f})" for v in values]
        lines.append(f"| {name} | {' | '.join(texts)} |")
    return "\n".join(lines)


STUDIES = {"settings": settings_table, "restarts": restarts_table}
