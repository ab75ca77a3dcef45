"""One picture of a clustering: the embedding, and typical members."""

from __future__ import annotations

import numpy as np
from sklearn.decomposition import PCA

# Okabe and Ito's palette, told apart by colour-blind readers too. Beyond eight
# clusters colours repeat with another marker; each cluster's number stands beside it.
COLOURS = "#0072B2 #E69F00 #009E73 #CC79A7 #56B4E9 #D55E00 #F0E442 #000000".split()
_MARKERS = "o^sDvP*X"


def plot_clusters(estimator, X, *, n_members=8, max_points=3_000, image_shape=None):
    """Draw the embedding of X and the most typical members of each cluster.

    Parameters
    ----------
    estimator : fitted deep clusterer
    X : array-like, shaped as in fit
    n_members : int, default=8
        Members per cluster: those with the highest probability.
    max_points : int, default=3000
        Points of the scatter plot, evenly spaced through X where it has more.
    image_shape : tuple of int, default=None
        Draw rows as images of this shape (height, width[, channels]); by default what
        the estimator was fitted on. Rows of tables are drawn as profiles: their
        columns in standard deviations from the mean of X.

    Returns
    -------
    figure : matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    flat = np.asarray(X, dtype=np.float32).reshape(len(X), -1)
    proba = estimator.predict_proba(X)
    labels = proba.argmax(1)
    if image_shape is None:
        image_shape = getattr(estimator, "_image_shape", None)
    k = estimator.n_clusters_
    figure = Figure(figsize=(13, max(4.5, 0.55 * k)), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.15))
    _scatter(left, estimator, X, labels, k, max_points)
    right.suptitle("Typical members: the most probable of each cluster")
    axes = right.subplots(k, n_members if image_shape else 1, squeeze=False)
    low, high = flat.min(), flat.max()
    mean, std = (0, 1) if image_shape else (flat.mean(0), flat.std(0))
    for cluster, row in enumerate(axes):
        inside = np.flatnonzero(labels == cluster)
        typical = inside[np.argsort(-proba[inside, cluster], kind="stable")][:n_members]
        row[0].set_ylabel(
            f"{cluster}", rotation=0, ha="right", va="center", fontweight="bold"
        )
        if image_shape:
            pixels = (flat[typical] - low) / ((high - low) or 1)
            _images(row, pixels, image_shape)
        else:
            z = (flat[typical] - mean) / np.where(std > 0, std, 1)
            row[0].plot(z.T, color=COLOURS[cluster % 8], alpha=0.5, linewidth=1)
            row[0].axhline(0, color="grey", linewidth=0.5, zorder=0)
            row[0].set(xticks=[], yticks=[])
    if not image_shape and flat.shape[1] <= 30:
        names = getattr(X, "columns", range(flat.shape[1]))
        axes[-1, 0].set_xticks(range(flat.shape[1]), names, rotation=45, ha="right")
    return figure


def _scatter(figure, estimator, X, labels, k, max_points):
    axes = figure.subplots()
    n = len(labels)
    shown = np.unique(np.linspace(0, n - 1, min(n, max_points)).astype(int))
    rows = X.iloc[shown] if hasattr(X, "iloc") else np.asarray(X)[shown]
    embedding = np.asarray(estimator.transform(rows))
    xy = PCA(min(2, embedding.shape[1]), random_state=0).fit_transform(embedding)
    if xy.shape[1] == 1:
        xy = np.column_stack([xy, np.zeros(len(xy))])
    for cluster in range(k):
        points = xy[labels[shown] == cluster]
        axes.scatter(
            *points.T,
            s=9,
            alpha=0.6,
            color=COLOURS[cluster % 8],
            marker=_MARKERS[cluster // 8 % 8],
            linewidths=0,
        )
        if len(points):
            axes.annotate(
                str(cluster),
                np.median(points, axis=0),
                ha="center",
                va="center",
                fontweight="bold",
                bbox={"boxstyle": "circle,pad=0.2", "fc": "white", "alpha": 0.8},
            )
    axes.set(xticks=[], yticks=[], xlabel="first principal component")
    axes.set(ylabel="second principal component", title="Embedding")


def _images(row, members, image_shape):
    """Draw members with values in [0, 1]; other channels than RGB as their mean."""
    members = members.reshape(len(members), *image_shape[:2], -1)
    if members.shape[3] != 3:
        members = members.mean(3)
    for axes in row:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for axes, member in zip(row, members, strict=False):
        axes.imshow(member, cmap="gray", vmin=0, vmax=1)
