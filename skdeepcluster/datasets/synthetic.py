"""Synthetic data of the papers: points in the plane, and marked images."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_array, check_random_state, shuffle
from sklearn.utils._param_validation import Interval, validate_params

_POINTS = {
    "n_samples": [Interval(Integral, 1, None, closed="left")],
    "n_clusters": [Interval(Integral, 1, None, closed="left")],
    "random_state": ["random_state"],
}


def _sizes(n_samples: int, n_clusters: int) -> np.ndarray:
    """Labels of clusters whose sizes differ by at most one."""
    return np.arange(n_samples) % n_clusters


@validate_params(
    {
        **_POINTS,
        "radius": [Interval(Real, 0, None, closed="left")],
        "std": [Interval(Real, 0, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def make_ring_of_gaussians(
    n_samples=10_000, *, n_clusters=8, radius=2**0.5, std=0.014, random_state=None
):
    r"""Draw points of isotropic Gaussians whose centres lie on a circle.

    The centre of cluster :math:`k` of :math:`K` is
    :math:`r(\cos\frac{2\pi k}K,\sin\frac{2\pi k}K)`. The defaults are the data of
    [1]_, section IV-B: centres (1.414, 0), (1, 1), (0, 1.414), ..., (1, -1).

    Parameters
    ----------
    n_samples : int, default=10000
        Divided among the clusters, whose sizes differ by at most one.
    n_clusters : int, default=8
    radius : float, default=sqrt(2)
        Distance of the centres from the origin.
    std : float, default=0.014
        Standard deviation of each coordinate.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    X : ndarray of shape (n_samples, 2)
        In random order.
    y : ndarray of shape (n_samples,)
        The Gaussian of each point, counted from the first axis to the left.

    References
    ----------
    .. [1] Y. Gan, X. Dong, H. Zhou, F. Gao, J. Dong, "Learning the Precise Feature for
       Cluster Assignment", IEEE Transactions on Cybernetics, 2021.

    Examples
    --------
    >>> from skdeepcluster.datasets import make_ring_of_gaussians
    >>> X, y = make_ring_of_gaussians(800, random_state=0)
    >>> X[y == 1].mean(0).round(1).tolist()
    [1.0, 1.0]
    """
    rng = check_random_state(random_state)
    y = shuffle(_sizes(n_samples, n_clusters), random_state=rng)
    angle = 2 * np.pi * y / n_clusters
    centers = radius * np.column_stack([np.cos(angle), np.sin(angle)])
    return centers + std * rng.standard_normal(centers.shape), y


@validate_params(
    {**_POINTS, "noise": [Interval(Real, 0, None, closed="left")]},
    prefer_skip_nested_validation=True,
)
def make_arcs(n_samples=10_000, *, n_clusters=5, noise=0.05, random_state=None):
    r"""Draw points of arcs of circles that turn out of a common middle.

    All circles have radius 1 and run through the origin; the centre of circle
    :math:`k` of :math:`K` is :math:`u_k=(\cos\frac{2\pi k}K,\sin\frac{2\pi k}K)`. With
    :math:`R_t`, the rotation by :math:`t`, its points are

    .. math:: u_k-R_t\,u_k,\qquad t\sim\mathcal U[\tfrac\pi4,\tfrac{5\pi}4]

    so that each arc is half a circle that does not reach the origin.

    Parameters
    ----------
    n_samples : int, default=10000
        Divided among the arcs, whose sizes differ by at most one.
    n_clusters : int, default=5
    noise : float, default=0.05
        Standard deviation of what is added to each coordinate.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    X : ndarray of shape (n_samples, 2)
        In random order.
    y : ndarray of shape (n_samples,)
        The arc of each point.

    Notes
    -----
    Toy data of this kind, "10000 points from the arcs of 5 circles", are used by [1]_
    and [2]_, which say nothing else of it. Where the circles lie, how long the arcs
    are and the noise are choices of this function.

    References
    ----------
    .. [1] V. Prasad, D. Das, B. Bhowmick, "Variational Clustering: Leveraging
       Variational Autoencoders for Image Clustering", IJCNN 2020.
    .. [2] N. Dilokthanakul et al., "Deep Unsupervised Clustering with Gaussian Mixture
       Variational Autoencoders", 2016.

    Examples
    --------
    >>> from skdeepcluster.datasets import make_arcs
    >>> X, y = make_arcs(1_000, random_state=0)
    >>> X.shape, len(set(y))
    ((1000, 2), 5)
    """
    rng = check_random_state(random_state)
    y = shuffle(_sizes(n_samples, n_clusters), random_state=rng)
    start = 2 * np.pi * y / n_clusters
    turned = start + rng.uniform(np.pi / 4, 5 * np.pi / 4, n_samples)
    X = np.column_stack(
        [np.cos(start) - np.cos(turned), np.sin(start) - np.sin(turned)]
    )
    return X + noise * rng.standard_normal(X.shape), y


def mark_first_pixel(images, values=(0.1, 0.5, 0.9), *, random_state=None):
    """Set the first pixel of each image to one of a few values, all equally likely.

    The mark is independent of what the image shows and next to invisible. A method that
    is asked for as many clusters as there are values can find it only if it looks for
    a feature with exactly so many values [1]_ (section IV-D, Artifact-MNIST).

    Parameters
    ----------
    images : array-like of shape (n_samples, height, width), \
(n_samples, height, width, channels) or (n_samples, n_pixels)
        All channels of the first pixel are set; in rows, the first column.
    values : sequence of float, default=(0.1, 0.5, 0.9)
        As shares of the range of pixels: for integers from 0 to the type's greatest
        (uint8: 255), rounded to the nearest (25.5 to 26), for floating point numbers
        from the least to the greatest in `images`.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    marked : ndarray of the shape and type of `images`
        A copy.
    marks : ndarray of shape (n_samples,)
        Index in `values` of each image's mark.

    Raises
    ------
    ValueError
        If `images` is no array of images or rows of numbers, or a value is not between
        0 and 1.

    References
    ----------
    .. [1] Y. Gan, X. Dong, H. Zhou, F. Gao, J. Dong, "Learning the Precise Feature for
       Cluster Assignment", IEEE Transactions on Cybernetics, 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from skdeepcluster.datasets import mark_first_pixel
    >>> images = np.zeros((100, 4, 4), dtype=np.uint8)
    >>> marked, marks = mark_first_pixel(images, random_state=0)
    >>> np.unique(marked).tolist(), np.unique(marks).tolist()
    ([0, 26, 128, 230], [0, 1, 2])
    """
    marked = check_array(images, dtype="numeric", allow_nd=True, copy=True)
    if marked.ndim > 4:
        raise ValueError(f"images must have 2 to 4 dimensions; got {marked.ndim}.")
    shares = np.asarray(values, dtype=float)
    if shares.ndim != 1 or not ((shares >= 0) & (shares <= 1)).all() or not len(shares):
        raise ValueError(f"values must be shares between 0 and 1; got {values!r}.")
    low, high = 0.0, 1.0
    if marked.dtype.kind in "iu":
        high = float(np.iinfo(marked.dtype).max)
    elif marked.dtype.kind == "f":
        low, high = float(marked.min()), float(marked.max())
    pixels = low + shares * (high - low)
    if marked.dtype.kind in "iu":
        pixels = np.rint(pixels)
    marks = check_random_state(random_state).randint(len(shares), size=len(marked))
    first = marked[(slice(None),) + (0,) * min(2, marked.ndim - 1)]
    first[...] = pixels[marks].reshape(-1, *[1] * (first.ndim - 1))
    return marked, marks
