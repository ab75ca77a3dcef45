"""Several fits from independent seeds, the best of them kept."""

import numpy as np
import pytest
from sklearn.base import clone
from skorch.callbacks import Callback

from skdeepcluster import (
    DCCS,
    UDC,
    AugmentedGANClustering,
    SIMIClusterGAN,
    VariationalClustering,
)
from skdeepcluster.engine import ResumableCheckpoint
from tests.conftest import QUICK, QUICK_AUG, QUICK_SIMI, QUICK_UDC, QUICK_VC

MODELS = [
    DCCS(3, **QUICK),
    UDC(3, **QUICK_UDC),
    SIMIClusterGAN(3, **QUICK_SIMI),
    VariationalClustering(3, **QUICK_VC),
    AugmentedGANClustering(3, **QUICK_AUG),
]


def several(model, **params):
    return clone(model).set_params(n_init=3, **params)


class Seeds(Callback):
    """Notes the identity of each fit's net."""

    def __init__(self):
        self.seen = []

    def on_train_begin(self, net, **kwargs):
        self.seen.append(net.identity)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_the_best_of_independent_fits_is_kept(model, table):
    best = several(model).fit(table)
    assert best.init_scores_.shape == (3,)
    assert best._init_score(table) == best.init_scores_.max()
    if isinstance(model, UDC):  # too short for samples that are traced back
        assert np.isinf(best.init_scores_).all()
    else:
        assert len(set(best.init_scores_)) == 3
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


def test_processes_give_what_turns_give(table):
    turns = several(MODELS[0]).fit(table)
    both = several(MODELS[0], n_jobs=2).fit(table)
    np.testing.assert_allclose(both.init_scores_, turns.init_scores_, rtol=1e-5)
    np.testing.assert_array_equal(both.labels_, turns.labels_)


def test_callbacks_serve_every_fit_and_checkpoints_are_its_own(table, tmp_path):
    seeds, keep = Seeds(), ResumableCheckpoint(tmp_path / "fit.ckpt")
    model = several(MODELS[0], callbacks=[seeds, ("keep", keep)]).fit(table)
    assert len(seeds.seen) == len(set(seeds.seen)) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"fit-{i}.ckpt" for i in range(3)
    ]
    again = several(MODELS[0], callbacks=[keep]).fit(table)
    np.testing.assert_array_equal(again.init_scores_, model.init_scores_)


def test_interrupted_the_best_so_far_is_kept(table):
    class Interrupt(Seeds):
        def on_epoch_end(self, net, **kwargs):
            if len(self.seen) == 2:
                raise KeyboardInterrupt

    model = several(MODELS[0], callbacks=[Interrupt()])
    with pytest.raises(KeyboardInterrupt):
        model.fit(table)
    assert model.init_scores_.shape == (2,)
    assert model.predict(table).shape == (len(table),)


def test_a_refused_refit_leaves_the_model_as_it_was(table):
    model = several(MODELS[0]).fit(table)
    scores = model.init_scores_
    with pytest.raises(ValueError, match="n_clusters"):
        model.fit(table[:2])
    assert model.init_scores_ is scores
    with pytest.raises(ValueError, match="n_init"):
        model.set_params(n_init=0).fit(table)


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
    several(MODELS[0]).set_callbacks(tasks).fit(table)
    assert tasks.seen == ["setup", "begin", "end", "teardown"]
