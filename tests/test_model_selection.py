import sys

import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.datasets import load_iris, make_blobs
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from skdeepcluster import DCCS
from skdeepcluster.metrics import silhouette_scorer
from skdeepcluster.model_selection import FullData, compare
from tests.conftest import QUICK


def test_compare_takes_several():
    with pytest.raises(ValueError, match="several estimators, in a list or a dict"):
        compare(KMeans(2), np.eye(3))


def test_compare_ranks_without_labels():
    X, y = make_blobs(200, centers=4, cluster_std=0.4, random_state=3)
    models = {
        "two": KMeans(2, n_init=3, random_state=0),
        "four": KMeans(4, n_init=3, random_state=0),
        "linkage": AgglomerativeClustering(4),  # no predict
        "nine": GaussianMixture(9, random_state=0),
    }
    table = compare(models, X)
    assert sorted(table.index[:2]) == ["four", "linkage"]
    assert table["rank"].is_monotonic_increasing
    assert table.loc[["four", "linkage"], "rank"].tolist() == [1.5, 1.5]
    assert table.loc["nine", "n_clusters"] == 9 and (table["seconds"] > 0).all()
    # Labels are reported, and change nothing else.
    told = compare(models, X, y)
    assert told.loc["four", ["ACC", "NMI", "ARI"]].tolist() == [1, 1, 1]
    wrong = compare(models, X, np.random.default_rng(0).permutation(y))
    for column in ("rank", "modularity", "ace"):
        assert table[column].tolist() == told[column].tolist() == wrong[column].tolist()
    # The estimators that were given are left as they are.
    with pytest.raises(NotFittedError):
        check_is_fitted(models["two"])
    assert table.loc["two", "estimator"].predict(X).shape == (200,)


def test_compare_names_and_scorers(blobs):
    models = [KMeans(2, n_init=1), KMeans(3, n_init=1), DCCS(3, **QUICK)]
    own = {"size": lambda estimator, X: -len(np.unique(estimator.predict(X)))}
    table = compare(models, blobs, scoring=own)
    assert table.index[0] == "KMeans-1"
    assert sorted(table.index) == ["DCCS", "KMeans-1", "KMeans-2"]
    assert "estimator" in table and "ACC" not in table


def test_compare_refuses(monkeypatch):
    X = load_iris().data
    with pytest.raises(ValueError, match="at least one estimator"):
        compare([], X)
    with pytest.raises(ValueError, match="There is no scorer 'dunn'"):
        compare([KMeans(2)], X, scoring=["dunn"])
    for taken in ("ACC", "rank", "seconds"):
        with pytest.raises(ValueError, match="are columns of the result"):
            compare([KMeans(2)], X, scoring={taken: lambda estimator, X: 0.0})
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        compare([KMeans(2)], X, y=[0, 1])
    unknown = {"odd": lambda estimator, X: np.nan if estimator.n_clusters == 2 else 0}
    table = compare([KMeans(2), KMeans(3)], X, scoring=unknown)
    assert table.index.tolist() == ["KMeans-2", "KMeans-1"]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"skdeepcluster\[table\]"):
        compare([KMeans(2)], X)


def test_an_estimator_that_fails_is_last():
    X = load_iris().data[:20]
    models = {"too many": KMeans(30), "two": KMeans(2, n_init=1, random_state=0)}
    with pytest.warns(FitFailedWarning, match="too many could not be fitted"):
        table = compare(models, X, np.arange(20) % 2)
    assert table.index.tolist() == ["two", "too many"]
    assert table.loc["too many"].drop("rank").isna().all()
    with (
        pytest.raises(ValueError, match="No estimator could be fitted"),
        pytest.warns(FitFailedWarning),
    ):
        compare([KMeans(30)], X)


def test_own_scores_of_different_methods_rank_nothing(blobs):
    models = [KMeans(3, n_init=1), DCCS(3, **QUICK)]
    with pytest.raises(ValueError, match="Own scores"):
        compare(models, blobs, scoring=["own"])
    settings = [DCCS(3, **QUICK), DCCS(3, **{**QUICK, "max_epochs": 2})]
    assert len(compare(settings, blobs, scoring="own")) == 2


def test_one_scorer_and_the_class_of_the_splits(four):
    table = compare([KMeans(2), KMeans(4)], four, scoring=silhouette_scorer)
    assert table["score"].idxmax() == "KMeans-2"
    search = GridSearchCV(
        KMeans(n_init=3, random_state=0),
        {"n_clusters": [2, 4]},
        scoring=silhouette_scorer,
        cv=FullData,
    )
    assert search.fit(four).best_params_ == {"n_clusters": 4}


@pytest.fixture
def four():
    return make_blobs(200, centers=4, cluster_std=0.4, random_state=3)[0]


def test_a_scorer_that_is_not_defined_is_last(blobs):
    models = [KMeans(3, n_init=1), DCCS(3, **QUICK)]
    with pytest.warns(UserWarning, match="information is not defined for KMeans"):
        table = compare(models, blobs, scoring=["modularity", "information"])
    assert np.isnan(table.loc["KMeans", "information"])
    assert np.isfinite(table["modularity"]).all()
    named = compare(
        [make_pipeline(StandardScaler(), KMeans(2)), KMeans(3)],
        blobs,
        scoring=[silhouette_scorer, "modularity"],
    )
    assert sorted(named.index) == ["KMeans-1", "KMeans-2"]
    assert repr(silhouette_scorer) in named
