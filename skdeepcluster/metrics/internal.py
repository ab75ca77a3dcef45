"""Scores that need no labels."""

from __future__ import annotations

import numpy as np
from scipy.special import entr
from sklearn.utils import check_array


def cluster_information(probabilities) -> float:
    r"""Mutual information between samples and clusters, in nats.

    .. math:: I(x;c)=H\big(\mathbb E_x p(c\mid x)\big)-\mathbb E_x H\big(p(c\mid x)\big)

    High where every sample has one sure cluster and the clusters are of similar size.

    Parameters
    ----------
    probabilities : array-like of shape (n_samples, n_clusters)
        Rows that sum to one, such as the output of ``predict_proba``.

    Returns
    -------
    float
        Between 0 and ``log(n_clusters)``.

    Raises
    ------
    ValueError
        If an entry is negative or not finite.

    Examples
    --------
    >>> from skdeepcluster.metrics import cluster_information
    >>> round(cluster_information([[1, 0], [0, 1]]), 4)
    0.6931
    """
    p = check_array(
        probabilities, dtype=[np.float64, np.float32], ensure_non_negative=True
    )
    marginal = p.mean(0, dtype=np.float64)
    conditional = entr(p).sum(1).mean(dtype=np.float64)
    return float(entr(marginal).sum() - conditional)
