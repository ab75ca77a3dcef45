"""Command line: ``python -m benchmarks VERB``; ``--help`` lists the verbs."""

from __future__ import annotations

import argparse
import ast
import json
import sys
from pathlib import Path

from benchmarks import engine, memory
from benchmarks.data import DATA, MissingData, load
from benchmarks.run import METHODS, fit_one, in_own_process
from benchmarks.table import read, table

_RESULTS = Path(__file__).parent / "results" / "results.jsonl"


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
    run.add_argument("--methods", nargs="+", choices=METHODS, required=True)
    run.add_argument("--data", nargs="+", choices=DATA, required=True)
    run.add_argument("--seeds", type=int, default=3, help="seeds 0 .. SEEDS - 1")
    run.add_argument("--minutes", type=float, help="end each deep fit after so long")
    run.add_argument("--curve", action="store_true", help="keep scores over steps")
    run.add_argument(
        "--set", nargs="*", type=_setting, default=[], metavar="NAME=VALUE"
    )
    verbs.add_parser("table", help="print medians and spreads")
    verbs.add_parser("engine", help="time the engine against a bare loop")
    verbs.add_parser("memory", help="peak memory of fit and predict")
    return parser


def main() -> None:
    """Run what the command line says."""
    args = _parser().parse_args()
    if args.verb == "table":
        print(table(read(args.results)) if args.results.exists() else "no results yet")
    elif args.verb == "engine":
        print(engine.compare())
    elif args.verb == "memory":
        print(memory.report())
    else:
        _run(args)


def _run(args) -> None:
    args.results.parent.mkdir(parents=True, exist_ok=True)
    for data in args.data:
        try:
            load(data)
        except MissingData as error:
            print(f"{data}: skipped, {error}", file=sys.stderr)
            continue
        for method in args.methods:
            for seed in range(args.seeds):
                job = (method, data, seed, dict(args.set), args.minutes, args.curve)
                row = in_own_process(fit_one, *job)
                with args.results.open("a") as out:
                    out.write(json.dumps(row) + "\n")
                print(
                    f"{data:16} {method:14} seed {seed}  ACC {row['acc']:.3f}  "
                    f"NMI {row['nmi']:.3f}  ARI {row['ari']:.3f}  "
                    f"{row['seconds']:.0f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
