"""Rows of a labelled set that leave its classes with chosen sizes."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils._param_validation import Interval, validate_params


def take_per_class(y, sizes, *, random_state=None) -> np.ndarray:
    """Choose random rows so that each class has the size that is asked for.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Classes.
    sizes : int, float or dict
        An integer is a number of rows, a float a share of the class between 0 and 1
        (rounded to the nearest number of rows); either for all classes. A dict says it
        for the classes that it names, and the others are kept whole.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    rows : ndarray of int
        Rows that are kept, in ascending order.

    Raises
    ------
    ValueError
        If a class that is named is not in `y` or has fewer rows than asked for, or a
        size is neither a number of rows nor a share.

    See Also
    --------
    retention_rates : Shares that rise linearly from class to class.

    Notes
    -----
    Imbalanced sets of the papers: ``{0: 0.1}`` and ``{1: 0.1, 3: 0.3, 5: 0.5}``
    (SIMI-ClusterGAN, table VI, on MNIST), ``{0: 0.9, 1: 0.9, 2: 0.9}`` for a drop of
    10 % (augmented GAN, table V, on CIFAR-10), and ``700`` (UDC's USPS700).

    Examples
    --------
    >>> import numpy as np
    >>> from skdeepcluster.datasets import take_per_class
    >>> y = np.repeat([0, 1, 2], 10)
    >>> np.bincount(y[take_per_class(y, {0: 0.3, 2: 5}, random_state=0)]).tolist()
    [3, 10, 5]
    """
    y = column_or_1d(y)
    classes, codes = np.unique(y, return_inverse=True)
    if not isinstance(sizes, Mapping):
        sizes = dict.fromkeys(classes, sizes)
    unknown = [name for name in sizes if name not in classes]
    if unknown:
        raise ValueError(f"sizes names classes that y does not have: {unknown}.")
    rng = check_random_state(random_state)
    kept = []
    for code, name in enumerate(classes):
        rows = np.flatnonzero(codes == code)
        if name in sizes:
            n = _rows_of(sizes[name], len(rows), name)
            rows = rng.choice(rows, n, replace=False)
        kept.append(rows)
    return np.sort(np.concatenate(kept))


def _rows_of(size, n: int, name) -> int:
    """Rows that `size` stands for, of a class of n."""
    if isinstance(size, Integral) and not isinstance(size, bool | np.bool_):
        if 0 <= int(size) <= n:
            return int(size)
        raise ValueError(f"{size} rows of class {name!r} were asked for; it has {n}.")
    if isinstance(size, Real) and not isinstance(size, Integral):
        if 0 <= float(size) <= 1:
            return round(float(size) * n)
    raise ValueError(
        f"the size of class {name!r} must be a number of rows or a share between 0.0 "
        f"and 1.0; got {size!r}."
    )


@validate_params(
    {"y": ["array-like"], "r_min": [Interval(Real, 0, 1, closed="both")]},
    prefer_skip_nested_validation=True,
)
def retention_rates(y, r_min) -> dict:
    r"""Shares that rise linearly from the first class to the last.

    Class :math:`k` of :math:`0,\dots,K-1` gets
    :math:`r_{min}+(1-r_{min})\frac k{K-1}`, so that balanced classes end up with sizes
    of ratio :math:`r_{min}`. To be given to :func:`take_per_class`.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Classes; their order is that of ``np.unique``.
    r_min : float
        Share of the first class, between 0 and 1.

    Returns
    -------
    dict
        Of each class, its share.

    Notes
    -----
    The imbalanced MNIST of DEC (Xie, Girshick, Farhadi 2016) and of Variational
    Clustering (Prasad et al. 2020, table IV), where each row is kept with this
    probability; `take_per_class` keeps this share of the rows exactly.

    Examples
    --------
    >>> import numpy as np
    >>> from skdeepcluster.datasets import retention_rates, take_per_class
    >>> y = np.repeat([0, 1, 2], 100)
    >>> rows = take_per_class(y, retention_rates(y, 0.1), random_state=0)
    >>> np.bincount(y[rows]).tolist()
    [10, 55, 100]
    """
    classes = np.unique(column_or_1d(y))
    rates = np.linspace(r_min, 1, len(classes)) if len(classes) > 1 else [float(r_min)]
    return {name: float(rate) for name, rate in zip(classes, rates, strict=True)}
