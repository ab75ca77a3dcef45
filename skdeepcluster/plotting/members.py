"""Displays of what is in the clusters: where they lie, who is in them."""

from __future__ import annotations

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.utils import _safe_indexing, check_consistent_length
from sklearn.utils.validation import check_is_fitted

from skdeepcluster.metrics.scorers import labels_of, last_step
from skdeepcluster.metrics.spaces import named_numbers_of
from skdeepcluster.plotting.displays import COLOURS, axes_of
from skdeepcluster.plotting.rows import Ink, as_images, colour_of, name_columns

# Beyond eight clusters colours repeat with another marker.
_MARKERS = "o^sDvP*X"


class EmbeddingDisplay:
    """Clusters in two dimensions.

    Parameters
    ----------
    points : ndarray of shape (n_samples, 2)
    labels : ndarray of shape (n_samples,)
        Clusters.
    method : str, default=""
        What the axes are named by.

    Attributes
    ----------
    ax_ : matplotlib axes
    figure_ : matplotlib figure

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.datasets import load_iris
    >>> from skdeepcluster.plotting import EmbeddingDisplay
    >>> X = load_iris().data
    >>> model = KMeans(3, random_state=0).fit(X)
    >>> EmbeddingDisplay.from_estimator(model, X).points.shape
    (150, 2)
    """

    def __init__(self, points, labels, method=""):
        self.points = points
        self.labels = labels
        self.method = method

    @classmethod
    def from_estimator(
        cls, estimator, X, *, method="pca", sample_size=3_000, random_state=0, ax=None
    ):
        """Draw the embedding that a fitted estimator's ``transform`` gives.

        Parameters
        ----------
        estimator : fitted estimator
        X : array-like, shaped as in fit
        method, sample_size, random_state, ax
            As for `from_predictions`.
        """
        check_is_fitted(estimator)
        if not hasattr(estimator, "transform"):
            raise ValueError(f"{type(estimator).__name__} has no transform.")
        labels = labels_of(estimator, X)
        shown = _spaced(len(labels), sample_size)
        embedding = np.asarray(estimator.transform(_safe_indexing(X, shown)))
        return cls.from_predictions(
            embedding,
            labels[shown],
            method=method,
            sample_size=sample_size,
            random_state=random_state,
            ax=ax,
        )

    @classmethod
    def from_predictions(
        cls, X, labels, *, method="pca", sample_size=3_000, random_state=0, ax=None
    ):
        """Draw given clusters of rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_dimensions)
            Such as an embedding.
        labels : array-like of shape (n_samples,)
        method : {"pca", "tsne", "umap"} or transformer, default="pca"
            How two dimensions are made of more: principal components, t-SNE, UMAP (if
            umap-learn is installed), or what has ``fit_transform``. Two are drawn as
            they are.
        sample_size : int, default=3000
            Points, evenly spaced through X where it has more.
        random_state : int, default=0
        ax : matplotlib axes, default=None

        Raises
        ------
        ImportError
            If UMAP is asked for and umap-learn is not installed.
        ValueError
            If there is no such method, or X and labels differ in length.
        """
        check_consistent_length(X, labels)
        X, labels = np.asarray(X), np.asarray(labels)
        shown = _spaced(len(labels), sample_size)
        X, labels = X[shown].reshape(len(shown), -1), labels[shown]
        reducer, name = _reducer(method, len(X), min(2, *X.shape), random_state)
        if X.shape[1] > 2:
            X = np.asarray(reducer.fit_transform(X))
        else:
            name = "dimension"
        if X.shape[1] == 1:
            X = np.column_stack([X, np.zeros(len(X))])
        return cls(X, labels, name).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw a point per row, and each cluster's number at its middle.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            By default of a new figure.

        Returns
        -------
        self : EmbeddingDisplay
        """
        (self.ax_,) = axes_of(ax, 1, 4.0)
        self.figure_ = self.ax_.figure
        for i, cluster in enumerate(np.unique(self.labels)):
            points = self.points[self.labels == cluster]
            self.ax_.scatter(
                *points.T,
                s=9,
                alpha=0.6,
                color=colour_of(cluster, i),
                marker=_MARKERS[i // len(COLOURS) % len(_MARKERS)],
                linewidths=0,
            )
            self.ax_.annotate(
                str(cluster),
                np.median(points, axis=0),
                ha="center",
                va="center",
                fontweight="bold",
                bbox={"boxstyle": "circle,pad=0.2", "fc": "white", "alpha": 0.8},
            )
        self.ax_.set(xticks=[], yticks=[], title="Embedding")
        self.ax_.set(xlabel=f"{self.method} 1", ylabel=f"{self.method} 2")
        return self


def _reducer(method, n_samples: int, n: int, random_state):
    """Return what makes `n` dimensions of more, and the name of its axes."""
    if hasattr(method, "fit_transform"):
        return method, type(method).__name__
    if method == "pca":
        return PCA(n, random_state=random_state), "principal component"
    if method == "tsne":
        few = min(30.0, max(1.0, (n_samples - 1) / 3))
        return TSNE(n, perplexity=few, random_state=random_state), "t-SNE"
    if method == "umap":
        try:
            from umap import UMAP
        except ImportError as error:
            raise ImportError("method='umap' needs the package umap-learn.") from error
        return UMAP(n_components=n, random_state=random_state), "UMAP"
    raise ValueError(
        f"method must be 'pca', 'tsne', 'umap' or a transformer; got {method!r}."
    )


class MembersDisplay:
    """The most typical and the most borderline rows of each cluster.

    Typical are those with the highest probability of their cluster, borderline those
    with the lowest.

    Parameters
    ----------
    typical, borderline : list of ndarray of shape (n_members, ...)
        Per cluster, images (height, width[, channels]) or rows of a table.
    columns : list of str, default=None
        Names of a table's columns.

    Attributes
    ----------
    axes_ : ndarray of matplotlib axes
        Two per cluster: typical, borderline.
    figure_ : matplotlib figure

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skdeepcluster import IMSAT
    >>> from skdeepcluster.plotting import MembersDisplay
    >>> X = load_wine().data
    >>> params = {"hidden_layer_sizes": (32,), "max_epochs": 60, "random_state": 0}
    >>> model = IMSAT(3, **params).fit(X)
    >>> display = MembersDisplay.from_estimator(model, X, n_members=4)
    >>> [rows.shape for rows in display.typical]
    [(4, 13), (4, 13), (4, 13)]
    """

    def __init__(self, typical, borderline, columns=None):
        self.typical = typical
        self.borderline = borderline
        self.columns = columns

    @classmethod
    def from_estimator(cls, estimator, X, *, n_members=6, image_shape=None, ax=None):
        """Draw members of the clusters of a fitted estimator.

        Parameters
        ----------
        estimator : fitted estimator with ``predict_proba``
        X : array-like, shaped as in fit
        n_members : int, default=6
            Of each kind, per cluster; fewer where a cluster is smaller.
        image_shape : tuple of int, default=None
            Draw rows as images of this shape (height, width[, channels]); by default
            what the estimator was fitted on.
        ax : array of matplotlib axes, default=None

        Raises
        ------
        ValueError
            If the estimator has no ``predict_proba``.
        """
        check_is_fitted(estimator)
        if not hasattr(estimator, "predict_proba"):
            raise ValueError(
                f"{type(estimator).__name__} has no predict_proba: use "
                "from_predictions, with what tells typical members from others."
            )
        if image_shape is None:
            image_shape = getattr(last_step(estimator), "_image_shape", None)
        proba = estimator.predict_proba(X)
        kwargs = {"n_members": n_members, "image_shape": image_shape, "ax": ax}
        if hasattr(estimator, "steps"):  # of strings, what the steps make of them
            X, kwargs["columns"] = named_numbers_of(estimator, X)
        return cls.from_predictions(X, proba, **kwargs)

    @classmethod
    def from_predictions(
        cls, X, proba, *, n_members=6, image_shape=None, columns=None, ax=None
    ):
        """Draw members by given probabilities, of shape (n_samples, n_clusters).

        Parameters
        ----------
        X : array-like, shaped as in fit
        proba : array-like of shape (n_samples, n_clusters)
        n_members, image_shape, ax
            As for `from_estimator`.
        columns : list of str, default=None
            Names of a table's columns; by default X's, where it has any.
        """
        check_consistent_length(X, proba)
        proba = np.asarray(proba)
        if image_shape is None and np.ndim(X) > 2:
            image_shape = np.shape(X)[1:]
        labels, typical, borderline = proba.argmax(1), [], []
        for cluster in range(proba.shape[1]):
            inside = np.flatnonzero(labels == cluster)
            order = inside[np.argsort(-proba[inside, cluster], kind="stable")]
            for rows, kind in (
                (order[:n_members], typical),
                (order[::-1][:n_members], borderline),
            ):
                kind.append(as_images(_safe_indexing(X, rows), image_shape))
        if columns is None:
            columns = getattr(X, "columns", None)
        columns = None if columns is None else list(columns)
        return cls(typical, borderline, columns).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw two panels per cluster: images side by side, or profiles of columns.

        Profiles are the columns in standard deviations of all drawn members from their
        mean.

        Parameters
        ----------
        ax : array of matplotlib axes, default=None
            Two per cluster; by default of a new figure.

        Returns
        -------
        self : MembersDisplay
        """
        k = len(self.typical)
        if ax is None:
            from matplotlib import pyplot

            size = (9, max(3.0, 0.8 * k))
            figure = pyplot.figure(figsize=size, layout="constrained")
            ax = figure.subplots(k, 2, squeeze=False)
        self.axes_ = axes_of(ax, 2 * k)
        self.figure_ = self.axes_[0].figure
        kinds = {"typical": self.typical, "borderline": self.borderline}
        ink = Ink.of(np.concatenate([*self.typical, *self.borderline]))
        for i, (kind, clusters) in enumerate(kinds.items()):
            column = self.axes_[i::2]
            column[0].set_title(kind, fontsize="medium")
            for cluster, (axes, rows) in enumerate(zip(column, clusters, strict=True)):
                ink.draw(axes, rows, cluster, label=str(cluster) if not i else "")
                if rows.ndim == 2:
                    axes.axhline(0, color="grey", linewidth=0.5, zorder=0)
            name_columns(column[-1], self.columns)
        return self


class InterpolationDisplay:
    """Rows that a method generates on the way from one cluster to another.

    Parameters
    ----------
    paths : ndarray of shape (n_paths, n_steps, ...)
        Images (height, width[, channels]), or rows of a table.
    names : list of str
        Of the paths.
    columns : list of str, default=None
        Names of a table's columns.

    Attributes
    ----------
    axes_ : ndarray of matplotlib axes, one per path
    figure_ : matplotlib figure

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skdeepcluster import VaDE
    >>> from skdeepcluster.plotting import InterpolationDisplay
    >>> X = load_wine().data
    >>> params = {"pretrain_max_epochs": 9, "max_epochs": 9, "random_state": 0}
    >>> model = VaDE(3, hidden_layer_sizes=(16,), n_latent=2, **params).fit(X)
    >>> InterpolationDisplay.from_estimator(model, n_steps=5).paths.shape
    (2, 5, 13)
    """

    def __init__(self, paths, names, columns=None):
        self.paths = paths
        self.names = names
        self.columns = columns

    @classmethod
    def from_estimator(
        cls, estimator, pairs=None, *, n_steps=8, random_state=None, ax=None
    ):
        """Draw a path per pair of clusters of a fitted estimator.

        Parameters
        ----------
        estimator : fitted estimator with ``interpolate``
            Of a pipeline the last step, in the units that it was fitted on.
        pairs : list of (int, int), default=None
            Clusters that paths lead from and to; by default from each to the next.
        n_steps : int, default=8
        random_state : int, RandomState instance or None, default=None
        ax : array of matplotlib axes, default=None

        Raises
        ------
        ValueError
            If the estimator generates nothing, or has only one cluster.
        """
        check_is_fitted(estimator)
        estimator = last_step(estimator)
        if not hasattr(estimator, "interpolate"):
            raise ValueError(f"{type(estimator).__name__} generates no samples.")
        if pairs is None:
            pairs = [(i, i + 1) for i in range(estimator.n_clusters_ - 1)]
        pairs = [(int(start), int(stop)) for start, stop in pairs]
        if not pairs:
            raise ValueError("A path needs two clusters.")
        paths = [
            estimator.interpolate(*pair, n_steps, random_state=random_state)[0]
            for pair in pairs
        ]
        shape = getattr(estimator, "_image_shape", None)
        paths = np.stack([as_images(path, shape) for path in paths])
        columns = getattr(estimator, "feature_names_in_", None)
        return cls(paths, [f"{a} to {b}" for a, b in pairs], columns).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw images side by side, or profiles from light to dark.

        Parameters
        ----------
        ax : array of matplotlib axes, default=None
            One per path; by default of a new figure.

        Returns
        -------
        self : InterpolationDisplay
        """
        n_paths, n_steps = self.paths.shape[:2]
        self.axes_ = axes_of(ax, n_paths, 3.0, vertical=True)
        self.figure_ = self.axes_[0].figure
        ink = Ink.of(self.paths.reshape(-1, *self.paths.shape[2:]))
        images = self.paths.ndim > 3
        for i, (axes, path) in enumerate(zip(self.axes_, self.paths, strict=True)):
            if images:
                ink.draw(axes, path, i, label=self.names[i])
            for step in range(0 if images else n_steps):
                shade = str(0.8 * (1 - step / max(1, n_steps - 1)))
                ink.draw(axes, path[[step]], i, label=self.names[i], color=shade)
        name_columns(self.axes_[-1], self.columns)
        return self


def _spaced(n: int, most: int) -> np.ndarray:
    """At most so many of n positions, evenly spaced."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(int))
