import functools
import io
import json
import re
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import (
    inference,
    modes,
    packages,
    schedules,
    selection,
    throughput,
)
from benchmarks.__main__ import _RESULTS, main
from benchmarks.data import DATA, HELD_OUT, MissingData, load, load_held_out
from benchmarks.papers import TABLES, Setting, Table, smoke
from benchmarks.run import fit_one, takes_autoencoder
from benchmarks.table import read, table
from skdeepcluster import AutoencoderKMeans
from skdeepcluster.methods import METHODS
from skdeepcluster.metrics import clustering_accuracy
from tests.conftest import started


def test_a_row_tells_all_there_is_to_repeat_it():
    row = fit_one("dccs", "wine", 0, {"max_epochs": 2}, None, False)
    assert {"acc", "nmi", "ari", "silhouette", "seconds", "peak_mb", "gpu"} <= set(row)
    assert row["versions"]["torch"] and row["steps"] == 2
    assert json.loads(json.dumps(row)) == row


def test_a_fit_ends_with_the_process_that_asked_for_it():
    asks = (
        "from benchmarks.run import in_own_process as run;"
        "run(exec, 'import time; print(\"begun\", flush=True); time.sleep(600)')"
    )
    with subprocess.Popen([sys.executable, "-c", asks], stdout=subprocess.PIPE) as one:
        assert one.stdout.readline() == b"begun\n"
        one.kill()
        one.communicate(timeout=60)  # ends once nobody has the other end of the pipe


def test_a_curve_scores_on_the_way():
    pytest.importorskip("sklearn.callback")
    params = {"max_epochs": 150, "critic_layer_sizes": (8,)}
    row = fit_one("dccs", "wine", 0, params, None, True)
    assert [p["step"] for p in row["curve"]] == [100, 130]
    assert all(0 <= p["acc"] <= 1 for p in row["curve"])


@pytest.mark.parametrize("setting", schedules.SETTINGS)
def test_a_code_is_scored_on_the_way(setting, monkeypatch):
    monkeypatch.setattr(schedules, "_FIRST", 2)
    params = {"max_epochs": 5, "batch_size": 100, "hidden_layer_sizes": (8,)}
    row = schedules.follow(setting, "wine", seed=0, minutes=1, **params)
    assert [point["step"] for point in row["curve"]] == [2, 4, 5]
    params["max_epochs"] = 4  # the last one has been scored when it ends
    short = schedules.follow(setting, "wine", seed=0, minutes=1, **params)
    assert [point["step"] for point in short["curve"]] == [2, 4]
    assert all(0 <= point["acc"] <= 1 for point in row["curve"])
    assert json.loads(json.dumps(row))["curve"] == row["curve"]


def test_table_gives_median_and_spread():
    row = {"method": "m", "data": "d", "params": {}, "minutes": None, "steps": 3}
    row |= dict.fromkeys(
        ("nmi", "ari", "silhouette", "score", "seconds", "peak_mb"), 1.0
    )
    rows = [row | {"acc": acc} for acc in (0.2, 0.9, 0.3)]
    assert "| d | m |  | 3 | 0.300 (0.200-0.900) |" in table(rows)


def test_settings_of_different_tables_are_apart():
    row = {"method": "m", "data": "d", "params": {}, "minutes": None, "steps": 3}
    row |= dict.fromkeys(
        ("acc", "nmi", "ari", "silhouette", "score", "seconds", "peak_mb"), 1.0
    )
    rows = [row | {"table": name, "setting": "s"} for name in ("long", "short")]
    assert table(rows).count("| d | m | s | 1 |") == 2


def test_a_fit_that_was_interrupted_is_made_by_the_next(tmp_path, monkeypatch):
    made = [("d", "m", "s", {}, seed) for seed in range(3)]
    monkeypatch.setattr(selection, "fits_to_make", lambda study, seeds: made)
    row = {"acc": 0.5, "seconds": 1.0}

    def fit(study, data, method, setting, params, seed, broken=(1,)):
        if seed in broken:
            raise KeyboardInterrupt
        return row, {"labels": np.zeros(2)}

    monkeypatch.setattr(selection, "fit", fit)
    with pytest.raises(KeyboardInterrupt):
        selection.keep(tmp_path, "settings", 3)
    monkeypatch.setattr(selection, "fit", functools.partial(fit, broken=()))
    selection.keep(tmp_path, "settings", 3)
    assert len(list(tmp_path.glob("*.npz"))) == 3


def test_the_results_that_are_kept_are_tabulated():
    """Whatever verb has made them."""
    lines = table(read(_RESULTS)).splitlines()
    assert any(line.startswith("| digits | dccs |  | 3 | 0.8") for line in lines)


def test_absent_data_is_skipped_with_a_message(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("SKDEEPCLUSTER_DATA", str(tmp_path))
    with pytest.raises(MissingData, match="set SKDEEPCLUSTER_DATA"):
        load("pendigits")
    args = ["benchmarks", "--results", str(tmp_path / "r.jsonl"), "run"]
    args += ["--methods", "kmeans", "--data", "pendigits"]
    monkeypatch.setattr("sys.argv", args)
    main()
    assert "pendigits: skipped" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("kmeans", ["--minutes", "5"]),  # which it does not heed
        ("ae_kmeans", ["--set", "max_epochs=1", "hidden_layer_sizes=(8,)"]),
    ],
)
def test_only_missing_fits_are_made(method, given, tmp_path, monkeypatch):
    results = tmp_path / "r.jsonl"
    args = ["benchmarks", "--results", str(results), "run", "--missing", *given]
    args += ["--methods", method, "--data", "wine", "--seeds"]
    for n_seeds, n_rows in (("1", 1), ("1", 1), ("2", 2)):
        monkeypatch.setattr("sys.argv", [*args, n_seeds])
        main()
        assert [row["seed"] for row in read(results)] == [*range(n_rows)]


def test_methods_begin_with_a_kept_autoencoder(tmp_path, monkeypatch):
    def here(call, *args):  # processes of their own are tested above
        return call(*args)

    monkeypatch.setattr("benchmarks.__main__.in_own_process", here)
    results, kept = tmp_path / "r.jsonl", tmp_path / "kept"
    args = ["benchmarks", "--results", str(results), "run", "--missing"]
    args += ["--autoencoders", str(kept), "--methods", "ae_kmeans", "idec"]
    args += ["--data", "wine", "--seeds", "1", "--set", "max_epochs=3"]
    monkeypatch.setattr("sys.argv", args)
    main()
    main()  # nothing is missing
    first, then = read(results)
    assert first["params"] == {"max_epochs": 3}
    assert then["params"] == {"max_epochs": 3, "pretrained": "ae_kmeans"}
    assert then["steps"] <= 3 and "| wine | idec | max_epochs=3, p" in table([then])
    assert [path.name for path in kept.iterdir()] == ["wine-0.joblib"]
    # SpectralNet has none where it reads the columns themselves.
    assert not takes_autoencoder("spectralnet", "wine", {})
    assert takes_autoencoder("spectralnet", "wine", {"affinity": "code"})


def test_a_fit_goes_on_from_its_checkpoint(tmp_path):
    params, path = {"max_epochs": 3}, tmp_path / "wine.ckpt"
    stopped = fit_one("dccs", "wine", 0, params, minutes=1e-9, checkpoint=path)
    resumed = fit_one("dccs", "wine", 0, params, checkpoint=path)
    whole = fit_one("dccs", "wine", 0, params)
    assert (stopped["steps"], resumed["steps"]) == (1, 3)
    same = ("acc", "nmi", "ari", "score", "steps")
    assert all(resumed[k] == whole[k] for k in same)
    assert resumed["training_seconds"] > stopped["training_seconds"]


def settings():
    return [
        (name, setting) for name, table in TABLES.items() for setting in table.settings
    ]


def test_the_papers_settings_can_be_told_apart():
    names = [(name, setting.slug) for name, setting in settings()]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[\w.-]+", slug) for _, slug in names)


@pytest.mark.parametrize(
    "setting", [setting for _, setting in settings()], ids=lambda s: s.method
)
def test_the_papers_settings_are_those_of_the_estimators(setting):
    assert setting.data in DATA
    assert json.loads(json.dumps(setting.params)).keys() == setting.params.keys()
    model = METHODS[setting.method](10, **setting.params)
    model._validate_params()
    model._check_params()


def test_epochs_are_the_papers_iterations():
    """900,000 iterations of five batches of 100 on 60,000 rows."""
    [setting] = TABLES["udc-mnist"].settings
    assert setting.params["max_epochs"] == 7_500


def test_a_smoke_run_stops_and_resumes():
    setting = Setting("small", "dccs", "digits", {"max_epochs": 7, "tol": 0})
    row = smoke("dccs-digits", setting)
    assert row["steps"] == {"whole": 2, "stopped": 1, "resumed": 2}
    assert row["difference"] == 0
    assert json.loads(json.dumps(row)) == row


def test_papers_verb_appends_rows(monkeypatch, tmp_path, capsys):
    out = tmp_path / "r.jsonl"
    quick = Setting("quick", "dccs", "wine", {"max_epochs": 2}, {"acc": 0.5})
    other = Setting("other", "dccs", "wine", {"max_epochs": 3})
    monkeypatch.setitem(TABLES, "a-table", Table("about", (quick, other)))
    args = ["benchmarks", "papers", "--table", "a-table", "--seeds", "1"]
    args += ["--setting", "quick"]
    args += ["--results", str(out), "--checkpoints", str(tmp_path / "kept")]
    monkeypatch.setattr("sys.argv", [*args, "--set", "n_critic=2"])
    main()
    [row] = read(out)
    assert (row["table"], row["setting"]) == ("a-table", "quick")
    assert row["params"] == {"max_epochs": 2, "n_critic": 2}
    assert row["published"] == {"acc": 0.5}
    assert (tmp_path / "kept" / "a-table-quick-0.ckpt").exists()
    assert "paper: ACC 0.500" in capsys.readouterr().out


def test_variants_of_usps_are_those_of_the_paper(data_folder):
    """Needs the large data sets, but no training."""
    X, y = load("usps1200")
    counts = [1200, 1200, 900, 800, 800, 700, 800, 700, 700, 800]
    assert X.shape == (8_600, 16, 16) and list(np.bincount(y)) == counts


def test_coloured_images_are_decoded_in_order(data_folder):
    X, y = load_held_out("cifar10_train")
    assert X.shape == (10_000, 32, 32, 3) and X.dtype == np.uint8
    assert list(np.bincount(y)) == [1_000] * 10
    with np.load(data_folder / "cifar10_jpeg.npz") as data:
        start, end = data["offsets"][[50_007, 50_008]]
        image = Image.open(io.BytesIO(data["jpeg"][start:end].tobytes()))
    assert np.array_equal(X[7], np.asarray(image))


def test_held_out_samples_are_scored_apart(monkeypatch):
    X, y = load("wine")
    monkeypatch.setitem(HELD_OUT, "wine", lambda: (X[::2], y[::2]))
    params = {"max_epochs": 30, "batch_size": 32}
    row = fit_one("dccs", "wine", 0, params)
    model = METHODS["dccs"](3, **params, random_state=0).fit(X)
    assert row["held_out"]["acc"] == clustering_accuracy(y[::2], model.predict(X[::2]))
    assert row["acc"] == clustering_accuracy(y, model.labels_)


def test_every_method_has_a_bare_loop_beside_it():
    lines = throughput.compare(rounds=1, sizes=["small"]).splitlines()[2:]
    assert [line.split(" | ")[0] for line in lines] == [
        f"| {name}" for name in throughput.BARE
    ]


@pytest.mark.parametrize("method", throughput.BARE)
def test_a_bare_loop_is_the_same_maths(method, monkeypatch):
    """Losses of all updates of an iteration, with the weights held where they are."""
    X = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
    model = METHODS[method](10, random_state=0)
    if method == "simi_clustergan":
        model.set_params(prior_max_epochs=1)
    net, [*_, (step, _)] = started(model, X)
    torch.manual_seed(0)
    for network in net.networks.values():  # away from where losses are all alike
        for p in network.parameters():
            p.data += 0.1 * torch.randn_like(p)
    data = torch.cat(list(net.batches.in_order(1_024)))
    bare = throughput.bare_loop(method, model, net.networks, data, step)
    losses = []
    monkeypatch.setattr(net, "descend", lambda _, loss: losses.append(loss) or loss)
    monkeypatch.setattr(throughput, "_update", lambda *args: losses.append(args[2]))
    means = []
    for train in (lambda: step(net), bare):
        runs = []
        for _ in range(60):
            losses.clear()
            train()
            runs.append([loss.item() for loss in losses])
        means.append((np.mean(runs, 0), np.std(runs, 0) / np.sqrt(60)))
    (ours, error), (theirs, its_error) = means
    assert ours.shape == theirs.shape
    assert (np.abs(ours - theirs) < 4 * np.hypot(error, its_error) + 1e-3).all()


def test_steps_by_mode_beside_the_floor(monkeypatch):
    monkeypatch.setitem(modes.SHAPES, "table", (400, 5))
    rows = modes._pace("simi_clustergan", "table", "cpu", {"graph": False})
    assert [phase for phase, _, _ in rows] == ["prior", "gan"]
    assert all(pace > 0 and memory is None for _, pace, memory in rows)
    # Bound by launches, and by arithmetic.
    assert modes.floor("mnist", "udc", "fit", "tf32") == pytest.approx(2.16e-3)
    assert modes.floor("mnist", "udc", "fit", "float32") == pytest.approx(6.97e-3, 1e-3)
    called = []
    monkeypatch.setattr(
        modes, "in_own_process", lambda call, *args: called.append(args) or rows
    )
    lines = modes.compare(methods=["simi_clustergan"]).splitlines()
    assert [args[3] for args in called] == list(modes._modes("cpu").values())
    assert "Only a CUDA device" in modes.kernels("table", "cpu")
    assert len(lines) == 2 + 2 * len(called) and "| eager | " in lines[2]
    assert " 1.00 |" in lines[2]


def test_predictions_beside_bare_passes(monkeypatch):
    monkeypatch.setitem(modes.SHAPES, "table", (300, 5))
    lines = inference.compare(rounds=1).splitlines()[2:]
    assert len(lines) == len(METHODS) and all("300" in line for line in lines)


def test_other_packages_need_not_be_there(monkeypatch):
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    lines = packages.compare().splitlines()[2:]
    assert all("is not installed" in line for line in lines) and len(lines) == 9
    # Ours of each pair can be fitted.
    X = np.random.default_rng(0).normal(size=(300, 50)).astype(np.float32)
    for *_, make in packages._PAIRS:
        assert make((8,), 1).fit(X).n_iter_ >= 3


def _judged(data, method, acc, seed=0, setting="a", **criteria):
    row = {"data": data, "method": method, "acc": acc, "seed": seed}
    return {**row, "setting": setting, "criteria": criteria}


def test_regret_and_rank_correlation_by_hand():
    rows = []
    for method in selection.GRIDS:
        for acc in (0.5, 0.6, 0.9):
            rows.append(
                _judged("d", method, acc, good=acc, bad=-acc, odd=abs(acc - 0.6))
            )
    lines = selection.settings_table(rows).splitlines()
    cells = {line.split("|")[1].strip(): line.split("|")[2:] for line in lines[2:]}
    assert [*cells] == ["good", "odd", "bad"]  # the best first
    assert [cell.strip() for cell in cells["good"][1:5]] == [
        "1.00 (1.00)",
        "0.0 (0.0)",
        "1.00",
        "0.0",
    ]
    assert cells["bad"][2].strip() == "40.0 (40.0)"  # .9 - .5, in points
    assert cells["odd"][1].strip() == "0.50 (0.50)"  # ranks 2, 1, 3 against 1, 2, 3


def test_the_best_of_each_five_is_taken():
    rows = []
    for outer, accs in enumerate([(0.2, 0.8), (0.3, 0.5), (0.6, 0.4)]):
        for i, acc in enumerate(accs):
            row = _judged("d", "m", acc, setting=f"{outer}-{i}", own=-acc)
            rows.append(row | {"consensus_acc": 0.7, "mean_acc": 0.1 * outer})
    table = selection.restarts_table(rows).splitlines()
    cells = {line.split("|")[1].strip(): line.split("|")[2].strip() for line in table}
    assert cells["single fits"] == "0.450 (0.200)"
    assert cells["best by own"] == "0.300 (0.200)"  # of .2, .3, .4
    assert cells["consensus"] == "0.700 (0.700)"
    assert cells["mean of probabilities"] == "0.100 (0.000)"


def test_restarts_of_the_study_are_those_of_n_init():
    X = np.random.default_rng(0).normal(size=(60, 3))
    params = {"hidden_layer_sizes": (8,), "n_latent": 2, "max_epochs": 1}
    with mock.patch.object(selection, "N_INIT", 2):
        seeds = selection.seeds_of("ae_kmeans", 7)
    best = AutoencoderKMeans(2, **params, n_init=2, random_state=7).fit(X)
    scores = [
        AutoencoderKMeans(2, **params, random_state=seed).fit(X)._init_score(X)
        for seed in seeds
    ]
    np.testing.assert_array_equal(best.init_scores_, scores)


def test_every_setting_of_the_study_can_be_made():
    for method, grid in selection.GRIDS.items():
        made = dict(selection.settings(method, 100))
        assert len(made) == 6
        for params in made.values():
            assert set(grid) < set(params)
            METHODS[method](2, **params)._validate_params()
