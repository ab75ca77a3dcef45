"""Medians and spreads of the results file."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import numpy as np

_COLUMNS = ("acc", "nmi", "ari", "silhouette", "score")


def read(path: Path) -> list[dict]:
    """Return the rows of a results file."""
    with path.open() as lines:
        return [json.loads(line) for line in lines]


def table(rows: list[dict]) -> str:
    """One line per data set, method and setting: median, and least to greatest."""
    groups = defaultdict(list)
    for row in rows:
        if row.get("smoke"):  # that a run stops and resumes; no scores
            continue
        given = ", ".join(f"{k}={v}" for k, v in sorted(row["params"].items()))
        setting = row.get("setting", given)
        if row["minutes"]:
            setting = ", ".join(filter(None, [setting, f"{row['minutes']:g} min"]))
        groups[row["data"], row["method"], setting, row.get("table", "")].append(row)
    out = [
        "| data | method | setting | seeds | ACC | NMI | ARI | silhouette | score "
        "| steps | seconds | peak MB |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (data, method, setting, _), group in sorted(groups.items()):
        cells = [data, method, setting, str(len(group))]
        cells += [_spread([row.get(name) for row in group]) for name in _COLUMNS]
        cells += [
            _middle([row[name] for row in group]) for name in ("steps", "seconds")
        ]
        cells.append(_middle([row["peak_mb"] for row in group]))
        out.append("| " + " | ".join(cells) + " |")
    return "\n".join(out)


def _spread(values) -> str:
    if None in values:
        return ""
    low, middle, high = np.quantile(values, [0, 0.5, 1])
    return (
        f"{middle:.3f} ({low:.3f}-{high:.3f})" if len(values) > 1 else f"{middle:.3f}"
    )


def _middle(values) -> str:
    return "" if None in values else f"{np.median(values):,.0f}"
