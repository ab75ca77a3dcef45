"""One picture of a clustering: the embedding, and typical members."""

from __future__ import annotations

from skdeepcluster.metrics.scorers import last_step
from skdeepcluster.plotting.members import EmbeddingDisplay, MembersDisplay


def plot_clusters(estimator, X, *, n_members=8, max_points=3_000, image_shape=None):
    """Draw the embedding of X, and typical and borderline members of each cluster.

    Parameters
    ----------
    estimator : fitted estimator
        With ``transform`` and ``predict_proba``, such as every deep clusterer, or a
        pipeline that ends with one.
    X : array-like, shaped as in fit
    n_members : int, default=8
        Members of each kind per cluster: those with the highest probability, and those
        with the lowest.
    max_points : int, default=3000
        Points of the scatter plot, evenly spaced through X where it has more.
    image_shape : tuple of int, default=None
        Draw rows as images of this shape (height, width[, channels]); by default what
        the estimator was fitted on. Rows of tables are drawn as profiles: their
        columns in standard deviations from the mean.

    Returns
    -------
    figure : matplotlib.figure.Figure

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If it has no ``transform`` or no ``predict_proba``.
    """
    from matplotlib.figure import Figure

    k = getattr(last_step(estimator), "n_clusters_", 8)
    figure = Figure(figsize=(14, max(4.5, 0.6 * k)), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.4))
    EmbeddingDisplay.from_estimator(
        estimator, X, sample_size=max_points, ax=left.subplots()
    )
    MembersDisplay.from_estimator(
        estimator,
        X,
        n_members=n_members,
        image_shape=image_shape,
        ax=right.subplots(k, 2, squeeze=False),
    )
    return figure
