import csv

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_wine

from skdeepcluster.__main__ import main
from skdeepcluster.datasets import load_file


@pytest.fixture
def wine_csv(tmp_path):
    wine = load_wine(as_frame=True).frame[::2]
    wine.to_csv(tmp_path / "wine.csv", index=False)
    return tmp_path / "wine.csv"


def run(tmp_path, *args):
    out = tmp_path / "out" / "labels.csv"
    out.parent.mkdir(exist_ok=True)
    defaults = ["--max-epochs", "2", "--out", str(out)]
    return main([*defaults, *map(str, args)]), out


def test_a_table_with_labels(wine_csv, tmp_path, capsys):
    code, out = run(tmp_path, wine_csv, "--n-clusters", 3, "--labels", "target")
    printed = capsys.readouterr().out
    assert code == 0
    for word in ("DCCS", "KMeans", "silhouette", "ACC", "NMI", "ARI", "sizes"):
        assert word in printed
    rows = pd.read_csv(out)
    assert len(rows) == 89 and list(rows.columns[:3]) == ["row", "label", "p0"]
    proba = rows.filter(like="p").to_numpy()
    np.testing.assert_allclose(proba.sum(1), 1, atol=1e-4)
    assert (proba.argmax(1) == rows.label).all()
    picture = Image.open(out.with_suffix(".png"))
    assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 9


def test_the_number_of_clusters_can_be_found(wine_csv, tmp_path, capsys):
    args = wine_csv, "--labels", "target", "--method", "dec", "--n-clusters"
    code, out = run(tmp_path, *args, "auto")
    sizes = [line for line in capsys.readouterr().out.splitlines() if "sizes" in line]
    n_found = pd.read_csv(out).label.nunique()
    assert code == 0 and [len(line.split(": ")[1].split()) for line in sizes] == [
        n_found,
        n_found,
    ]
    with pytest.raises(SystemExit):
        run(tmp_path, *args, "three")
    assert "number_or_auto value: 'three'" in capsys.readouterr().err


def test_a_folder_of_images(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for kind in "ab":
        (tmp_path / "in" / kind).mkdir(parents=True)
        for i in range(8):
            pixels = rng.integers(0, 256, (12, 10), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "in" / kind / f"{i}.png")
    code, out = run(tmp_path, tmp_path / "in", "--n-clusters", 2, "--labels", "folders")
    assert code == 0
    with out.open() as lines:
        rows = list(csv.reader(lines))
    assert [row[0] for row in rows[1:3]] == ["a/0.png", "a/1.png"]


def test_arrays_and_parquet_are_the_same_data(wine_csv, tmp_path):
    wine = pd.read_csv(wine_csv)
    X, y = wine.drop(columns="target").to_numpy(), wine.target.to_numpy()
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", y)
    np.savez(tmp_path / "xy.npz", X=X, y=y)
    np.savez(tmp_path / "one.npz", anything=X)
    wine.to_parquet(tmp_path / "wine.parquet")
    for name, labels in [
        ("x.npy", str(tmp_path / "y.npy")),
        ("xy.npz", "y"),
        ("one.npz", str(tmp_path / "y.npy")),
        ("wine.parquet", "target"),
        ("wine.csv", "target"),
    ]:
        data = load_file(tmp_path / name, labels)
        np.testing.assert_allclose(np.asarray(data.X, dtype=float), X)
        assert np.array_equal(data.y, y)


def test_digits_without_a_file(tmp_path, capsys):
    code, out = run(tmp_path, "--n-clusters", 10, "--labels", "target")
    assert code == 0 and len(pd.read_csv(out)) == 1797
    assert "DCCS, 10 clusters of 1797 rows" in capsys.readouterr().out


def test_as_many_clusters_as_rows(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(4, 2)))
    code, _ = run(tmp_path, tmp_path / "x.npy", "--n-clusters", 4)
    assert code == 0 and "nan" in capsys.readouterr().out


def test_a_csv_without_a_header_keeps_its_first_row(tmp_path):
    (tmp_path / "x.csv").write_text("1,2\n3,4\n5,6\n")
    (tmp_path / "y.txt").write_text("New York\nUlm\nUlm\n")
    data = load_file(tmp_path / "x.csv", str(tmp_path / "y.txt"))
    assert data.X.to_numpy().tolist() == [[1, 2], [3, 4], [5, 6]]
    assert data.y.tolist() == ["New York", "Ulm", "Ulm"]


def test_deep_grey_images_keep_their_values(tmp_path):
    deep = np.arange(0, 64_000, 1_000, dtype=np.uint16).reshape(8, 8)
    Image.fromarray(deep).save(tmp_path / "a.png")
    assert np.array_equal(load_file(tmp_path).X[0], deep)


def text_column(folder):
    pd.DataFrame({"x": [1, 2], "town": ["Bonn", "Ulm"]}).to_csv(folder / "t.csv")
    return [folder / "t.csv"], "column 'town' holds text"


def several_arrays(folder):
    np.savez(folder / "ab.npz", a=np.ones(3), b=np.ones(3))
    return [folder / "ab.npz"], "holds a, b; name the samples X"


def several_sizes(folder):
    for side in (5, 6):
        Image.new("L", (side, side)).save(folder / f"{side}.png")
    return [folder], "all images must be of one size"


def objects(folder):
    np.save(folder / "o.npy", np.array([{}]), allow_pickle=True)
    return [folder / "o.npy"], "Python objects in dtype"


def wrong_labels(folder):
    np.save(folder / "x.npy", np.ones((30, 2)))
    np.save(folder / "y.npy", np.ones(29))
    return [folder / "x.npy", "--labels", folder / "y.npy"], "29 labels for 30 rows"


def empty(folder):
    (folder / "x.npy").touch()
    return [folder / "x.npy"], "x.npy: "


def no_archive(folder):
    (folder / "x.npz").write_bytes(b"PK\x03\x04 and no more")
    return [folder / "x.npz"], "x.npz: "


def overwriting(folder):
    np.save(folder / "x.npy", np.ones((30, 2)))
    return [folder / "x.npy", "--out", folder / "x.npy"], "would overwrite an input"


def missing_label(folder):
    np.savez(folder / "x.npz", X=np.ones((3, 2)), y=[0, 1, np.nan])
    return [folder / "x.npz", "--labels", "y"], "some are missing"


def missing_text_label(folder):
    frame = pd.DataFrame({"x": range(3), "town": ["Bonn", None, "Ulm"]})
    frame.to_csv(folder / "t.csv", index=False)
    return [folder / "t.csv", "--labels", "town"], "labels 'town': some are missing"


def dates(folder):
    pytest.importorskip("pyarrow")
    days = pd.date_range("2020-01-01", periods=3)
    pd.DataFrame({"x": range(3), "day": days}).to_parquet(folder / "d.parquet")
    return [folder / "d.parquet"], "column 'day' holds datetime64"


def among_the_images(folder):
    Image.new("L", (5, 5)).save(folder / "a.png")
    return [folder, "--out", folder / "labels.csv"], "would lie among the images"


def too_few_rows(folder):
    np.save(folder / "x.npy", np.eye(4))
    return [folder / "x.npy"], "n_samples=4 should be >= n_clusters=10"


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: ([folder / "no.csv"], "no such file or folder"),
        lambda folder: (["--method", "magic"], "method 'magic' is unknown"),
        lambda folder: (["--device", "meta"], "device='meta' is not available"),
        lambda folder: (["--out", folder], "name a file for the labels"),
        lambda folder: (["--device", "abacus"], "device='abacus' is not a device"),
        lambda folder: (["--n-clusters", 0], "'n_clusters' parameter"),
        lambda folder: (["--out", folder / "no" / "x.csv"], "no such folder to write"),
        lambda folder: (["--labels", "town"], "those of the digits are 'target'"),
        lambda folder: ([folder], "holds no images"),
        lambda folder: ([__file__], "cannot read .py"),
        text_column,
        several_arrays,
        several_sizes,
        objects,
        wrong_labels,
        empty,
        no_archive,
        overwriting,
        missing_label,
        missing_text_label,
        dates,
        among_the_images,
        too_few_rows,
    ],
)
def test_what_is_wrong_gets_one_line_and_exit_code_2(make, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    args, message = make(folder)
    code, _ = run(tmp_path, *args)
    error = capsys.readouterr().err.strip()
    assert code == 2
    assert error.startswith("error: ") and message in error and "\n" not in error
