"""Spaces that clusterings are scored in, the same for every estimator."""

from __future__ import annotations

import contextlib
import warnings

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.manifold import spectral_embedding
from sklearn.neighbors import kneighbors_graph
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, check_array
from sklearn.utils.validation import _num_samples

from skdeepcluster.networks.scaling import Scaling


def numbers_of(estimator, X) -> np.ndarray:
    """X as finite numbers; where it is none, what a pipeline makes of it."""
    return named_numbers_of(estimator, X)[0]


def named_numbers_of(estimator, X) -> tuple[np.ndarray, list | None]:
    """X as `numbers_of` gives it, and the names of its columns, where it has any."""
    try:
        names = getattr(X, "columns", None)
        return _array(X), None if names is None else list(names)
    except (TypeError, ValueError) as error:
        if not isinstance(estimator, Pipeline) or len(estimator) == 1:
            raise TypeError(f"X does not hold finite numbers: {error}") from error
    names = None
    with contextlib.suppress(AttributeError, ValueError):  # not all steps name any
        names = list(estimator[:-1].get_feature_names_out())
    return _array(estimator[:-1].transform(X)), names


def _array(X) -> np.ndarray:
    """Check and copy; dense, in the machine's byte order."""
    X = check_array(X, accept_sparse="csr", allow_nd=True, ensure_2d=False)
    X = X.toarray() if sparse.issparse(X) else X
    return X.astype(X.dtype.newbyteorder("="))


def reference_space(X: np.ndarray, n_components: int = 50) -> np.ndarray:
    """Principal components of X, scaled as the estimators scale it by default."""
    shape = (*X.shape[1:], 1)[:3] if X.ndim > 2 else None
    rows = X.reshape(len(X), -1)
    scaling = Scaling.fit(rows, "auto", shape)
    scaled = scaling(scaling.centre(rows)).flatten(1).numpy()
    if scaled.shape[1] <= n_components:
        return scaled
    with np.errstate(divide="ignore", invalid="ignore"):  # all rows alike
        return PCA(min(n_components, len(X)), random_state=0).fit_transform(scaled)


def reference_of(X, rows: np.ndarray) -> np.ndarray:
    """Some rows of X in the space that is the same for every estimator."""
    return reference_space(_array(_safe_indexing(indexable(X), rows)))


def a_part_of(X, labels: np.ndarray, sample_size: int):
    """Return rows of X and their labels: all, or so many at random, always the same."""
    X = indexable(X)
    n = _num_samples(X)
    if n <= sample_size:
        return X, labels
    rows = np.random.RandomState(0).permutation(n)[:sample_size]
    return _safe_indexing(X, rows), labels[rows]


def neighbour_graph(Z: np.ndarray, n_neighbors: int) -> sparse.csr_matrix:
    """Adjacency of shape (n, n): 1 where either row is among the other's nearest."""
    graph = kneighbors_graph(Z, min(n_neighbors, len(Z) - 1))
    return graph.maximum(graph.T)


def spectral_space(
    Z: np.ndarray, n_neighbors: int = 10, n_components: int = 20
) -> np.ndarray:
    """Leading eigenvectors of the neighbours' graph, each row scaled to length one.

    Rows that paths of near neighbours connect are near each other here, also where
    they are far apart in Z (Ng, Jordan, Weiss 2002).
    """
    n_components = min(n_components, len(Z) - 2)
    if n_components < 1:
        return Z
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Graph is not fully connected")
        space = spectral_embedding(
            neighbour_graph(Z, n_neighbors),
            n_components=n_components,
            drop_first=False,
            random_state=0,
        )
    norm = np.linalg.norm(space, axis=1, keepdims=True)
    return space / np.where(norm > 0, norm, 1)


def indexable(X):
    """Return X in a form whose rows can be taken."""
    return X.tocsr() if sparse.issparse(X) else X
