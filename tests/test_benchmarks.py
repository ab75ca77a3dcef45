import json

import pytest

from benchmarks.__main__ import main
from benchmarks.data import MissingData, load
from benchmarks.run import fit_one
from benchmarks.table import table


def test_a_row_tells_all_there_is_to_repeat_it():
    row = fit_one("dccs", "wine", 0, {"max_epochs": 2}, None, False)
    assert {"acc", "nmi", "ari", "silhouette", "seconds", "peak_mb", "gpu"} <= set(row)
    assert row["versions"]["torch"] and row["steps"] == 2
    assert json.loads(json.dumps(row)) == row


def test_a_curve_scores_on_the_way():
    pytest.importorskip("sklearn.callback")
    params = {"max_epochs": 150, "critic_layer_sizes": (8,)}
    row = fit_one("dccs", "wine", 0, params, None, True)
    assert [p["step"] for p in row["curve"]] == [100, 130]
    assert all(0 <= p["acc"] <= 1 for p in row["curve"])


def test_table_gives_median_and_spread():
    row = {"method": "m", "data": "d", "params": {}, "minutes": None, "steps": 3}
    row |= dict.fromkeys(
        ("nmi", "ari", "silhouette", "score", "seconds", "peak_mb"), 1.0
    )
    rows = [row | {"acc": acc} for acc in (0.2, 0.9, 0.3)]
    assert "| d | m |  | 3 | 0.300 (0.200-0.900) |" in table(rows)


def test_absent_data_is_skipped_with_a_message(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("SKDEEPCLUSTER_DATA", str(tmp_path))
    with pytest.raises(MissingData, match="set SKDEEPCLUSTER_DATA"):
        load("pendigits")
    args = ["benchmarks", "--results", str(tmp_path / "r.jsonl"), "run"]
    args += ["--methods", "kmeans", "--data", "pendigits"]
    monkeypatch.setattr("sys.argv", args)
    main()
    assert "pendigits: skipped" in capsys.readouterr().err
