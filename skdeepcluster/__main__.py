"""Cluster a file from the command line: ``python -m skdeepcluster [FILE]``."""

from __future__ import annotations

import argparse
import csv
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from skorch.callbacks import Callback

from skdeepcluster.datasets import load_file
from skdeepcluster.methods import METHODS
from skdeepcluster.metrics import external_scores, internal_scores


class _Progress(Callback):
    """Write how far the training is, at most twice a second on a terminal."""

    def __init__(self, out):
        self.out = out

    def on_train_begin(self, net, **kwargs):
        self.started_ = self.shown_ = time.perf_counter()

    def on_epoch_end(self, net, **kwargs):
        now = time.perf_counter()
        live = self.out.isatty()
        if now - self.shown_ < (0.5 if live else 10):
            return
        self.shown_ = now
        done = max(float(net.progress), 1e-9)
        left = (now - self.started_) * (1 / done - 1)
        line = f"{net.phase}: {done:4.0%}, loss {net.history[-1, 'loss']:8.3f}"
        line += f", at most {left:.0f} s left"
        self.out.write(f"\r{line:60}" if live else f"{line}\n")
        self.out.flush()

    def on_train_end(self, net, **kwargs):
        if self.out.isatty():
            self.out.write("\r" + 60 * " " + "\r")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m skdeepcluster",
        description="Cluster a table, an array or a folder of images with a deep "
        "method, beside KMeans; write labels, probabilities and a picture.",
    )
    parser.add_argument(
        "file",
        nargs="?",
        help=".csv, .parquet, .npy, .npz or a folder of images; without it, the "
        "digits that ship inside scikit-learn (labels: target)",
    )
    parser.add_argument(
        "--method", default="dccs", help=f"one of: {', '.join(METHODS)}"
    )
    parser.add_argument(
        "--n-clusters",
        type=number_or_auto,
        metavar="K",
        default=10,
        help="default: 10; 'auto' of ae_kmeans, dcn, dec, depict, idec and vade",
    )
    parser.add_argument("--out", type=Path, default=Path("labels.csv"))
    parser.add_argument(
        "--labels",
        help="known labels, only to report ACC, NMI and ARI: a column, an array of the "
        ".npz, a file with one per row, or 'folders' (images)",
    )
    parser.add_argument(
        "--max-epochs", type=int, help="of each phase; default: the method's budget"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def number_or_auto(given: str) -> int | str:
    """Read a number of clusters; argparse tells this name where there is none."""
    return given if given == "auto" else int(given)


def _read(args):
    """Return samples, labels, the rows' names, and the shape to draw rows in."""
    if args.file is not None:
        data = load_file(args.file, args.labels)
        return data.X, data.y, data.names, None
    from sklearn.datasets import load_digits

    digits = load_digits()
    if args.labels not in (None, "target"):
        raise ValueError(f"labels {args.labels!r}: those of the digits are 'target'.")
    return digits.data, digits.target if args.labels else None, None, (8, 8)


def _check_out(args) -> None:
    """Refuse, before any work, an output that cannot be or would overwrite an input."""
    out = args.out
    if not out.parent.is_dir():
        raise ValueError(f"{out.parent}: no such folder to write to.")
    if out.is_dir() or out.suffix == ".png":
        raise ValueError(f"{out}: name a file for the labels, such as labels.csv.")
    if args.file is not None and out.parent.resolve() == Path(args.file).resolve():
        raise ValueError(f"{out}: would lie among the images; name another --out.")
    for given in (args.file, args.labels):
        if given is not None and Path(given).resolve() == out.resolve():
            raise ValueError(f"{out}: would overwrite an input; name another --out.")


def _rows(X) -> np.ndarray:
    return np.asarray(X, dtype=np.float32).reshape(len(X), -1)


def _scores(X, y, labels) -> dict[str, float]:
    known = {} if y is None else external_scores(y, labels)
    return {**internal_scores(X, labels), **known}


def _write(path: Path, model, X, names) -> None:
    proba = model.predict_proba(X)
    names = names if names is not None else range(len(proba))
    with path.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["row", "label", *(f"p{c}" for c in range(model.n_clusters_))])
        for name, label, p in zip(names, model.labels_, proba, strict=True):
            rows.writerow([name, label, *(f"{value:.6f}" for value in p)])


def _report(name, model, kmeans, X, y) -> None:
    ours, theirs = _scores(X, y, model.labels_), _scores(X, y, kmeans.labels_)
    print(f"{'':16}{name:>10}{'KMeans':>10}")
    for row, value in ours.items():
        print(f"{row:16}{value:10.3f}{theirs[row]:10.3f}")
    for who, labels in ((name, model.labels_), ("KMeans", kmeans.labels_)):
        print(f"sizes, {who}: {' '.join(map(str, np.bincount(labels)))}")


def _draw(path: Path, model, X, shape) -> None:
    try:
        from skdeepcluster.plotting import plot_clusters

        plot_clusters(model, X, image_shape=shape).savefig(path, dpi=110)
    except ImportError:
        print("no picture: pip install 'skdeepcluster[plot]'", file=sys.stderr)
    else:
        print(f"wrote {path}: the embedding and typical members")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    from sklearn.cluster import KMeans

    args = _parser().parse_args(argv)
    try:
        if args.method not in METHODS:
            raise ValueError(
                f"method {args.method!r} is unknown; use one of: {', '.join(METHODS)}."
            )
        _check_out(args)
        X, y, names, shape = _read(args)
        model = METHODS[args.method](
            args.n_clusters,
            device=args.device,
            random_state=args.seed,
            callbacks=[_Progress(sys.stderr)],
        )
        if args.max_epochs is not None:
            phases = [p for p in model.get_params() if p.endswith("max_epochs")]
            model.set_params(**dict.fromkeys(phases, args.max_epochs))
        name = type(model).__name__
        print(f"{name}, {args.n_clusters} clusters of {len(X)} rows", flush=True)
        started = time.perf_counter()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(X)
        print(f"{model.n_iter_} iterations, {time.perf_counter() - started:.0f} s")
        for warning in caught:
            print(f"note: {warning.message}", file=sys.stderr)
        _write(args.out, model, X, names)
        print(f"wrote {args.out}: labels and {model.n_clusters_} probabilities per row")
        k = model.n_clusters_ if args.n_clusters == "auto" else args.n_clusters
        kmeans = KMeans(k, n_init=10, random_state=args.seed)
        rows = _rows(X)
        _report(name, model, kmeans.fit(rows), rows, y)
        _draw(args.out.with_suffix(".png"), model, X, shape)
    except (ValueError, TypeError, OSError, ImportError) as error:
        reason = str(error) or type(error).__name__
        print(f"error: {reason.splitlines()[0]}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
