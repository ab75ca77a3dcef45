"""Scores amid a training."""

import numpy as np
import pytest

from skdeepcluster.metrics import get_scorer
from skdeepcluster.model_selection import UnsupervisedMonitor
from tests.conftest import quick

pytest.importorskip("sklearn.callback")


# An autoencoder has one cluster until its centres are placed.
@pytest.mark.filterwarnings("ignore:silhouette is not defined")
@pytest.mark.parametrize("every, epochs", [(1, range(10)), (3, [0, 3, 6, 9])])
def test_each_epoch_is_scored_without_labels(every, epochs, blobs):
    monitor = UnsupervisedMonitor(["silhouette", "information"], every=every)
    model = quick("dec", max_epochs=5).set_params(tol=0, update_interval=5)
    model.set_callbacks(monitor).fit(blobs)
    log = monitor.get_logs().data
    assert [row["task_id"] for row in log] == [*epochs][: len(log)]
    assert len(log) == len(range(0, len(model.history_["step"]), every))
    scores = np.array([row["information"] for row in log])
    assert np.isfinite(scores).all() and len(set(scores)) > 1
    if every == 1:  # the last epoch's is the fitted model's
        for name in ("silhouette", "information"):
            expected = get_scorer(name)(model, blobs)
            assert log[-1][name] == pytest.approx(expected, abs=1e-5)


def test_own_scorers_and_bad_arguments(blobs):
    monitor = UnsupervisedMonitor({"rows": lambda estimator, X: len(X)})
    quick("imsat").set_callbacks(monitor).fit(blobs, np.arange(90) % 2)
    assert {row["rows"] for row in monitor.get_logs().data} == {90}
    with pytest.raises(ValueError, match="every must be a positive integer"):
        UnsupervisedMonitor(every=0)
    with pytest.raises(ValueError, match="nonsense"):
        UnsupervisedMonitor("nonsense")
