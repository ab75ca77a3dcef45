"""Command line: ``python -m benchmarks VERB``; ``--help`` lists the verbs."""

from __future__ import annotations

import argparse
import ast
import functools
import json
import sys
from importlib.util import find_spec
from pathlib import Path

from benchmarks import (
    engine,
    inference,
    memory,
    modes,
    packages,
    schedules,
    selection,
    speed,
    throughput,
)
from benchmarks.data import DATA, MissingData, load
from benchmarks.papers import TABLES, smoke
from benchmarks.run import NAMES, fit_one, in_own_process, takes_autoencoder
from benchmarks.table import read, table
from skdeepcluster.methods import METHODS

_RESULTS = Path(__file__).parent / "results" / "results.jsonl"

# Parts of `throughput`. Bare loops and other packages are for a processor and tables.
_PARTS = {
    "bare": lambda args: throughput.compare(),
    "modes": lambda args: modes.compare(args.data, args.device),
    "kernels": lambda args: modes.kernels(args.data, args.device),
    "side-by-side": lambda args: modes.side_by_side(args.data, args.device),
    "inference": lambda args: inference.compare(args.data, args.device),
    "packages": lambda args: packages.compare(),
}


def _setting(text: str):
    name, _, value = text.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--results", type=Path, default=_RESULTS)
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="fit methods on data sets, append the figures")
    run.add_argument("--methods", nargs="+", choices=NAMES, required=True)
    run.add_argument("--data", nargs="+", choices=DATA, required=True)
    run.add_argument("--curve", action="store_true", help="keep scores over steps")
    run.add_argument(
        "--missing", action="store_true", help="only fits that the results lack"
    )
    tables = "\n".join(
        f"  {name:22} {table.about}{' (needs hours)' * table.hours}"
        for name, table in TABLES.items()
    )
    papers = verbs.add_parser(
        "papers",
        help="run the papers' own experiments",
        epilog=f"tables:\n{tables}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    papers.add_argument("--table", nargs="+", choices=TABLES, required=True)
    papers.add_argument(
        "--setting", nargs="+", help="only settings of these names", metavar="NAME"
    )
    papers.add_argument(
        "--checkpoints",
        type=Path,
        metavar="FOLDER",
        help="save each fit there, and go on from what is there",
    )
    papers.add_argument(
        "--smoke",
        action="store_true",
        help="prove on few rows that each setting starts, stops and resumes",
    )
    papers.add_argument(
        "--results", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )
    run.add_argument(
        "--autoencoders",
        type=Path,
        metavar="FOLDER",
        help="keep the autoencoders of ae_kmeans there; dec, idec, dcn, vade and "
        "spectralnet begin with that of the same data and seed",
    )
    for fits in (run, papers):
        fits.add_argument("--seeds", type=int, default=3, help="seeds 0 .. SEEDS - 1")
        fits.add_argument(
            "--minutes", type=float, help="end each deep fit after so long"
        )
        fits.add_argument(
            "--set", nargs="*", type=_setting, default=[], metavar="NAME=VALUE"
        )
    choice = verbs.add_parser(
        "selection",
        help="how well criteria without labels choose among settings, or restarts",
    )
    choice.add_argument("--study", choices=selection.STUDIES, required=True)
    choice.add_argument(
        "--fits",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="make the fits that it lacks, then judge all that it holds; several "
        "processes may fill one folder",
    )
    choice.add_argument("--seeds", type=int, default=3)
    pretraining = verbs.add_parser(
        "schedules",
        help="k-means in an autoencoder's code, by optimizer, weights, scaling, length",
    )
    pretraining.add_argument("--data", choices=DATA, required=True)
    pretraining.add_argument("--setting", nargs="+", choices=schedules.SETTINGS)
    pretraining.add_argument("--seed", type=int, default=0)
    pretraining.add_argument("--minutes", type=float, default=20)
    pretraining.add_argument(
        "--set", nargs="*", type=_setting, default=[], metavar="NAME=VALUE"
    )
    verbs.add_parser("table", help="print medians and spreads")
    verbs.add_parser("engine", help="time the engine against a bare loop")
    pace = verbs.add_parser(
        "throughput",
        help="time each method's step and prediction beside bare loops, by mode, and "
        "beside other packages",
    )
    pace.add_argument("--parts", nargs="+", choices=_PARTS, default=list(_PARTS))
    pace.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    pace.add_argument("--data", default="table", choices=modes.SHAPES)
    verbs.add_parser("memory", help="peak memory of fit and predict")
    verbs.add_parser("speed", help="seconds of a default fit, by method and phase")
    return parser


def main() -> None:
    """Run what the command line says."""
    args = _parser().parse_args()
    if args.verb == "table":
        print(table(read(args.results)) if args.results.exists() else "no results yet")
    elif args.verb == "engine":
        print(engine.compare())
    elif args.verb == "throughput":
        for part in args.parts:
            print(f"## {part}\n\n{_PARTS[part](args)}\n", flush=True)
    elif args.verb == "memory":
        print(memory.report())
    elif args.verb == "speed":
        print(speed.report())
    elif args.verb == "selection":
        _selection(args)
    elif args.verb == "papers":
        _papers(args)
    elif args.verb == "schedules":
        _schedules(args)
    else:
        _run(args)


def _run(args) -> None:
    for data in args.data:
        if _missing(data):
            continue
        for method in args.methods:
            params = dict(args.set)
            if args.autoencoders and takes_autoencoder(method, data, params):
                params["pretrained"] = "ae_kmeans"
            for seed in range(args.seeds):
                job = (method, data, seed, params, args.minutes, args.curve)
                if args.missing and _key(*job) in _kept(args.results, args.curve):
                    continue
                row = in_own_process(fit_one, *job, None, args.autoencoders)
                _append(row, args.results)
                _show(f"{data:16} {method:14}", row)


def _key(method, data, seed, params, minutes, *_) -> tuple:
    """What tells fits apart, as the results file holds it; see `fit_one`."""
    if method not in METHODS:  # whose parameters are fixed
        params, minutes = {}, None
    return method, data, seed, json.dumps(params, sort_keys=True), minutes


def _kept(path, curve) -> list[tuple]:
    """Fits that are in the results file already, with a curve if asked."""
    names = ("method", "data", "seed", "params", "minutes")
    return [
        _key(*(row[name] for name in names))
        for row in (read(path) if path.exists() else [])
        if "table" not in row and not (curve and "curve" not in row)
    ]


def _papers(args) -> None:
    for name in args.table:
        for setting in TABLES[name].settings:
            if args.setting and setting.name not in args.setting:
                continue
            title = f"{name}, {setting.name}"
            if _missing(setting.data):
                continue
            if args.smoke:
                row = in_own_process(smoke, name, setting)
                _append(row, args.results)
                print(f"{title}: steps {row['steps']}, difference {row['difference']}")
            else:
                _fits(title, name, setting, args)


def _fits(title, name, setting, args) -> None:
    """Fit one setting with each seed."""
    params = {**setting.params, **dict(args.set)}
    for seed in range(args.seeds):
        checkpoint = None
        if args.checkpoints:
            args.checkpoints.mkdir(parents=True, exist_ok=True)
            checkpoint = args.checkpoints / f"{name}-{setting.slug}-{seed}.ckpt"
        job = (setting.method, setting.data, seed, params, args.minutes)
        curve = find_spec("sklearn.callback") is not None
        row = in_own_process(fit_one, *job, curve, checkpoint)
        row |= {"table": name, "setting": setting.name, "published": setting.published}
        _append(row, args.results)
        _show(title, row)


def _selection(args) -> None:
    """Fit and judge; the judged fits of a study replace those of before."""
    selection.keep(args.fits, args.study, args.seeds)
    rows = selection.judge(args.fits, args.study)
    path = args.results.with_name("selection.jsonl")
    before = read(path) if path.exists() else []
    path.unlink(missing_ok=True)
    for row in [*(row for row in before if row["study"] != args.study), *rows]:
        _append(row, path)
    print(selection.STUDIES[args.study](rows))


def _schedules(args) -> None:
    """Follow autoencoders, one after the other; append their curves."""
    path = args.results.with_name("schedules.jsonl")
    for setting in args.setting or schedules.SETTINGS:
        job = functools.partial(schedules.follow, **dict(args.set))
        row = in_own_process(job, setting, args.data, args.seed, args.minutes)
        _append(row, path)
        for point in row["curve"]:
            print(
                f"{args.data:16} {setting:16} step {point['step']:7,}  "
                f"loss {point['loss']:.4f}  ACC {point['acc']:.3f}  "
                f"NMI {point['nmi']:.3f}",
                flush=True,
            )


def _missing(data) -> bool:
    """Say so, if a data set is not there."""
    try:
        load(data)
    except MissingData as error:
        print(f"{data}: skipped, {error}", file=sys.stderr)
        return True
    return False


def _append(row, path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as out:
        out.write(json.dumps(row) + "\n")


def _show(title, row) -> None:
    scores = "  ".join(f"{k} {row[k.lower()]:.3f}" for k in ("ACC", "NMI", "ARI"))
    published = row.get("published") or {}
    paper = ", ".join(f"{k.upper()} {v:.3f}" for k, v in published.items())
    print(
        f"{title} seed {row['seed']}  {scores}  {row['seconds']:.0f} s"
        + (f"  (paper: {paper})" if paper else ""),
        flush=True,
    )


if __name__ == "__main__":
    main()
