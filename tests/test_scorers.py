import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.stats import rankdata, t
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
    ModularityScorer,
    StabilityScorer,
    ace_scores,
    cluster_information,
    get_scorer,
    information_scorer,
    modularity_scorer,
    silhouette_scorer,
    stability_scorer,
)
from skdeepcluster.metrics.adaptive import _groups, _pagerank, _significant, _weights
from skdeepcluster.metrics.scorers import _modularity, _prediction_strength
from skdeepcluster.metrics.spaces import neighbour_graph, spectral_space
from skdeepcluster.model_selection import FullData, UnsupervisedMonitor
from tests.conftest import QUICK, quick

INDICES = ["silhouette", "calinski_harabasz", "davies_bouldin"]
NAMES = [*INDICES, "stability", "prediction_strength", "modularity", "ace"]
EVERY = [*NAMES, "spectral_silhouette", "information", "own"]


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
        if name in (*INDICES, "modularity", "ace"):
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


@pytest.mark.parametrize("name", EVERY)
def test_searches_in_processes_repeat_themselves(name):
    """In a pipeline, by nested names, over a deep clusterer with a fixed seed."""
    X, _ = make_blobs(120, centers=3, n_features=4, random_state=0)
    model = make_pipeline(StandardScaler(), quick("ae_kmeans"))
    grid = {"autoencoderkmeans__n_latent": [1, 3]}
    kwargs = {"scoring": get_scorer(name), "cv": FullData(), "n_jobs": 2}
    searches = {
        "grid": lambda: GridSearchCV(model, grid, **kwargs),
        "random": lambda: RandomizedSearchCV(
            model, grid, n_iter=2, random_state=0, **kwargs
        ),
        "halving": lambda: HalvingGridSearchCV(
            model, grid, min_resources=60, random_state=0, **kwargs
        ),
    }
    for search in searches.values():
        first, second = search().fit(X), search().fit(X)
        scores = first.cv_results_["mean_test_score"]
        assert np.isfinite(scores).all()
        np.testing.assert_array_equal(scores, second.cv_results_["mean_test_score"])
        np.testing.assert_array_equal(first.predict(X), second.predict(X))
        best = first.best_params_["autoencoderkmeans__n_latent"]
        assert first.best_estimator_[-1].n_latent == best  # refitted


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


def test_modularity_equals_its_definition():
    """Sum over all pairs of A_ij - d_i d_j / w within clusters, over w."""
    X, labels = load_iris(return_X_y=True)
    near = np.argsort(((X[:, None] - X) ** 2).sum(2) + np.eye(150) * 1e9, 1)[:, :5]
    A = np.zeros((150, 150))
    np.put_along_axis(A, near, 1, 1)
    A = np.maximum(A, A.T)
    d = A.sum(1)
    same = labels[:, None] == labels
    expected = ((A - np.outer(d, d) / d.sum()) * same).sum() / d.sum()
    score = ModularityScorer(n_neighbors=5)(Fixed(labels), X)
    # Ties among neighbours are broken one way or the other.
    assert score == pytest.approx(expected, abs=0.01)
    graph = sparse.csr_array(A)
    assert _modularity(graph, labels) == pytest.approx(expected)
    assert -0.5 <= ModularityScorer(5)(Fixed(np.arange(150) % 2), X) < 0.1
    with pytest.warns(UserWarning, match="modularity is not defined for 1 cluster"):
        assert modularity_scorer(Fixed(np.zeros(150)), X) == -0.5
    for wrong in ({"n_neighbors": 0}, {"sample_size": 1.5}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            ModularityScorer(**wrong)


def test_neighbours_follow_what_distances_cut():
    """Two rings, one in the other: right, against halves."""
    angle = np.linspace(0, 2 * np.pi, 150, endpoint=False)
    ring = np.c_[np.cos(angle), np.sin(angle)]
    X = np.r_[ring + 0.5, 4 * ring]
    right, halves = Fixed(np.arange(300) // 150), Fixed((X[:, 0] > 0).astype(int))
    for name in ("modularity", "spectral_silhouette", "ace"):
        scorer = get_scorer(name)
        assert scorer(right, X) > scorer(halves, X)
    assert silhouette_scorer(right, X) < silhouette_scorer(halves, X)


def test_spectral_space_is_that_of_ng_jordan_and_weiss():
    """Leading eigenvectors of D^-1/2 A D^-1/2, rows of length one; signs are free."""
    X = np.random.default_rng(0).normal(size=(80, 3))
    A = neighbour_graph(X, 10).toarray()
    root = np.sqrt(A.sum(1))
    vectors = np.linalg.eigh(A / np.outer(root, root))[1][:, -5:]
    rows = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    space = spectral_space(X, n_neighbors=10, n_components=5)
    np.testing.assert_allclose(space @ space.T, rows @ rows.T, atol=1e-6)


def test_adaptive_scores_leave_out_what_disagrees():
    """Four spaces that rank alike, and one of noise; weights and group by hand."""
    X, y = make_blobs(200, centers=4, cluster_std=1.0, random_state=3)
    rng = np.random.default_rng(0)
    labelings = []
    for share in (0, 0.1, 0.2, 0.3, 0.5, 0.7):
        labelings.append(np.where(rng.random(200) < share, rng.integers(0, 4, 200), y))
    turn = np.linalg.qr(rng.normal(size=(2, 2)))[0]
    spaces = [X, 3 * X @ turn, X + 0.3 * rng.normal(size=X.shape), X * [1.1, 1]]
    noise = rng.normal(size=X.shape)
    scores = ace_scores(labelings, [*spaces, noise])
    assert (np.diff(scores) < 0).all()  # more noise in the labels, a lower score
    single = np.array([[silhouette_score(Z, one) for one in labelings] for Z in spaces])
    assert (single.min(0) - 1e-6 <= scores).all()
    assert (scores <= single.max(0) + 1e-6).all()
    weights = _weights(np.vstack([single, rng.normal(size=6)]))
    assert weights[-1] == 0 and weights.sum() == pytest.approx(1)
    # Few clusterings: the mean over all spaces.
    two = ace_scores(labelings[:2], spaces)
    np.testing.assert_allclose(two, single[:, :2].mean(0))
    for wrong in (([], spaces), (labelings, []), (labelings, [X[:9]])):
        with pytest.raises(ValueError, match="at least one|inconsistent"):
            ace_scores(*wrong)


def test_groups_of_spaces_and_the_best_of_them():
    """Two groups that rank the other way round; the one with higher scores counts."""
    up, down = np.linspace(0.1, 0.3, 8), np.linspace(0.9, 0.7, 8)
    rng = np.random.default_rng(0)
    scores = np.array([row + 0.001 * rng.random(8) for row in [up] * 3 + [down] * 3])
    correlation = np.corrcoef(rankdata(scores, axis=1))
    groups = sorted(group.tolist() for group in _groups(correlation, scores))
    assert groups == [[0, 1, 2], [3, 4, 5]]
    weights = _weights(scores)
    assert (weights[:3] == 0).all() and (weights[3:] > 0.3).all()
    # Of many that agree, those of like scores; by hand: six near .2, three near .8.
    scores = np.array([up + 0.001 * i for i in range(6)] + [up + 0.6] * 3)
    groups = _groups(np.ones((9, 9)), scores)
    assert sorted(group.tolist() for group in groups) == [
        [0, 1, 2, 3, 4, 5],
        [6, 7, 8],
    ]
    np.testing.assert_allclose(_weights(scores), [0] * 6 + [1 / 3] * 3)
    # Ratings are unequal where correlations are: the middle of a chain.
    chain = np.array([[1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6, 8, 7]])
    both = np.vstack([chain, [2, 1, 3, 4, 5, 6, 7, 8]]).astype(float)
    rated = _weights(both)
    assert rated[0] > rated[1:].max() + 0.003
    # Two that disagree are not averaged.
    apart = _weights(np.array([[0.1, 0.2, 0.3, 0.4, 0.5], [0.9, 0.8, 0.7, 0.6, 0.5]]))
    assert apart.tolist() == [0, 1]


def test_ace_of_next_to_nothing():
    for n in (1, 2, 3):
        with pytest.warns(UserWarning, match=f"ace is not defined for {n} cluster"):
            assert get_scorer("ace")(Fixed(range(n)), np.eye(3)[:n]) == -1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flat = get_scorer("ace")(Fixed([0, 0, 1, 1]), np.eye(2).repeat(2, 0))
    assert np.isfinite(flat)
    with pytest.warns(UserWarning, match="ace is not defined for rows that are all"):
        assert get_scorer("ace")(Fixed(np.arange(60) % 2), np.ones((60, 80))) == -1


def test_ratings_and_tests_of_correlations():
    """PageRank's own equation, and Holm's steps on paper."""
    edges = np.array([[0, 0.9, 0.5], [0.9, 0, 0], [0.5, 0, 0]])
    ratings = _pagerank(edges)
    P = edges / edges.sum(1, keepdims=True)
    np.testing.assert_allclose(ratings, 0.15 / 3 + 0.85 * P.T @ ratings)
    assert ratings.argmax() == 0 and ratings.sum() == pytest.approx(1)
    correlation = np.array([[1, 0.95, 0.6], [0.95, 1, 0.75], [0.6, 0.75, 1]])
    p = {pair: spearman_p(correlation[pair], 8) for pair in [(0, 1), (0, 2), (1, 2)]}
    assert p[0, 1] < 0.05 / 3 and p[1, 2] < 0.05 / 2 and p[0, 2] > 0.05
    expected = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool)
    np.testing.assert_array_equal(_significant(correlation, 8), expected)


def spearman_p(r, n):
    return t.sf(r * np.sqrt((n - 2) / (1 - r**2)), n - 2)


def test_reference_space_is_the_same_for_rows_and_images(images):
    labels = np.arange(60) % 3
    scores = [
        silhouette_scorer(Fixed(labels), X)
        for X in (images, images[..., None], images.tolist())
    ]
    assert scores == pytest.approx(scores[:1] * 3, rel=1e-5)
    assert -1 < scores[0] < 1


@pytest.mark.parametrize("labels", [[0] * 6, range(6)])
@pytest.mark.parametrize("name", INDICES)
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
        for name in INDICES:
            with pytest.warns(UserWarning, match="around one and the same centre"):
                worst = get_scorer(name)(Fixed([0, 0, 1, 1]), unit * X)
            assert worst == (-1 if name == "silhouette" else 0)
    points = np.eye(4).repeat(5, 0)
    for name in INDICES:
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


def test_copies_leave_callbacks_of_scikit_learn_alone(blobs):
    pytest.importorskip("sklearn.callback")
    monitor = UnsupervisedMonitor(["information"])
    model = DCCS(3, **QUICK).set_callbacks(monitor)
    for fitted in (model.fit(blobs), make_pipeline(model).fit(blobs)):
        runs = len(monitor.get_logs(select="all"))
        assert -0.5 <= StabilityScorer(n_repeats=1)(fitted, blobs) <= 1
        assert len(monitor.get_logs(select="all")) == runs > 0
    assert model._skl_callbacks == [monitor]


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
    for name in EVERY:
        assert repr(pickle.loads(pickle.dumps(get_scorer(name)))) == repr(
            get_scorer(name)
        )
