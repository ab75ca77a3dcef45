import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.cluster import DBSCAN, AgglomerativeClustering, KMeans
from sklearn.datasets import load_iris, make_blobs
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.impute import SimpleImputer
from sklearn.metrics import davies_bouldin_score, silhouette_score
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skdeepcluster import DCCS
from skdeepcluster.engine import ResumableCheckpoint
from skdeepcluster.metrics import (
    InternalScorer,
    StabilityScorer,
    cluster_information,
    get_scorer,
    information_scorer,
    silhouette_scorer,
    stability_scorer,
)
from skdeepcluster.metrics.scorers import _prediction_strength
from skdeepcluster.model_selection import FullData
from tests.conftest import QUICK

NAMES = ["silhouette", "calinski_harabasz", "davies_bouldin"]
NAMES += ["stability", "prediction_strength"]


@pytest.fixture
def four():
    return make_blobs(200, centers=4, cluster_std=0.4, random_state=3)[0]


class Fixed(ClusterMixin, BaseEstimator):
    """Predicts what it is told to."""

    def __init__(self, labels=None):
        self.labels = labels

    def fit(self, X, y=None):
        return self

    def predict(self, X):
        return np.asarray(self.labels)


@pytest.mark.parametrize("name", NAMES)
def test_searches_without_labels_find_the_number_of_clusters(four, name):
    for search in (
        GridSearchCV(
            make_pipeline(StandardScaler(), KMeans(n_init=3, random_state=0)),
            {"kmeans__n_clusters": [1, 2, 4, 7]},
            scoring=get_scorer(name),
            cv=FullData(),
        ),
        RandomizedSearchCV(
            KMeans(n_init=3, random_state=0),
            {"n_clusters": [2, 4, 7]},
            n_iter=3,
            scoring=get_scorer(name),
            cv=3,
        ),
    ):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".* is not defined for 1 cluster")
            search.fit(four)
        results = search.cv_results_
        tried = [next(iter(params.values())) for params in results["params"]]
        score = dict(zip(tried, results["mean_test_score"], strict=True))
        if name in NAMES[:3]:
            assert list(search.best_params_.values()) == [4]
        else:  # two pairs of blobs are as stable as four blobs
            assert score[4] == max(score.values()) > score[7] + 0.1
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        assert search.best_estimator_.predict(four).shape == (200,)


def test_halving_and_several_scorers_and_processes(four):
    model = KMeans(n_init=3, random_state=0)
    grid = {"n_clusters": [2, 4, 7]}
    halving = HalvingGridSearchCV(
        model, grid, scoring=silhouette_scorer, cv=FullData(), min_resources=60
    ).fit(four)
    assert halving.best_params_ == {"n_clusters": 4}
    both = {name: get_scorer(name) for name in ("silhouette", "davies_bouldin")}
    scores = cross_validate(model.set_params(n_clusters=4), four, scoring=both)
    assert set(scores) >= {"test_silhouette", "test_davies_bouldin"}
    runs = [
        GridSearchCV(model, grid, scoring=stability_scorer, cv=FullData(), n_jobs=n)
        .fit(four)
        .cv_results_["mean_test_score"]
        for n in (1, 2)
    ]
    np.testing.assert_array_equal(*runs)


def test_deep_clusterers_are_searched(blobs):
    for scoring in ("silhouette", "information", "own", "stability"):
        search = GridSearchCV(
            DCCS(3, **QUICK),
            {"max_epochs": [1, 60]},
            scoring=get_scorer(scoring),
            cv=FullData(),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            search.fit(blobs)
        assert search.best_params_ == {"max_epochs": 60}


def test_indices_are_scikit_learns_in_their_space():
    X = load_iris().data
    model = KMeans(3, n_init=3, random_state=0).fit(X)
    score = InternalScorer("silhouette", space="input")(model, X)
    assert score == pytest.approx(silhouette_score(X, model.labels_))
    score = InternalScorer("silhouette", space="embedding")(model, X)
    assert score == pytest.approx(silhouette_score(model.transform(X), model.labels_))
    # The reference space of columns with like ranges keeps their proportions.
    index = davies_bouldin_score(X, model.labels_)
    score = get_scorer("davies_bouldin")(model, X)
    assert score == pytest.approx(1 / (1 + index), rel=1e-5)
    unlike = X * [1, 1, 1, 1000]
    index = davies_bouldin_score(StandardScaler().fit_transform(unlike), model.labels_)
    score = get_scorer("davies_bouldin")(Fixed(model.labels_), unlike)
    assert score == pytest.approx(1 / (1 + index), rel=1e-5)
    # Many rows: a part of them, the same each time.
    few = InternalScorer("silhouette", sample_size=60)
    assert few(model, X) == few(model, X) != silhouette_scorer(model, X)


def test_reference_space_is_the_same_for_rows_and_images(images):
    labels = np.arange(60) % 3
    scores = [
        silhouette_scorer(Fixed(labels), X)
        for X in (images, images[..., None], images.tolist())
    ]
    assert scores == pytest.approx(scores[:1] * 3, rel=1e-5)
    assert -1 < scores[0] < 1


@pytest.mark.parametrize("labels", [[0] * 6, range(6)])
@pytest.mark.parametrize("name", NAMES[:3])
def test_too_few_clusters_are_worst_and_say_why(labels, name):
    X = np.random.default_rng(0).normal(size=(6, 2))
    with pytest.warns(UserWarning, match=f"{name} is not defined for [16] cluster"):
        worst = get_scorer(name)(Fixed(list(labels)), X)
    assert worst == (-1 if name == "silhouette" else 0)
    assert worst < get_scorer(name)(Fixed([0, 0, 0, 1, 1, 1]), X)


@pytest.mark.parametrize("kind", ["agreement", "prediction_strength"])
@pytest.mark.parametrize("labels", [np.zeros(200), np.arange(200)])
def test_clusters_that_are_stable_by_definition_are_no_success(kind, labels, four):
    with pytest.warns(UserWarning, match="stability is not defined for (1|200) clus"):
        worst = StabilityScorer(kind)(Fixed(labels), four)
    assert worst == (-0.5 if kind == "agreement" else 0)
    # A copy that collapses is not stable either.
    assert _prediction_strength([0] * 9, [0] * 9) == 0
    assert _prediction_strength([0, 1] * 9, [0] * 18) == 0


def test_parts_too_small_for_the_clusters_are_worst():
    X = np.random.default_rng(0).normal(size=(8, 2))
    with pytest.warns(UserWarning, match="a part of X, which is refused"):
        assert stability_scorer(KMeans(7, n_init=1).fit(X), X) == -0.5


def test_limits_of_the_indices():
    """Clusters around one centre are worst, points are best, whatever the unit."""
    X = np.array([[-1.0, 0], [1, 0], [0, -1], [0, 1]])
    for unit in (1, 1e-10):
        for name in NAMES[:3]:
            with pytest.warns(UserWarning, match="around one and the same centre"):
                worst = get_scorer(name)(Fixed([0, 0, 1, 1]), unit * X)
            assert worst == (-1 if name == "silhouette" else 0)
    points = np.eye(4).repeat(5, 0)
    for name in NAMES[:3]:
        best = get_scorer(name)(Fixed(np.arange(20) // 5), points)
        assert best > get_scorer(name)(Fixed(np.arange(20) // 10), points)


def test_prediction_strength_equals_its_definition():
    rng = np.random.default_rng(0)
    own, other = rng.integers(0, 3, 40), rng.integers(0, 4, 40)
    shares = []
    for c in range(3):
        rows = np.flatnonzero(own == c)
        pairs = [(i, j) for i in rows for j in rows if i < j]
        shares.append(np.mean([other[i] == other[j] for i, j in pairs]))
    assert _prediction_strength(own, other) == pytest.approx(min(shares))
    assert _prediction_strength(own, own) == 1


def test_stability_without_predict_is_of_the_common_rows(four):
    model = AgglomerativeClustering(4).fit(four)
    assert stability_scorer(model, four) == pytest.approx(1)
    with pytest.raises(TypeError, match="no predict, which this score needs"):
        get_scorer("prediction_strength")(model, four)
    with pytest.raises(TypeError, match="no labels_ of this X"):
        silhouette_scorer(model, four[:50])
    pipeline = make_pipeline(StandardScaler(), DBSCAN(eps=0.4)).fit(four)
    assert silhouette_scorer(pipeline, four) > 0.5


def test_scores_of_what_is_not_numbers():
    frame = pd.DataFrame({"colour": list("rgb") * 20, "x": range(60)})
    pipeline = make_pipeline(
        OneHotEncoder(sparse_output=False, handle_unknown="ignore"),
        KMeans(3, n_init=1, random_state=0),
    )
    pipeline.fit(frame[["colour"]])
    assert silhouette_scorer(pipeline, frame[["colour"]]) > 0.9
    with pytest.raises(TypeError, match="does not hold finite numbers"):
        silhouette_scorer(Fixed(np.arange(60) % 3), frame[["colour"]])


@pytest.mark.parametrize(
    "made",
    [
        lambda frame: frame,
        lambda frame: frame.astype({"b": bool}),
        lambda frame: frame.convert_dtypes(),
        lambda frame: frame.to_numpy().astype(object),
        lambda frame: frame.to_numpy().astype(">f8"),
        lambda frame: sparse.coo_array(frame.to_numpy()),
    ],
)
def test_numbers_in_every_form(made):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 2)), columns=["a", "b"])
    frame["b"] = (frame["b"] > 0).astype(float)
    labels = rng.integers(0, 3, 60)
    expected = silhouette_scorer(Fixed(labels), frame.to_numpy())
    assert silhouette_scorer(Fixed(labels), made(frame)) == pytest.approx(expected)


def test_gaps_are_left_to_the_pipeline(four):
    four[3, 0] = np.nan
    pipeline = make_pipeline(SimpleImputer(), KMeans(4, n_init=3, random_state=0))
    search = GridSearchCV(
        pipeline, {"kmeans__n_clusters": [2, 4]}, scoring=silhouette_scorer, cv=3
    ).fit(four)
    assert search.best_params_ == {"kmeans__n_clusters": 4}
    with pytest.raises(TypeError, match="does not hold finite numbers"):
        silhouette_scorer(Fixed(np.arange(200) % 2), four)


def test_copies_leave_checkpoints_alone(blobs, tmp_path):
    keep = ResumableCheckpoint(tmp_path / "fit.ckpt")
    model = DCCS(3, **QUICK, callbacks=[keep]).fit(blobs)
    before = (tmp_path / "fit.ckpt").read_bytes()
    assert -0.5 <= StabilityScorer(n_repeats=1)(model, blobs) <= 1
    assert (tmp_path / "fit.ckpt").read_bytes() == before


def test_information_and_mistakes(blobs):
    model = DCCS(3, **QUICK).fit(blobs)
    expected = cluster_information(model.predict_proba(blobs))
    assert (
        information_scorer(model, blobs) == expected == get_scorer("own")(model, blobs)
    )
    with pytest.raises(TypeError, match="no predict_proba"):
        information_scorer(KMeans(2).fit(blobs), blobs)
    with pytest.raises(TypeError, match="no transform"):
        InternalScorer("silhouette", "embedding")(Fixed([0, 1] * 45), blobs)
    with pytest.raises(ValueError, match="There is no scorer 'ari'"):
        get_scorer("ari")
    with pytest.raises(ValueError, match="index must be"):
        InternalScorer("dunn")
    with pytest.raises(ValueError, match="space must be"):
        InternalScorer("silhouette", "latent")
    with pytest.raises(ValueError, match="kind must be"):
        StabilityScorer("luck")
    for wrong in ({"n_repeats": 0}, {"share": 2}, {"random_state": None}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            StabilityScorer(**wrong)
    with pytest.raises(ValueError, match="sample_size"):
        InternalScorer("silhouette", sample_size=None)
    with pytest.raises(TypeError, match="has no score"):
        get_scorer("own")(Fixed(), blobs)
    for name in [*NAMES, "information", "own"]:
        assert repr(pickle.loads(pickle.dumps(get_scorer(name)))) == repr(
            get_scorer(name)
        )
