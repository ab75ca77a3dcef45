"""Splits for searches over clusterers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.utils.validation import _num_samples


class FullData:
    """One split: all rows to fit, all rows to score.

    For ``cv=`` of scikit-learn's searches, which refuse ``cv=1``: clustering has no
    labels to overfit to, and its purpose often is the data at hand.

    Examples
    --------
    >>> from skdeepcluster.model_selection import FullData
    >>> [(fit.tolist(), score.tolist()) for fit, score in FullData().split([[1], [2]])]
    [([0, 1], [0, 1])]
    """

    def __repr__(self) -> str:
        return "FullData()"

    @staticmethod  # so the class itself serves as well
    def get_n_splits(X=None, y=None, groups=None) -> int:
        """Return 1.

        Parameters
        ----------
        X, y, groups : ignored

        Returns
        -------
        int
        """
        return 1

    @staticmethod
    def split(X, y=None, groups=None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield all rows twice.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
        y, groups : ignored

        Yields
        ------
        fit, score : ndarray of shape (n_samples,)
        """
        rows = np.arange(_num_samples(X))
        yield rows, rows.copy()
