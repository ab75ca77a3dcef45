"""Several fits from independent seeds, the best of them kept."""

import pickle
import signal
import threading
import time
import warnings
from itertools import permutations

import numpy as np
import pytest
import torch
from joblib import parallel_config
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from skorch.callbacks import Callback, EarlyStopping, LRScheduler

from skdeepcluster import UDC, restarts
from skdeepcluster.consensus import consensus, most_agreed
from skdeepcluster.engine import SIDE_BY_SIDE, ResumableCheckpoint, TimeLimit
from skdeepcluster.metrics import modularity_scorer
from tests.conftest import quick, with_all


def several(model, **params):
    return clone(model).set_params(n_init=3, **params)


class Seeds(Callback):
    """Notes the identity of each fit's net."""

    def __init__(self):
        self.seen = []

    def on_train_begin(self, net, **kwargs):
        self.seen.append(net.identity)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@with_all
def test_the_best_of_independent_fits_is_kept(model, table):
    best = several(model).fit(table)
    assert best.init_scores_.shape == (3,)
    assert best._init_score(table) == best.init_scores_.max()
    if isinstance(model, UDC):  # too short for samples that are traced back
        assert np.isneginf(best.init_scores_).all()
    else:  # so short that some methods find one cluster, with every seed
        assert len(set(best.init_scores_)) == (1 if best.n_clusters_ == 1 else 3)
    seeds = np.random.RandomState(best._seed()).randint(2**31 - 1, size=3)
    one = clone(model).set_params(random_state=int(seeds[best.init_scores_.argmax()]))
    np.testing.assert_array_equal(
        one.fit(table).predict_proba(table), best.predict_proba(table)
    )
    np.testing.assert_array_equal(one.labels_, best.labels_)
    assert not hasattr(one, "init_scores_")
    assert best.random_state == 0 and best.n_init == 3
    best.set_params(n_init=1).fit(table)
    assert not hasattr(best, "init_scores_")


def test_of_tables_the_neighbours_tell_of_images_the_method(table, images):
    best = several(quick("gmvae")).fit(table)
    assert best.init_scores_.max() == modularity_scorer(best, table)
    best = several(quick("gmvae")).fit(images)
    assert best.init_scores_.max() == best._own_criterion(images)


def test_processes_give_what_turns_give(table):
    turns = several(quick("dccs")).fit(table)
    here = Seeds()
    both = several(quick("dccs"), n_jobs=2, callbacks=[here]).fit(table)
    assert here.seen == []  # copies were called, elsewhere
    np.testing.assert_allclose(both.init_scores_, turns.init_scores_, rtol=1e-5)
    np.testing.assert_array_equal(both.labels_, turns.labels_)


@pytest.fixture
def side_by_side():
    """Let fits lend each other their turn, as they do on a GPU."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    SIDE_BY_SIDE.add("cpu")
    yield
    SIDE_BY_SIDE.remove("cpu")
    torch.set_num_threads(threads)


class Threads(Callback):
    """Notes the thread of each epoch."""

    def __init__(self):
        self.seen = []

    def on_epoch_end(self, net, **kwargs):
        self.seen.append(threading.get_ident())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@with_all
def test_fits_side_by_side_give_what_turns_give(model, table, side_by_side):
    SIDE_BY_SIDE.remove("cpu")
    turns = several(model, max_epochs=20).fit(table)
    SIDE_BY_SIDE.add("cpu")
    threads = Threads()
    before = torch.get_rng_state()
    both = several(model, max_epochs=20, callbacks=[threads]).fit(table)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(both.init_scores_, turns.init_scores_)
    np.testing.assert_array_equal(both.transform(table), turns.transform(table))
    seen = np.array(threads.seen)
    assert len(set(seen)) == 3 and threading.get_ident() not in seen
    assert (seen[1:] != seen[:-1]).sum() > 2  # not one after the other
    two = Threads()
    several(model, n_jobs=2, callbacks=[two]).fit(table)
    assert len(set(two.seen)) == 2


def test_fits_within_a_fit_are_made_in_turn(table, side_by_side):
    """Threads would wait for the one that waits for them."""
    inner = several(quick("dccs"))

    class Another(Callback):
        def on_train_end(self, net, **kwargs):
            inner.fit(table)

    quick("dccs").set_params(callbacks=[Another()]).fit(table)
    assert inner.init_scores_.shape == (3,)


class FromAbove(Threads):
    """The person who waits presses Ctrl-C, after so many epochs of all fits."""

    def __init__(self, after):
        super().__init__()
        self.after = after
        self.one_at_a_time = threading.Lock()  # or two count to 13 at once

    def on_epoch_end(self, net, **kwargs):
        with self.one_at_a_time:
            super().on_epoch_end(net)
            press = len(self.seen) == self.after
        if press:  # as a terminal does: the main thread is woken
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


@pytest.fixture
def terminal():
    """Ctrl-C as in a terminal: what a shell starts in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_reaches_fits_side_by_side(table, side_by_side, terminal):
    press = FromAbove(after=12)
    model = several(quick("dccs"), max_epochs=2_000, callbacks=[press])
    before = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        model.fit(table)
    assert model.predict(table).shape == (200,) and 0 < model.n_iter_ < 2_000
    assert len(press.seen) < 1_000
    assert torch.equal(torch.get_rng_state(), before)
    n_threads = threading.active_count()
    with pytest.raises(RuntimeError, match="no more"):
        several(quick("dccs"), callbacks=[Fail(3, "end")]).fit(table)
    assert threading.active_count() == n_threads
    assert torch.equal(torch.get_rng_state(), before)


def test_callbacks_of_fits_side_by_side_are_apart(table, side_by_side):
    """A schedule, and patience, are those of one training."""
    for callback in (LRScheduler("StepLR", step_size=2), EarlyStopping("loss")):
        SIDE_BY_SIDE.remove("cpu")
        turns = several(quick("dccs"), max_epochs=15, callbacks=[callback]).fit(table)
        SIDE_BY_SIDE.add("cpu")
        both = several(quick("dccs"), max_epochs=15, callbacks=[callback]).fit(table)
        np.testing.assert_array_equal(both.init_scores_, turns.init_scores_)
        assert both.n_iter_ == turns.n_iter_


def test_after_an_interrupt_no_further_fit_begins(table, side_by_side):
    seeds = Interrupt(2, "end")
    model = clone(quick("dccs")).set_params(n_init=30, n_jobs=2, callbacks=[seeds])
    with pytest.raises(KeyboardInterrupt) as caught:  # whose traceback is alive
        model.fit(table)
    begun = len(seeds.seen)
    time.sleep(0.5)
    assert len(seeds.seen) == begun < 10 and caught
    assert not any("ThreadPool" in thread.name for thread in threading.enumerate())


def test_amid_a_training_others_take_turns(table):
    inner = several(quick("dccs"), n_jobs=2)

    class Asks(Callback):
        def on_train_end(self, net, **kwargs):
            with parallel_config("threading"):
                inner.fit(table)

    quick("dccs").set_params(callbacks=[Asks()]).fit(table)
    assert inner.init_scores_.shape == (3,)


def test_callbacks_serve_every_fit_and_checkpoints_are_its_own(table, tmp_path):
    seeds, keep = Seeds(), ResumableCheckpoint(tmp_path / "fit.ckpt")
    model = several(quick("dccs"), callbacks=[seeds, ("keep", keep)]).fit(table)
    assert len(seeds.seen) == len(set(seeds.seen)) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"fit-{i}.ckpt" for i in range(3)
    ]
    again = several(quick("dccs"), callbacks=[keep]).fit(table)
    np.testing.assert_array_equal(again.init_scores_, model.init_scores_)


class Interrupt(Seeds):
    """Ctrl-C in a fit, counted from 1, at the n-th call of a hook."""

    def __init__(self, fit, hook, n=1):
        super().__init__()
        self.fit, self.hook, self.left = fit, hook, n

    def _called(self, hook, net):
        if hook == self.hook and len(set(self.seen)) == self.fit:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt

    def on_epoch_begin(self, net, **kwargs):
        self._called("begin", net)

    def on_epoch_end(self, net, **kwargs):
        self._called("end", net)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("hook", ["begin", "end"])
@with_all
def test_interrupted_the_best_that_was_finished_is_kept(model, hook, table):
    second = several(model, callbacks=[Interrupt(2, hook)])
    with pytest.raises(KeyboardInterrupt):
        second.fit(table)
    assert second.init_scores_.shape == (1,)
    seeds = np.random.RandomState(second._seed()).randint(2**31 - 1, size=3)
    first = clone(model).set_params(random_state=int(seeds[0])).fit(table)
    np.testing.assert_array_equal(second.labels_, first.labels_)
    # In the first fit there is only what it has trained so far.
    begun = several(model, callbacks=[Interrupt(1, hook)])
    with pytest.raises(KeyboardInterrupt):
        begun.fit(table)
    assert begun.predict(table).shape == (200,) and not hasattr(begun, "init_scores_")


class Fail(Interrupt):
    def _called(self, hook, net):
        if hook == "end" and len(self.seen) == self.fit:
            raise RuntimeError("no more")


def test_a_fit_that_fails_leaves_nothing_behind(table):
    model = several(quick("dccs")).fit(table)
    with pytest.raises(RuntimeError, match="no more"):
        model.set_params(callbacks=[Fail(2, "end")]).fit(table)
    assert not hasattr(model, "labels_") and not hasattr(model, "init_scores_")


def test_scores_of_fits(table):
    udc = quick("udc").fit(table)
    history = {
        "step": np.arange(20),
        "fake_accuracy": np.r_[np.zeros(18), 0.95, 0.9],
        "wasserstein": np.r_[np.zeros(18), 2.0, 3.0],
    }
    udc.history_ = history
    assert udc._own_criterion(table) == -2.5
    udc.history_ = {**history, "fake_accuracy": np.full(20, 0.5)}
    assert udc._own_criterion(table) == -np.inf

    simi = quick("simi_clustergan").fit(table)
    phase = np.r_[["prior"] * 10, ["gan"] * 2]
    loss = np.r_[np.zeros(9), 7.0, -1.0, -2.0]
    simi.history_ = {"phase": phase, "loss": loss}
    assert simi._own_criterion(table) == -7
    simi.history_ = {"phase": phase, "loss": np.r_[loss[:-1], np.nan]}
    assert simi._own_criterion(table) == -np.inf
    simi.history_ = {"phase": phase[:10], "loss": loss[:10]}
    assert simi._own_criterion(table) == -np.inf

    heads = quick("augmented_gan").fit(table)
    losses = heads._model["heads"].losses
    assert heads._own_criterion(table) == -losses.min().item() < 0
    heads.history_ = {"phase": np.array(["gan"]), "loss": np.ones(1)}
    assert heads._own_criterion(table) == -np.inf

    vc = quick("vc").fit(table)
    assert vc._own_criterion(table) == vc.score(table)


def test_a_head_that_failed_is_not_the_best(table):
    """Untrained heads have no loss, which is not a loss of zero."""

    class Poison(Seeds):
        def on_train_begin(self, net, **kwargs):
            super().on_train_begin(net)
            if len(self.seen) == 2:
                net.heads_.output.weight.data.fill_(np.nan)

    model = several(quick("augmented_gan"), callbacks=[Poison()])
    model.fit(table)
    assert np.isneginf(model.init_scores_[1]) and model.init_scores_.argmax() != 1


def test_a_refused_refit_leaves_the_model_as_it_was(table):
    model = several(quick("dccs")).fit(table)
    scores = model.init_scores_
    with pytest.raises(ValueError, match="n_clusters"):
        model.fit(table[:2])
    assert model.init_scores_ is scores
    for wrong in ({"n_init": 0}, {"n_jobs": 0}, {"callbacks": [TimeLimit("1")]}):
        with pytest.raises(ValueError, match="n_init|n_jobs|TimeLimit"):
            clone(model).set_params(**wrong).fit(table)
    folder = ResumableCheckpoint("no/such/folder")
    with pytest.raises(ValueError, match="no such folder"):
        model.set_params(n_init=1, callbacks=[folder]).fit(table)
    assert model.init_scores_ is scores


def test_scikit_learns_callbacks_see_one_task(table):
    pytest.importorskip("sklearn.callback")

    class Tasks:
        def __init__(self):
            self.seen = []

        def setup(self, estimator, context):
            self.seen.append("setup")

        def teardown(self, estimator, context):
            self.seen.append("teardown")

        def on_fit_task_begin(self, estimator, context):
            self.seen.append("begin")

        def on_fit_task_end(self, estimator, context):
            self.seen.append("end")

    tasks = Tasks()
    several(quick("dccs")).set_callbacks(tasks).fit(table)
    assert tasks.seen == ["setup", "begin", "end", "teardown"]
    refused = Tasks()
    with pytest.raises(ValueError, match="n_clusters"):
        several(quick("dccs")).set_callbacks(refused).fit(table[:2])
    assert refused.seen == []


# -- consensus ----------------------------------------------------------------------


def test_clusterings_are_matched_and_averaged():
    """By hand: the same two groups under other numbers, and one stray row."""
    one = np.eye(2)[[0, 0, 0, 1, 1]]
    other = np.eye(2)[[1, 1, 0, 0, 0]]  # numbers swapped; row 2 strays
    mean, orders = consensus([one, other, one], first=0)
    assert [order.tolist() for order in orders] == [[0, 1], [1, 0], [0, 1]]
    np.testing.assert_allclose(mean[:, 0], [1, 1, 2 / 3, 0, 0])
    # A vote each, however sure; of equal ones, the surer.
    sure, unsure = np.array([[0.9, 0.1]]), np.array([[0.4, 0.6]])
    mean, _ = consensus([np.vstack([p, np.eye(2)]) for p in (sure, unsure)], first=0)
    np.testing.assert_allclose(mean[0], [(1 + 0.65) / 3, (1 + 0.35) / 3])
    three = [np.vstack([p, np.eye(2)]) for p in (sure, unsure, unsure)]
    assert consensus(three, first=0)[0][0].argmax() == 1
    np.testing.assert_allclose(mean.sum(1), 1)


def test_the_mean_is_matched_again_until_no_cluster_moves():
    """Each clustering is matched to the mean that is returned, as well as can be."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, 300)
    probas = []
    for _ in range(7):
        noisy = np.where(rng.random(300) < 0.3, rng.integers(0, 5, 300), truth)
        probas.append(np.eye(5)[rng.permutation(5)[noisy]])
    mean, orders = consensus(probas, first=3)
    matched = [p[:, order] for p, order in zip(probas, orders, strict=True)]
    np.testing.assert_allclose(mean, np.mean(matched, axis=0))  # sure of themselves
    assert orders[3].tolist() == [0, 1, 2, 3, 4]
    for p in matched:
        overlaps = mean.T @ p
        best = max(np.trace(overlaps[:, list(o)]) for o in permutations(range(5)))
        assert np.trace(overlaps) == pytest.approx(best)
    ari = [adjusted_rand_score(truth, p.argmax(1)) for p in probas]
    assert adjusted_rand_score(truth, mean.argmax(1)) > max(ari) + 0.1


def test_the_most_agreed_is_in_the_middle():
    labels = np.arange(60) // 20
    strayed = np.where(np.arange(60) % 10 == 0, (labels + 1) % 3, labels)
    other = np.arange(60) % 3
    assert most_agreed([other, strayed, labels, labels]) == 2
    assert most_agreed([other]) == 0


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@with_all
def test_a_consensus_is_the_mean_of_its_fits(model, table):
    both = several(model, consensus=True).fit(table)
    if isinstance(model, UDC):  # no fit has a score: the first one is kept
        assert both.consensus_agreement_.tolist() == [1] * 200
        assert not hasattr(both, "_members")
        return
    seeds = np.random.RandomState(both._seed()).randint(2**31 - 1, size=3)
    fits = [clone(model).set_params(random_state=int(s)).fit(table) for s in seeds]
    first = most_agreed([one.labels_ for one in fits])
    probas = []
    for one in fits:
        full = np.zeros((200, 3))
        full[:, one._kept] = one.predict_proba(table)
        probas.append(full)
    mean, orders = consensus(probas, first)
    proba = np.zeros((200, 3))
    proba[:, both._kept] = both.predict_proba(table)
    np.testing.assert_allclose(proba, mean, atol=1e-5)
    np.testing.assert_array_equal(both.predict(table), both.labels_)
    np.testing.assert_array_equal(both._kept[both.labels_], mean.argmax(1))
    np.testing.assert_array_equal(both.transform(table), fits[first].transform(table))
    own = [p[:, o].argmax(1) for p, o in zip(probas, orders, strict=True)]
    agreement = np.mean([labels == mean.argmax(1) for labels in own], axis=0)
    np.testing.assert_allclose(both.consensus_agreement_, agreement)
    # Out of the sample, after a pickle, and with other sizes of X.
    again = pickle.loads(pickle.dumps(both))
    np.testing.assert_array_equal(
        again.predict_proba(table[:9]), both.predict_proba(table)[:9]
    )
    if hasattr(both, "sample"):
        drawn = both.sample(4, cluster=0, random_state=0)[0]
        kept = fits[first]._kept.tolist().index(both._kept[0])
        np.testing.assert_array_equal(
            drawn, fits[first].sample(4, cluster=kept, random_state=0)[0]
        )
    both.set_params(consensus=False, n_init=1).fit(table)
    assert not hasattr(both, "_members") and not hasattr(both, "consensus_agreement_")


def test_fits_that_collapsed_have_no_say(blobs):
    model = several(quick("ae_kmeans", max_epochs=30), consensus=True).fit(blobs)
    again = several(quick("ae_kmeans", max_epochs=30), consensus=True)

    # Two of four fits end in one cluster, and agree with each other.
    made = quick("ae_kmeans", max_epochs=30)
    fits = []
    for seed in range(4):
        one = clone(made).set_params(random_state=seed).fit(blobs)
        if seed % 2:
            one._model["centers"].centers[1:] = 1e6
            one._find_clusters(blobs)
        fits.append((one, ""))
    assert [one.n_clusters_ for one, _ in fits] == [3, 1, 3, 1]
    again.init_scores_ = np.zeros(4)
    restarts.become(again, fits[0][0])
    again.init_scores_ = np.zeros(4)
    assert restarts._agree(again, fits, blobs) == ""
    assert again.n_clusters_ == 3 and len(again._members) == 1
    assert most_agreed([fits[i][0].labels_ for i in (1, 3, 0, 2)]) >= 2
    assert model.n_clusters_ == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_half_a_consensus_is_none(error, table, monkeypatch):
    def fail(self, X):
        if hasattr(self, "_members"):
            raise error
        return find(self, X)

    model = several(quick("dccs"), consensus=True)
    find = type(model)._find_clusters
    monkeypatch.setattr(type(model), "_find_clusters", fail)
    with pytest.raises(error):
        model.fit(table)
    if error is MemoryError:
        assert not hasattr(model, "labels_")
    else:  # the best fit
        assert not hasattr(model, "_members")
        np.testing.assert_array_equal(model.predict(table), model.labels_)


def test_too_few_fits_for_a_consensus_are_said(table):
    """And warnings are of the fit whose networks are kept."""

    class Poison(Seeds):
        def on_train_begin(self, net, **kwargs):
            super().on_train_begin(net)
            if len(self.seen) != 2:
                net.heads_.output.weight.data.fill_(np.nan)

    model = several(quick("augmented_gan"), consensus=True)
    model.set_params(callbacks=[Poison()])
    with pytest.warns(ConvergenceWarning, match="Only 1 of n_init=3 fits"):
        model.fit(table)
    assert np.isfinite(model.init_scores_).tolist() == [False, True, False]
    assert model.consensus_agreement_.tolist() == [1] * 200


def test_scores_of_fits_warn_of_nothing():
    """Where warnings are errors, a fit is not lost for its score."""
    X = np.eye(4)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = several(quick("ae_kmeans", n_clusters=4)).fit(X)
    assert model.labels_.shape == (4,)


def test_members_hold_what_predictions_need(table):
    model = several(quick("dccs"), consensus=True).fit(table)
    for member, _ in model._members:
        assert not hasattr(member, "labels_") and not hasattr(member, "history_")


def test_a_consensus_of_processes_and_of_images(images):
    turns = several(quick("dccs"), consensus=True).fit(images)
    both = several(quick("dccs"), consensus=True, n_jobs=2).fit(images)
    np.testing.assert_array_equal(both.labels_, turns.labels_)
    assert turns.predict_proba(images).shape == (60, turns.n_clusters_)


def test_a_consensus_needs_several_fits(table):
    with pytest.raises(ValueError, match="n_init > 1"):
        quick("dccs", consensus=True).fit(table)
    # What was finished before Ctrl-C is combined.
    model = several(quick("dccs"), consensus=True, callbacks=[Interrupt(3, "end")])
    with pytest.raises(KeyboardInterrupt):
        model.fit(table)
    assert len(model._members) == 1 and model.init_scores_.shape == (2,)
    np.testing.assert_array_equal(model.predict(table), model.labels_)


def test_no_fit_with_a_score_is_said(table):
    with pytest.warns(ConvergenceWarning, match="No fit has a score"):
        several(quick("udc")).fit(table)
