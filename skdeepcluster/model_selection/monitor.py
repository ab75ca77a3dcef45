"""Scores amid a training, without labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from numbers import Integral

from skdeepcluster.model_selection.compare import scorers_of

try:
    from sklearn.callback import ScoringMonitor
except ImportError:  # scikit-learn < 1.9 has no callbacks

    class ScoringMonitor:  # type: ignore[no-redef]
        """Stands in for scikit-learn's."""

        def __init__(self, *, scoring):
            raise ImportError("UnsupervisedMonitor needs scikit-learn 1.9 or later.")


class _WithoutLabels:
    """A scorer ``scorer(estimator, X)``, called with y."""

    def __init__(self, scorer: Callable):
        self.scorer = scorer

    def __call__(self, estimator, X, y=None):
        return self.scorer(estimator, X)


class UnsupervisedMonitor(ScoringMonitor):
    """Callback of scikit-learn that scores each epoch on the training data.

    scikit-learn's own ``ScoringMonitor`` records nothing where `fit` is given no y. Of
    several fits (`n_init`), which are one task without epochs, nothing is recorded.

    Parameters
    ----------
    scoring : list of str, or dict of str to callable, default=("silhouette",)
        Names of :func:`skdeepcluster.metrics.get_scorer`, or own scorers
        ``scorer(estimator, X)``.
    every : int, default=1
        Score one epoch of so many: a score may take longer than an epoch.

    Raises
    ------
    ImportError
        If scikit-learn has no callbacks.
    ValueError
        If there is no scorer of a name, or `every` is not positive.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skdeepcluster import IMSAT
    >>> from skdeepcluster.model_selection import UnsupervisedMonitor
    >>> monitor = UnsupervisedMonitor(["silhouette", "information"])
    >>> model = IMSAT(3, hidden_layer_sizes=(32,), max_epochs=4, random_state=0)
    >>> model = model.set_callbacks(monitor).fit(load_wine().data)
    >>> [[*row][-2:] for row in monitor.get_logs().data][:1]
    [['silhouette', 'information']]
    >>> len(monitor.get_logs().data)
    4
    """

    def __init__(
        self,
        scoring: Iterable[str] | Mapping[str, Callable] = ("silhouette",),
        *,
        every: int = 1,
    ):
        if not isinstance(every, Integral) or every < 1:
            raise ValueError(f"every must be a positive integer; got {every!r}.")
        self.every = every
        scorers = scorers_of(scoring).items()
        super().__init__(scoring={name: _WithoutLabels(one) for name, one in scorers})

    def on_fit_task_end(
        self,
        estimator,
        context,
        *,
        X=None,
        y=None,
        fitted_estimator=None,
        metadata=None,
    ):
        """Score, if it is this epoch's turn."""
        if context.task_id % self.every:
            return
        super().on_fit_task_end(
            estimator,
            context,
            X=X,
            # Without any y nothing would be recorded; the scorers do not get it.
            y=() if y is None else y,
            fitted_estimator=fitted_estimator,
            metadata=metadata,
        )
