"""Several fits from independent seeds: the best of them, or their consensus."""

from __future__ import annotations

import contextlib
import copy
import functools
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_random_state

from skdeepcluster.consensus import consensus, most_agreed, voted
from skdeepcluster.engine import (
    SIDE_BY_SIDE,
    in_training,
    one_training_at_a_time,
    seeded,
    side_by_side,
)

if TYPE_CHECKING:
    from skdeepcluster.base import DeepClusterer

# Fits that share a GPU at most; each has a copy of the data.
_AT_ONCE = 8

# What scikit-learn's callbacks keep in an estimator; not for its copies.
_OF_CALLBACKS = ["_skl_callbacks", "_skl_callbacks_to_teardown", "_callback_fit_ctx"]
_OF_CALLBACKS += ["_parent_callback_ctx"]

# Stands for no probability, where a logarithm is taken.
_TINY = np.finfo(np.float32).tiny


def fit_several(estimator: DeepClusterer, X, y) -> str:
    """Fit copies from independent seeds; become the best one, or their consensus.

    Returns what is to be warned of.
    """
    device, first = estimator._device(), estimator._seed()
    seeds = check_random_state(first).randint(2**31 - 1, size=estimator.n_init)
    with one_training_at_a_time(), seeded(first, device):
        estimator._accept(X)
    at_once = device.type in SIDE_BY_SIDE and not in_training()
    copies = [
        copy_for_fit(estimator, i, int(seed), at_once) for i, seed in enumerate(seeds)
    ]
    if hasattr(estimator, "_init_callback_context"):
        # One task: epochs of several fits would not make one curve.
        context = estimator._init_callback_context()
        context.call_on_fit_task_begin(estimator=estimator, X=X, y=y)
    fits: Any
    if at_once:
        n_jobs = estimator.n_jobs
        n = _AT_ONCE if n_jobs is None else effective_n_jobs(n_jobs)
        calls = (functools.partial(_fit_and_score, one, X) for one in copies)
        fits = side_by_side(calls, min(n, _AT_ONCE))
    elif effective_n_jobs(estimator.n_jobs) == 1 or in_training():
        # Each is let go once it is worse than another. Amid a training, whose turn
        # this is, others in threads would wait for it for ever.
        fits = (_fit_and_score(copies.pop(0), X) for _ in seeds)
    else:
        # One by one, as they come: an interrupt leaves those that were finished.
        parallel = Parallel(estimator.n_jobs, return_as="generator")
        fits = parallel(delayed(_fit_and_score)(one, X) for one in copies)
    finished: list[tuple[DeepClusterer, str]] = []
    try:
        # Closed at once where it is left early: no further fit begins.
        with contextlib.closing(fits):
            reason = _best_of(estimator, fits, finished)
        return _agree(estimator, finished, X) if estimator.consensus else reason
    except KeyboardInterrupt:
        if len(finished) > 1:
            _agree(estimator, finished, X)
        raise
    except BaseException:
        estimator._forget()
        raise


def _best_of(estimator, fits: Iterable, finished: list) -> str:
    """Become the best of the fits; keep all those that a consensus needs."""
    scores: list[float] = []
    reason = ""
    for fitted, its_reason, score in fits:
        interrupted = score is None
        if not scores or (not interrupted and score > max(scores)):
            become(estimator, fitted)
            reason = its_reason
        if interrupted:
            raise KeyboardInterrupt
        if estimator.consensus and math.isfinite(score):
            finished.append((fitted, its_reason))
        del fitted
        scores.append(score)
        estimator.init_scores_ = np.array(scores)
    if not np.isfinite(scores).any():
        reason = f"No fit has a score, the first one is kept. {reason}".strip()
    return reason


def copy_for_fit(
    estimator: DeepClusterer, i: int, seed: int, at_once: bool
) -> DeepClusterer:
    """Copy for one of several fits, without what an earlier one has left."""
    one = object.__new__(type(estimator))
    apart = {*estimator._of_a_fit(), *_OF_CALLBACKS}
    one.__dict__ = {k: v for k, v in estimator.__dict__.items() if k not in apart}
    one.n_init, one.n_jobs, one.random_state = 1, None, seed
    if estimator.callbacks is not None:
        callbacks = estimator.callbacks
        one.callbacks = [_for_fit(callback, i, at_once) for callback in callbacks]
    return one


def become(estimator: DeepClusterer, fitted: DeepClusterer) -> None:
    """Take over a fit; the parameters stay."""
    own = {*estimator._get_param_names(), *estimator._given, *_OF_CALLBACKS}
    kept = {k: v for k, v in estimator.__dict__.items() if k in own}
    new = {k: v for k, v in fitted.__dict__.items() if k not in own}
    estimator.__dict__ = kept | new


# -- consensus ----------------------------------------------------------------------


def _agree(estimator: DeepClusterer, finished: list, X) -> str:
    """Become the consensus of several fits; return what is to be warned of.

    Networks, history and embedding are those of the fit that agrees most with the
    others; its clusters give the consensus theirs, so that it generates them too. Fits
    with a single cluster have no say where another has more.
    """
    most = max((one.n_clusters_ for one, _ in finished), default=0)
    finished = [pair for pair in finished if pair[0].n_clusters_ > 1 or most < 2]
    if len(finished) < 2:
        estimator.consensus_agreement_ = np.ones(len(estimator.labels_))
        return (
            f"Only {len(finished)} of n_init={estimator.n_init} fits can be combined: "
            "there is no consensus, the best one is kept."
        )
    fits = [one for one, _ in finished]
    first = most_agreed([one.labels_ for one in fits])
    # Apart, so that an interrupt leaves the best fit, not half a consensus.
    whole = object.__new__(type(estimator))
    whole.__dict__ = estimator.__dict__.copy()
    become(whole, fits[first])
    whole.init_scores_ = estimator.init_scores_
    rows = whole._check_X(X, fitting=False)
    with one_training_at_a_time():
        probas = [np.concatenate([p for _, p in _raw(one, rows)]) for one in fits]
        _, orders = consensus(probas, first)
        whole._own_kept = whole._kept
        whole._members = [
            (_as_member(one), order)
            for i, (one, order) in enumerate(zip(fits, orders, strict=True))
            if i != first
        ]
        whole._find_clusters(rows)
    labels = whole._kept[whole.labels_]
    pairs = zip(probas, orders, strict=True)
    votes = [p[:, order].argmax(1) == labels for p, order in pairs]
    whole.consensus_agreement_ = np.mean(votes, axis=0)
    estimator.__dict__ = whole.__dict__
    return finished[first][1]


def _as_member(one: DeepClusterer) -> DeepClusterer:
    """Copy with what predictions need, and no more."""
    member = object.__new__(type(one))
    apart = ("labels_", "history_", "cluster_centers_", "_embedded_centers")
    member.__dict__ = {k: v for k, v in one.__dict__.items() if k not in apart}
    member.callbacks = None
    return member


def infer_members(
    estimator: DeepClusterer, X: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield embedding, and logarithms of the members' mean probabilities."""
    members = [_raw(one, X) for one, _ in estimator._members]
    orders = [order for _, order in estimator._members]
    own = _raw(estimator, X, estimator._own_kept)
    for (embedding, p), *others in zip(own, *members, strict=True):
        matched = [p]
        for (_, proba), order in zip(others, orders, strict=True):
            matched.append(proba[:, order])
        mean = voted(matched)
        # No cluster that the networks of this fit do not have.
        dropped = np.setdiff1d(np.arange(mean.shape[1]), estimator._own_kept)
        mean[:, dropped] = 0
        yield embedding, np.log(np.maximum(mean, _TINY))


def _raw(one: DeepClusterer, X: np.ndarray, kept: np.ndarray | None = None):
    """Yield embedding and probabilities of all clusters, also of those dropped."""
    kept = one._kept if kept is None else kept
    for embedding, logits in one._infer_alone(X):
        p = np.zeros_like(logits)
        p[:, kept] = one._proba(embedding, logits, kept)
        yield embedding, p


# -- one of several -----------------------------------------------------------------


def _fit_and_score(one: DeepClusterer, X) -> tuple[DeepClusterer, str, float | None]:
    """Fit one of several copies: with what to warn of, and its score.

    The score is None if the fit was interrupted.
    """
    reason = ""
    try:
        reason = one._fit_once(X, None)
        with one_training_at_a_time():  # which would change the settings meanwhile
            score = one._init_score(X)
    except KeyboardInterrupt:
        if not hasattr(one, "cluster_centers_"):
            raise
        return one, reason, None
    for name in one._given:  # not back from a process
        one.__dict__.pop(name, None)
    return one, reason, score if math.isfinite(score) else -math.inf


def _for_fit(callback: Any, i: int, at_once: bool):
    """Callback of one of several fits: its own, where there must not be one of all.

    What callbacks keep of a training (a clock, a schedule) is of one fit; where fits
    are side by side they would write over each other's.
    """
    if isinstance(callback, tuple):
        return callback[0], _for_fit(callback[1], i, at_once)
    if hasattr(callback, "for_fit"):
        return callback.for_fit(i)
    return copy.copy(callback) if at_once else callback
