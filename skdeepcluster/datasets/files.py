"""Read tables, arrays and folders of images as estimators take them."""

from __future__ import annotations

import importlib
import zipfile
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch, column_or_1d

_MISSING = "labels {!r}: some are missing."
_IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff"}


def load_file(path, labels=None) -> Bunch:
    """Read a data set from a file or a folder of images.

    Parameters
    ----------
    path : str or path-like
        ``.csv`` or ``.parquet``: a table of numbers. ``.npy``: an array. ``.npz``: the
        array ``X``, or the only one. A folder: its images, also those of its
        sub-folders, all of one size, in the order of their names.
    labels : str, default=None
        Known labels, kept apart: a column of the table, an array of the ``.npz``, the
        word ``"folders"`` (the sub-folder that an image lies in), or a file with one
        label per row (``.npy``, or text with a label per line and no header).

    Returns
    -------
    data : Bunch
        ``X`` (a DataFrame for tables, else an ndarray), ``y`` (an ndarray or None) and
        ``names``, one per row, for images.

    Raises
    ------
    FileNotFoundError
        If there is no such file or folder.
    ValueError
        If the contents cannot be clustered: text columns, images of several sizes, no
        images, an array that cannot be chosen, labels that do not fit.
    ImportError
        If a package that reads this kind of file is not installed.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder.")
    readers = {".csv": _table, ".parquet": _table, ".npy": _array, ".npz": _arrays}
    if path.is_dir():
        data = _folder(path, labels)
    elif path.suffix.lower() in readers:
        data = readers[path.suffix.lower()](path, labels)
    else:
        raise ValueError(
            f"{path}: cannot read {path.suffix or 'a file without a suffix'}; use "
            ".csv, .parquet, .npy, .npz or a folder of images."
        )
    if labels is not None and data.y is None:
        data.y = _label_file(path, labels)
    if data.y is not None:
        data.y = column_or_1d(data.y)
        if len(data.y) != len(data.X):
            raise ValueError(f"{len(data.y)} labels for {len(data.X)} rows.")
        if data.y.dtype.kind == "f" and not np.isfinite(data.y).all():
            raise ValueError(_MISSING.format(labels))
    return data


def _need(package: str, extra: str, what: str):
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"{what} needs {package.split('.')[0]}: pip install "
            f"'skdeepcluster[{extra}]'."
        ) from error


def _table(path: Path, labels) -> Bunch:
    pandas = _need("pandas", "table", f"Reading {path.suffix}")
    read = pandas.read_csv if path.suffix.lower() == ".csv" else pandas.read_parquet
    try:
        X = read(path)
        if path.suffix.lower() == ".csv" and all(map(_is_number, X.columns)):
            X = read(path, header=None)  # its first row holds no names
            X.columns = X.columns.astype(str)
    except ValueError as error:  # pandas' parsers raise its subclasses
        raise ValueError(f"{path}: {error}") from error
    y = X.pop(labels) if labels in X.columns else None
    if y is not None and y.isna().any():
        raise ValueError(_MISSING.format(labels))
    y = None if y is None else y.to_numpy()
    for name, kind in X.dtypes.items():
        if not (
            pandas.api.types.is_numeric_dtype(kind)
            or pandas.api.types.is_bool_dtype(kind)
        ):
            held = kind if pandas.api.types.is_datetime64_any_dtype(kind) else "text"
            raise ValueError(
                f"{path}: column {name!r} holds {held}, not numbers. Encode it or "
                "leave it out; if it holds the known labels, name it with --labels."
            )
    return Bunch(X=X, y=y, names=None)


def _is_number(name) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _array(path: Path, labels) -> Bunch:
    try:
        X = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: {error}") from error
    return Bunch(X=X, y=None, names=None)


def _arrays(path: Path, labels) -> Bunch:
    with path.open("rb") as file:
        try:
            arrays = np.load(file, allow_pickle=False)
            rest = [name for name in arrays.files if name != labels]
            name = "X" if "X" in rest else rest[0] if len(rest) == 1 else None
            X = arrays[name] if name else None
            y = arrays[labels] if labels in arrays.files else None
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path}: {error}") from error
    if X is None:
        raise ValueError(
            f"{path}: holds {', '.join(arrays.files)}; name the samples X."
        )
    return Bunch(X=X, y=y, names=None)


def _folder(path: Path, labels) -> Bunch:
    Image = _need("PIL.Image", "image", "Reading images")
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in _IMAGES)
    if not files:
        raise ValueError(f"{path}: holds no images ({', '.join(sorted(_IMAGES))}).")
    images: list[np.ndarray] = []
    for file in files:
        with Image.open(file) as image:
            deep = image.mode.startswith(("I", "F"))  # 16 bits and more stay so
            grey = image.mode in ("1", "L", "LA")
            plain = image if deep else image.convert("L" if grey else "RGB")
            images.append(np.asarray(plain))
        if images[-1].shape != images[0].shape:
            raise ValueError(
                f"{file}: is of shape {images[-1].shape}, {files[0]} of shape "
                f"{images[0].shape}; all images must be of one size and colour mode."
            )
    names = [str(file.relative_to(path)) for file in files]
    y = None
    if labels == "folders":
        y = np.array([str(Path(name).parent) for name in names])
    return Bunch(X=np.stack(images), y=y, names=names)


def _label_file(path: Path, labels) -> np.ndarray:
    file = Path(labels)
    if not file.is_file():
        raise ValueError(
            f"labels {labels!r}: neither a column or array of {path.name} nor a file."
        )
    if file.suffix == ".npy":
        return np.load(file, allow_pickle=False).ravel()
    lines = [line.strip() for line in file.read_text().splitlines() if line.strip()]
    try:
        return np.array([int(line) for line in lines])
    except ValueError:
        return np.array(lines)
