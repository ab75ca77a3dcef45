"""Displays of the clusters that were found."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import silhouette_samples
from sklearn.metrics.cluster import contingency_matrix
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.validation import check_is_fitted

from skdeepcluster.metrics.external import matching
from skdeepcluster.metrics.scorers import labels_of, last_step
from skdeepcluster.metrics.spaces import numbers_of, reference_of
from skdeepcluster.plotting.displays import COLOURS, axes_of
from skdeepcluster.plotting.rows import Ink, colour_of, name_columns


class SilhouetteDisplay:
    """Silhouette coefficient of each row, cluster by cluster.

    A row's coefficient is near 1 where its own cluster is much nearer than the next,
    below 0 where the next one is nearer.

    Parameters
    ----------
    values : ndarray of shape (n_samples,)
        Coefficients.
    labels : ndarray of shape (n_samples,)
        Clusters.

    Attributes
    ----------
    ax_ : matplotlib axes
    figure_ : matplotlib figure

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.datasets import load_iris
    >>> from skdeepcluster.plotting import SilhouetteDisplay
    >>> X = load_iris().data
    >>> model = KMeans(3, random_state=0).fit(X)
    >>> display = SilhouetteDisplay.from_estimator(model, X)
    >>> display.values.shape
    (150,)
    """

    def __init__(self, values, labels):
        self.values = values
        self.labels = labels

    @classmethod
    def from_estimator(cls, estimator, X, *, ax=None, sample_size=2_000):
        """Draw the clusters that a fitted estimator predicts.

        Parameters
        ----------
        estimator : fitted estimator
        X : array-like, shaped as in fit
        ax : matplotlib axes, default=None
        sample_size : int, default=2000
            Rows that are looked at, evenly spaced: their distances are as many as
            squares. They are measured in the reference space of the scorers.
        """
        check_is_fitted(estimator)
        labels = labels_of(estimator, X)
        numbers = numbers_of(estimator, X)
        return cls.from_predictions(numbers, labels, ax=ax, sample_size=sample_size)

    @classmethod
    def from_predictions(cls, X, labels, *, ax=None, sample_size=2_000):
        """Draw given clusters.

        Raises
        ------
        ValueError
            If all rows are in one cluster.
        """
        check_consistent_length(X, labels)
        labels = np.asarray(labels)
        rows = np.unique(np.linspace(0, len(labels) - 1, sample_size).astype(int))
        if len(np.unique(labels[rows])) < 2:
            raise ValueError("All rows are in one cluster: there is no next one.")
        values = silhouette_samples(reference_of(X, rows), labels[rows])
        return cls(values, labels[rows]).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw one horizontal bar per row, the highest of each cluster at its top.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            By default of a new figure.

        Returns
        -------
        self : SilhouetteDisplay
        """
        (self.ax_,) = axes_of(ax, 1)
        self.figure_ = self.ax_.figure
        clusters = np.unique(self.labels)
        gap = max(1, len(self.values) // 50)
        # A number needs this height; where clusters have less, numbers take turns.
        height = (len(self.values) + gap * len(clusters)) / 15
        start, last, left = 0, -np.inf, 0
        for i, cluster in enumerate(clusters):
            values = np.sort(self.values[self.labels == cluster])
            at = np.arange(start, start + len(values))
            self.ax_.barh(at, values, height=1.0, color=colour_of(cluster, i), lw=0)
            left = (left + 1) % 4 if at.mean() - last < height else 0
            self.ax_.annotate(
                str(cluster),
                (min(0, self.values.min()), at.mean()),
                (-4 - 14 * left, 0),
                textcoords="offset points",
                ha="right",
                va="center",
            )
            last = at.mean()
            start += len(values) + gap
        mean = self.values.mean()
        label = f"mean {mean:.2f}"
        self.ax_.axvline(mean, color="black", linestyle="--", label=label)
        low, high = min(0, self.values.min()), self.values.max()
        self.ax_.set_xlim(low - 0.25 * (high - low), high + 0.05 * (high - low))
        self.ax_.set(xlabel="silhouette coefficient", ylabel="cluster", yticks=[])
        self.ax_.legend(frameon=False, fontsize="small")
        return self


class ClusterSizesDisplay:
    """How many rows each cluster has, and how sure they are.

    Parameters
    ----------
    sizes : ndarray of shape (n_clusters,)
    confidence : ndarray of shape (n_clusters,), default=None
        Mean probability of the rows' own cluster.
    names : ndarray of shape (n_clusters,), default=None
        Of the clusters; by default their numbers.

    Attributes
    ----------
    ax_ : matplotlib axes
    figure_ : matplotlib figure

    Examples
    --------
    >>> from skdeepcluster.plotting import ClusterSizesDisplay
    >>> display = ClusterSizesDisplay.from_predictions([0, 1, 1, 2])
    >>> display.sizes.tolist()
    [1, 2, 1]
    """

    def __init__(self, sizes, confidence=None, names=None):
        self.sizes = sizes
        self.confidence = confidence
        self.names = np.arange(len(sizes)) if names is None else names

    @classmethod
    def from_estimator(cls, estimator, X, *, ax=None):
        """Draw the clusters that a fitted estimator predicts, with probabilities."""
        check_is_fitted(estimator)
        if not hasattr(estimator, "predict_proba"):
            return cls.from_predictions(labels_of(estimator, X), ax=ax)
        return cls.from_predictions(estimator.predict_proba(X), ax=ax)

    @classmethod
    def from_predictions(cls, predicted, *, ax=None):
        """Draw labels (n_samples,) or probabilities (n_samples, n_clusters)."""
        predicted = np.asarray(predicted)
        if predicted.ndim == 1:
            names, sizes = np.unique(predicted, return_counts=True)
            return cls(sizes, names=names).plot(ax=ax)
        sizes = np.bincount(predicted.argmax(1), minlength=predicted.shape[1])
        sums = np.bincount(predicted.argmax(1), predicted.max(1), len(sizes))
        return cls(sizes, sums / np.maximum(sizes, 1)).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw a bar per cluster; in it, the part that its confidence is of it.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            By default of a new figure.

        Returns
        -------
        self : ClusterSizesDisplay
        """
        (self.ax_,) = axes_of(ax, 1)
        self.figure_ = self.ax_.figure
        clusters = np.arange(len(self.sizes))
        self.ax_.bar(clusters, self.sizes, color=COLOURS[4], label="rows")
        if self.confidence is not None:
            sure = self.sizes * self.confidence
            self.ax_.bar(clusters, sure, 0.5, color=COLOURS[0], label="sum of p")
            # Room for the legend above the bars.
            self.ax_.set_ylim(0, 1.2 * self.sizes.max())
            self.ax_.legend(frameon=False, fontsize="small", loc="upper left", ncols=2)
        self.ax_.set(xlabel="cluster", ylabel="rows")
        self.ax_.set_xticks(clusters, self.names)
        return self


class ClusterConfusionDisplay:
    """Known classes against clusters, which are put in the order of their classes.

    Parameters
    ----------
    matrix : ndarray of shape (n_classes, n_clusters)
        Rows of each class in each cluster.
    classes, clusters : ndarray
        Their names.

    Attributes
    ----------
    ax_ : matplotlib axes
    figure_ : matplotlib figure

    Examples
    --------
    >>> from skdeepcluster.plotting import ClusterConfusionDisplay
    >>> display = ClusterConfusionDisplay.from_predictions("aabb", [1, 1, 0, 1])
    >>> display.matrix.tolist(), display.clusters.tolist()
    ([[2, 0], [1, 1]], [1, 0])
    """

    def __init__(self, matrix, classes, clusters):
        self.matrix = matrix
        self.classes = classes
        self.clusters = clusters

    @classmethod
    def from_estimator(cls, estimator, X, y, *, ax=None):
        """Draw the clusters that a fitted estimator predicts against classes y."""
        check_is_fitted(estimator)
        return cls.from_predictions(y, labels_of(estimator, X), ax=ax)

    @classmethod
    def from_predictions(cls, y, labels, *, ax=None):
        """Draw given clusters against classes y."""
        if isinstance(y, str):
            y = list(y)
        y, labels = (column_or_1d(np.asarray(values)) for values in (y, labels))
        check_consistent_length(y, labels)
        matrix = contingency_matrix(y, labels)
        classes, clusters = np.unique(y), np.unique(labels)
        matched = dict(zip(*matching(matrix)[::-1], strict=True))
        order = sorted(range(len(clusters)), key=lambda j: matched.get(j, len(classes)))
        return cls(matrix[:, order], classes, clusters[order]).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw the matrix, with its numbers.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            By default of a new figure.

        Returns
        -------
        self : ClusterConfusionDisplay
        """
        n_classes, n_clusters = self.matrix.shape
        width = max(4, 1 + 0.4 * n_clusters)
        (self.ax_,) = axes_of(ax, 1, 1 + 0.45 * n_classes, width=width)
        self.figure_ = self.ax_.figure
        self.ax_.imshow(self.matrix, cmap="Blues", aspect="auto")
        half = self.matrix.max() / 2
        for (i, j), n in np.ndenumerate(self.matrix):
            colour = "white" if n > half else "black"
            self.ax_.text(j, i, n, ha="center", va="center", color=colour, fontsize=7)
        self.ax_.set_xticks(range(len(self.clusters)), self.clusters)
        self.ax_.set_yticks(range(len(self.classes)), self.classes)
        self.ax_.set(xlabel="cluster", ylabel="class")
        return self


class SamplesDisplay:
    """Generated rows of each cluster, for methods that generate.

    Parameters
    ----------
    samples : ndarray of shape (n_clusters, n_samples, ...)
        Images (height, width[, channels]), or rows of a table.
    columns : list of str, default=None
        Names of a table's columns.

    Attributes
    ----------
    axes_ : ndarray of matplotlib axes, one per cluster
    figure_ : matplotlib figure

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skdeepcluster import VaDE
    >>> from skdeepcluster.plotting import SamplesDisplay
    >>> X = load_wine().data
    >>> params = {"pretrain_max_epochs": 9, "max_epochs": 9, "random_state": 0}
    >>> model = VaDE(3, hidden_layer_sizes=(16,), n_latent=2, **params).fit(X)
    >>> SamplesDisplay.from_estimator(model, 5).samples.shape
    (3, 5, 13)
    """

    def __init__(self, samples, columns=None):
        self.samples = samples
        self.columns = columns

    @classmethod
    def from_estimator(cls, estimator, n_samples=8, *, ax=None, random_state=None):
        """Draw as many samples of each cluster of a fitted estimator.

        Of a pipeline the last step generates, in the units that it was fitted on.

        Raises
        ------
        ValueError
            If the estimator generates nothing.
        """
        check_is_fitted(estimator)
        estimator = last_step(estimator)
        if not hasattr(estimator, "sample"):
            raise ValueError(f"{type(estimator).__name__} generates no samples.")
        samples = np.stack(
            [
                estimator.sample(n_samples, cluster, random_state)[0]
                for cluster in range(estimator.n_clusters_)
            ]
        )
        shape = getattr(estimator, "_image_shape", None)
        if shape and samples.ndim == 3:  # images that were given as rows
            samples = samples.reshape(*samples.shape[:2], *shape)
        return cls(samples, getattr(estimator, "feature_names_in_", None)).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw one row of pictures, or one set of profiles, per cluster.

        Profiles are the columns in standard deviations of all samples from their mean.

        Parameters
        ----------
        ax : array of matplotlib axes, default=None
            One per cluster; by default of a new figure.

        Returns
        -------
        self : SamplesDisplay
        """
        k, n = self.samples.shape[:2]
        self.axes_ = axes_of(ax, k, 4.0, vertical=True)
        self.figure_ = self.axes_[0].figure
        ink = Ink.of(self.samples.reshape(-1, *self.samples.shape[2:]))
        for cluster, (axes, rows) in enumerate(
            zip(self.axes_, self.samples, strict=True)
        ):
            ink.draw(axes, rows, cluster)
        name_columns(self.axes_[-1], self.columns)
        if ax is None:  # the title of a given figure is its owner's
            title = f"{n} samples of each cluster"
            self.figure_.suptitle(title, fontsize="medium")
        return self
