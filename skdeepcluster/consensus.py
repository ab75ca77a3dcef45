"""One clustering from several."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

# More rounds than it takes to settle, however many clusterings.
_MOST_ROUNDS = 100


def most_agreed(labelings: Sequence[np.ndarray]) -> int:
    """Position of the labels that agree most with the others, by adjusted Rand index.

    The first one where several do, or there are two.
    """
    n = len(labelings)
    agreement = np.zeros((n, n))
    for i in range(n):
        for j in range(i):
            pair = labelings[i], labelings[j]
            # All in one cluster agree with each other, which says nothing.
            rand = adjusted_rand_score(*pair) if np.ptp(pair, axis=1).any() else 0
            agreement[i, j] = agreement[j, i] = rand
    return int(agreement.sum(1).argmax())


def align(proba: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Order of the columns in which they match those of others best.

    Parameters
    ----------
    proba, to : ndarray of shape (n_samples, n_clusters)

    Returns
    -------
    order : ndarray of shape (n_clusters,)
        ``proba[:, order]`` is the one that has most in common with `to` (Hungarian).
    """
    return linear_sum_assignment(-(to.T @ proba))[1]


def consensus(
    probas: Sequence[np.ndarray], first: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    r"""Let clusterings vote, whose clusters are matched with each other.

    .. math:: \bar p=\frac1{R+1}\Big(\sum_r v_r\Pi_r+\frac1R\sum_r p_r\Pi_r\Big),
        \qquad\Pi_r=\arg\max_\Pi\ \mathrm{tr}\,\Big(\sum_sv_s\Pi_s\Big)^\top v_r\Pi

    with :math:`v_r`, the one-hot labels of :math:`p_r`, and permutations :math:`\Pi`.
    Each clustering has one vote, however sure it is of itself, and the mean of their
    probabilities one more, which decides where votes are equal. Each is matched to the
    votes of all, which are counted again, until no cluster changes its place.

    Parameters
    ----------
    probas : sequence of ndarray of shape (n_samples, n_clusters)
        Probabilities.
    first : int
        The clustering that the others are matched to at first.

    Returns
    -------
    mean : ndarray of shape (n_samples, n_clusters)
        Rows sum to one.
    orders : list of ndarray of shape (n_clusters,)
        Of each clustering's columns; that of the `first` one is left as it is.
    """
    own = np.arange(probas[first].shape[1])
    orders: list[np.ndarray] = []
    votes = [as_votes(p) for p in probas]
    count = votes[first]
    for _ in range(_MOST_ROUNDS):
        before = orders
        orders = [own if i == first else align(v, count) for i, v in enumerate(votes)]
        if before and np.array_equal(orders, before):
            break
        ordered = [v[:, o] for v, o in zip(votes, orders, strict=True)]
        count = sum(ordered, np.zeros_like(count))
    matched = [p[:, o] for p, o in zip(probas, orders, strict=True)]
    return voted(matched), orders


def as_votes(proba: np.ndarray) -> np.ndarray:
    """One-hot labels, in the type of the probabilities."""
    return (proba.argmax(1)[:, None] == np.arange(proba.shape[1])).astype(proba.dtype)


def voted(matched: Sequence[np.ndarray]) -> np.ndarray:
    """Probabilities of clusterings that are matched with each other."""
    n = len(matched)
    total = sum((as_votes(p) + p / n for p in matched), np.zeros_like(matched[0]))
    return total / (n + 1)
