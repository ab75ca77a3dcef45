"""Displays in scikit-learn's manner."""

from __future__ import annotations

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skdeepcluster.metrics.scorers import last_step
from skdeepcluster.model_selection import estimate_n_clusters

# Okabe and Ito's palette, told apart by colour-blind readers too.
COLOURS = "#0072B2 #E69F00 #009E73 #CC79A7 #56B4E9 #D55E00 #F0E442 #000000".split()

# Quantities of a history that are no losses.
_NO_LOSS = {"step", "epoch", "phase", "dur", "changed", "clusters", "fake_accuracy"}


class TrainingCurvesDisplay:
    """What a training has followed, over its steps, phase by phase: its losses.

    Parameters
    ----------
    history : dict of ndarray of shape (n_epochs,)
        The estimator's ``history_``.

    Attributes
    ----------
    axes_ : ndarray of matplotlib axes, one per phase
    figure_ : matplotlib figure

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skdeepcluster import IMSAT
    >>> from skdeepcluster.plotting import TrainingCurvesDisplay
    >>> X = load_wine().data
    >>> model = IMSAT(3, hidden_layer_sizes=(32,), max_epochs=9, random_state=0).fit(X)
    >>> display = TrainingCurvesDisplay.from_estimator(model)
    >>> [axes.get_title() for axes in display.axes_]
    ['fit']
    """

    def __init__(self, history):
        self.history = history

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, names=None):
        """Draw the history of a fitted estimator, or of a pipeline's last step.

        Parameters
        ----------
        estimator : fitted estimator
        ax, names
            See `plot`.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        """
        check_is_fitted(estimator)
        return cls(last_step(estimator).history_).plot(ax=ax, names=names)

    def plot(self, *, ax=None, names=None):
        """Draw one panel per phase.

        Parameters
        ----------
        ax : matplotlib axes or array of them, default=None
            One per phase; by default a new figure.
        names : list of str, default=None
            Quantities to draw; by default all losses that a phase has, and what else
            is in nats, such as a bound, which rises. Those of other sizes share an
            axis: each is drawn as it is.

        Returns
        -------
        self : TrainingCurvesDisplay

        Raises
        ------
        ValueError
            If the history is empty, has no such quantity, or there are fewer axes than
            phases.
        """
        phases = list(dict.fromkeys(self.history.get("phase", [])))
        if not phases:
            raise ValueError("The history is empty: nothing has been trained.")
        unknown = sorted(set(names or ()) - set(self.history))
        if unknown:
            raise ValueError(f"The history has no {unknown}; it has {[*self.history]}.")
        self.axes_ = axes_of(ax, len(phases))
        self.figure_ = self.axes_[0].figure
        steps = np.asarray(self.history["step"])
        for axes, phase in zip(self.axes_, phases, strict=True):
            inside = np.asarray(self.history["phase"]) == phase
            for name in names or self._losses(inside):
                values = np.asarray(self.history[name])[inside]
                i = len(axes.lines)
                style = ("-", "--", ":")[i // len(COLOURS) % 3]
                colour = COLOURS[i % len(COLOURS)]
                marker = "o" if len(values) == 1 else None
                axes.plot(
                    steps[inside],
                    values,
                    style,
                    marker=marker,
                    color=colour,
                    label=name,
                )
            axes.set(xlabel="step", title=str(phase))
            axes.legend(frameon=False, fontsize="small")
        self.axes_[0].set_ylabel("loss")
        return self

    def _losses(self, inside):
        """Quantities that a phase has."""
        return [
            name
            for name, values in self.history.items()
            if name not in _NO_LOSS and not np.isnan(np.asarray(values)[inside]).all()
        ]


class NumberOfClustersDisplay:
    """Scores over the number of clusters, and the number that is best by their ranks.

    Parameters
    ----------
    table : pandas.DataFrame
        As :func:`skdeepcluster.model_selection.estimate_n_clusters` returns it.

    Attributes
    ----------
    axes_ : ndarray of matplotlib axes, one per score
    figure_ : matplotlib figure
    n_clusters_ : int
        The number with the lowest rank.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster.plotting import NumberOfClustersDisplay
    >>> X, _ = make_blobs(150, centers=4, cluster_std=0.5, random_state=0)
    >>> display = NumberOfClustersDisplay.from_estimator(KMeans(random_state=0), X)
    >>> display.n_clusters_
    4
    """

    def __init__(self, table):
        self.table = table

    @classmethod
    def from_estimator(
        cls, estimator, X, n_clusters=range(2, 11), *, ax=None, **kwargs
    ):
        """Fit with each number of clusters, and draw.

        Parameters
        ----------
        estimator, X, n_clusters, **kwargs
            As for :func:`skdeepcluster.model_selection.estimate_n_clusters`.
        ax : matplotlib axes or array of them, default=None
            One per score; by default a new figure.
        """
        return cls(estimate_n_clusters(estimator, X, n_clusters, **kwargs)).plot(ax=ax)

    @classmethod
    def from_predictions(cls, table, *, ax=None):
        """Draw a table that has been made before.

        Raises
        ------
        TypeError
            If it is no such table.
        """
        index = getattr(getattr(table, "index", None), "name", None)
        if index != "n_clusters_asked":
            raise TypeError(
                "table must be what estimate_n_clusters returns; got "
                f"{type(table).__name__}."
            )
        return cls(table).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw one panel per score.

        Parameters
        ----------
        ax : matplotlib axes or array of them, default=None
            One per score; by default a new figure.

        Returns
        -------
        self : NumberOfClustersDisplay

        Raises
        ------
        ValueError
            If there are fewer axes than scores.
        """
        others = {"rank", "n_clusters", "seconds", "estimator"}
        scores = [name for name in self.table if name not in others]
        self.n_clusters_ = int(self.table["rank"].idxmin())
        self.axes_ = axes_of(ax, len(scores))
        self.figure_ = self.axes_[0].figure
        ordered = self.table.sort_index()
        for axes, name in zip(self.axes_, scores, strict=True):
            axes.plot(ordered.index, ordered[name], "o-", color=COLOURS[0])
            axes.axvline(
                self.n_clusters_, color=COLOURS[1], linestyle="--", label="lowest rank"
            )
            axes.set(xlabel="number of clusters", title=name)
            axes.xaxis.get_major_locator().set_params(integer=True)
        self.axes_[0].set_ylabel("score (higher is better)")
        self.axes_[-1].legend(frameon=False, fontsize="small")
        return self


def axes_of(
    ax, n: int, height: float = 3.2, vertical: bool = False, width: float = 4
) -> np.ndarray:
    """Return `n` axes: those given, or of a new figure, beside or below each other."""
    if ax is None:
        from matplotlib import pyplot

        size: tuple[float, float]
        if vertical:
            size, shape = (6, max(height, 0.7 * n)), (n, 1)
        else:
            size, shape = (width * n, max(height, 3.2)), (1, n)
        figure = pyplot.figure(figsize=size, layout="constrained")
        return figure.subplots(*shape, squeeze=False).ravel()
    given = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if len(given) < n:
        raise ValueError(f"ax holds {len(given)} axes, {n} are needed.")
    return given[:n]
