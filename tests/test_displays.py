"""Displays: what they draw, and on whose axes."""

import numpy as np
import pytest
from sklearn.cluster import DBSCAN, KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_wine, make_blobs
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.metrics import silhouette_samples
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)

from skdeepcluster import IDEC
from skdeepcluster.metrics.spaces import reference_of
from skdeepcluster.model_selection import estimate_n_clusters
from skdeepcluster.plotting import (
    ClusterConfusionDisplay,
    ClusterSizesDisplay,
    EmbeddingDisplay,
    InterpolationDisplay,
    MembersDisplay,
    NumberOfClustersDisplay,
    SamplesDisplay,
    SilhouetteDisplay,
    TrainingCurvesDisplay,
    plot_clusters,
)
from skdeepcluster.plotting.displays import COLOURS
from tests.conftest import quick

pytest.importorskip("pandas")
figures = pytest.importorskip("matplotlib.figure")


colors = pytest.importorskip("matplotlib.colors")
pyplot = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def closed():
    """Leave no figures behind."""
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def four():
    return make_blobs(200, centers=4, cluster_std=0.4, random_state=3)[0]


def test_the_number_of_clusters_is_found_and_drawn(four):
    table = estimate_n_clusters(KMeans(n_init=3, random_state=0), four, [2, 6, 4, 3])
    assert table.index.tolist() == [2, 6, 4, 3] and table["rank"].idxmin() == 4
    assert table["n_clusters"].tolist() == [2, 6, 4, 3]
    display = NumberOfClustersDisplay.from_predictions(table)
    assert display.n_clusters_ == 4
    titles = [axes.get_title() for axes in display.axes_]
    assert titles == ["modularity", "ace"]
    line = display.axes_[0].lines[0]
    assert line.get_xdata().tolist() == [2, 3, 4, 6]
    assert line.get_ydata().tolist() == table["modularity"].loc[[2, 3, 4, 6]].tolist()


def test_of_a_pipeline_the_last_steps_number_is_set(four):
    model = make_pipeline(StandardScaler(), quick("ae_kmeans"))
    axes = figures.Figure().subplots(1, 2)
    display = NumberOfClustersDisplay.from_estimator(
        model, four, [2, 4], ax=axes, scoring=["silhouette", "own"]
    )
    assert display.axes_.tolist() == axes.tolist()
    found = display.table["estimator"].loc[4][-1]
    assert found.n_clusters == 4 and model[-1].n_clusters == 3


@pytest.mark.parametrize("numbers", [1, [], [1, 2], [2, 2], [2.5], [True, 2]])
def test_numbers_are_checked(numbers, four):
    with pytest.raises(ValueError, match="different integers from 2 on"):
        estimate_n_clusters(KMeans(), four, numbers)


def test_an_estimator_without_a_number(four):
    with pytest.raises(ValueError, match="must be an instance: KMeans"):
        estimate_n_clusters(KMeans, four)
    with pytest.raises(ValueError, match="DBSCAN has no parameter 'n_clusters'"):
        estimate_n_clusters(DBSCAN(), four)


def test_training_curves_have_a_panel_per_phase(blobs):
    model = quick("idec").fit(blobs)
    display = TrainingCurvesDisplay.from_estimator(model)
    history = model.history_
    assert [axes.get_title() for axes in display.axes_] == ["pretraining", "clustering"]
    for axes in display.axes_:
        inside = history["phase"] == axes.get_title()
        for line in axes.lines:
            np.testing.assert_array_equal(line.get_xdata(), history["step"][inside])
            values = history[line.get_label()][inside]
            np.testing.assert_array_equal(line.get_ydata(), values)
    labels = [[line.get_label() for line in axes.lines] for axes in display.axes_]
    assert labels == [["loss"], ["loss", "reconstruction", "divergence"]]
    colours = {line.get_color() for line in display.axes_[1].lines}
    assert len(colours) == 3
    axes = figures.Figure().subplots(1, 2)
    some = TrainingCurvesDisplay(history).plot(ax=axes, names=["loss"])
    assert [len(one.lines) for one in axes] == [1, 1] and some.figure_ is axes[0].figure


def test_training_curves_of_nothing(blobs):
    with pytest.raises(NotFittedError):
        TrainingCurvesDisplay.from_estimator(IDEC(3))
    with pytest.raises(ValueError, match="nothing has been trained"):
        TrainingCurvesDisplay({}).plot()
    history = quick("idec").fit(blobs).history_
    with pytest.raises(ValueError, match="no \\['wasserstein'\\]"):
        TrainingCurvesDisplay(history).plot(names=["wasserstein"])
    with pytest.raises(ValueError, match="ax holds 1 axes, 2 are needed"):
        TrainingCurvesDisplay(history).plot(ax=figures.Figure().subplots())


def test_silhouettes_are_scikit_learns_in_the_reference_space(four):
    model = KMeans(4, n_init=3, random_state=0).fit(four)
    display = SilhouetteDisplay.from_estimator(model, four)
    scaled = StandardScaler().fit_transform(four)
    reference = silhouette_samples(reference_of(four, np.arange(200)), model.labels_)
    np.testing.assert_array_equal(display.values, reference)
    assert abs(silhouette_samples(scaled, model.labels_) - reference).max() < 0.1
    heights = [patch.get_height() for patch in display.ax_.patches]
    assert heights == [1] * 200  # a bar per row, also where a cluster has one
    few = SilhouetteDisplay.from_predictions(four, model.labels_, sample_size=50)
    assert len(few.values) == 50
    with pytest.raises(ValueError, match="All rows are in one cluster"):
        SilhouetteDisplay.from_predictions(four, np.zeros(200, int))


def test_sizes_and_confidence(blobs):
    model = quick("vade").fit(blobs)
    display = ClusterSizesDisplay.from_estimator(model, blobs)
    proba = model.predict_proba(blobs)
    assert display.sizes.tolist() == np.bincount(model.labels_).tolist()
    for cluster, confidence in enumerate(display.confidence):
        own = proba[model.labels_ == cluster, cluster]
        assert confidence == pytest.approx(own.mean(), rel=1e-5)
    assert len(display.ax_.patches) == 2 * model.n_clusters_
    plain = ClusterSizesDisplay.from_estimator(KMeans(3).fit(blobs), blobs)
    assert plain.confidence is None and plain.sizes.sum() == 90
    named = ClusterSizesDisplay.from_predictions(["b", "a", "b"])
    ticks = [label.get_text() for label in named.ax_.get_xticklabels()]
    assert ticks == ["a", "b"] and named.sizes.tolist() == [1, 2]


def test_confusion_has_matched_clusters_on_its_diagonal():
    y = ["cat", "cat", "dog", "dog", "eel", "eel"]
    display = ClusterConfusionDisplay.from_predictions(y, [9, 9, 1, 4, 0, 4])
    assert display.classes.tolist() == ["cat", "dog", "eel"]
    assert display.clusters[0] == 9 and len(display.clusters) == 4
    assert display.matrix.trace() == 4 and display.matrix.sum() == 6
    texts = [text.get_text() for text in display.ax_.texts]
    assert texts == [str(n) for n in display.matrix.ravel()]
    wide = ClusterConfusionDisplay.from_predictions(
        np.arange(80) % 3, np.arange(80) % 40
    )
    width, height = wide.figure_.get_size_inches()
    assert width > 12 and height < 4


@pytest.mark.parametrize("data", ["table", "images"])
def test_samples_are_drawn_by_cluster(data, request):
    X = request.getfixturevalue(data)
    model = quick("vade").fit(X)
    display = SamplesDisplay.from_estimator(model, 4, random_state=0)
    for cluster in range(model.n_clusters_):
        expected = model.sample(4, cluster, random_state=0)[0]
        np.testing.assert_array_equal(display.samples[cluster], expected)
    drawn = [len(axes.images) + len(axes.lines) for axes in display.axes_]
    assert drawn == [4 if data == "table" else 1] * model.n_clusters_
    assert display.figure_.number in pyplot.get_fignums()  # shown as any other figure
    if data == "images":
        rows = quick("vade", image_shape=(8, 8)).fit(X.reshape(60, -1))
        again = SamplesDisplay.from_estimator(rows, 4, random_state=0)
        assert again.samples.shape[2:] == (8, 8, 1) and again.axes_[0].images
    else:
        pipeline = make_pipeline(StandardScaler(), quick("vade")).fit(X)
        assert SamplesDisplay.from_estimator(pipeline, 4).samples.shape[1:] == (4, 6)
        curves = TrainingCurvesDisplay.from_estimator(pipeline)
        assert len(curves.axes_) == 2
    with pytest.raises(ValueError, match="DEC generates no samples"):
        SamplesDisplay.from_estimator(quick("dec").fit(X))


def test_a_table_of_numbers_is_asked_for():
    with pytest.raises(
        TypeError, match="what estimate_n_clusters returns; got ndarray"
    ):
        NumberOfClustersDisplay.from_predictions(np.eye(3))


def test_small_clusters_numbers_do_not_cover_each_other(four):
    labels = np.r_[np.zeros(170, int), np.arange(1, 11).repeat(3)]
    display = SilhouetteDisplay.from_predictions(four, labels)
    figure = display.figure_
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in display.ax_.texts]
    assert len(boxes) == 11
    for i, one in enumerate(boxes):
        for other in boxes[:i]:
            assert not one.shrunk(0.9, 0.6).overlaps(other.shrunk(0.9, 0.6))


def test_embeddings_are_principal_components_by_default(blobs):
    model = quick("idec").fit(blobs)
    display = EmbeddingDisplay.from_estimator(model, blobs)
    expected = PCA(2, random_state=0).fit_transform(model.transform(blobs))
    np.testing.assert_allclose(display.points, expected, atol=1e-5)
    np.testing.assert_array_equal(display.labels, model.labels_)
    drawn = sum(len(dots.get_offsets()) for dots in display.ax_.collections)
    assert drawn == 90 and len(display.ax_.collections) == model.n_clusters_
    pipeline = make_pipeline(StandardScaler(), model).fit(blobs)
    few = EmbeddingDisplay.from_estimator(pipeline, blobs, sample_size=30)
    assert few.points.shape == (30, 2)


def test_other_ways_to_two_dimensions(blobs):
    labels = np.arange(90) % 3
    wide = np.random.default_rng(0).normal(size=(90, 5))
    for method in ("tsne", PCA(2)):
        display = EmbeddingDisplay.from_predictions(wide, labels, method=method)
        assert display.points.shape == (90, 2)
    assert display.ax_.get_xlabel() == "PCA 1"
    flat = EmbeddingDisplay.from_predictions(blobs[:, :2], labels)
    np.testing.assert_array_equal(flat.points, blobs[:, :2])
    line = EmbeddingDisplay.from_predictions(blobs[:, :1], labels)
    assert line.points[:, 1].tolist() == [0] * 90
    with pytest.raises(ValueError, match="method must be"):
        EmbeddingDisplay.from_predictions(blobs, labels, method="lda")
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        EmbeddingDisplay.from_predictions(blobs, [0, 1])
    with pytest.raises(ValueError, match="DBSCAN has no transform"):
        EmbeddingDisplay.from_estimator(DBSCAN().fit(blobs), blobs)


def test_umap_is_an_extra(blobs, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "umap", None)
    with pytest.raises(ImportError, match="umap-learn"):
        EmbeddingDisplay.from_predictions(blobs, np.arange(90) % 3, method="umap")


@pytest.mark.parametrize("data", ["blobs", "images"])
def test_typical_and_borderline_members(data, request):
    X = request.getfixturevalue(data)
    model = quick("dccs").fit(X)
    proba = model.predict_proba(X)
    display = MembersDisplay.from_estimator(model, X, n_members=3)
    for cluster in range(model.n_clusters_):
        inside = np.flatnonzero(model.labels_ == cluster)
        order = inside[np.argsort(-proba[inside, cluster], kind="stable")]
        typical, borderline = X[order[:3]], X[order[::-1][:3]]
        shape = typical.shape if data == "blobs" else (*typical.shape, 1)
        np.testing.assert_allclose(display.typical[cluster], typical.reshape(shape))
        np.testing.assert_allclose(
            display.borderline[cluster], borderline.reshape(shape)
        )
    assert len(display.axes_) == 2 * model.n_clusters_
    titles = [axes.get_title() for axes in display.axes_[:2]]
    assert titles == ["typical", "borderline"]
    with pytest.raises(ValueError, match="KMeans has no predict_proba"):
        MembersDisplay.from_estimator(KMeans(2).fit(np.eye(3)), np.eye(3))


def test_members_of_a_frame_have_its_columns():
    X = load_wine(as_frame=True).data
    model = make_pipeline(StandardScaler(), quick("dccs")).fit(X)
    display = MembersDisplay.from_estimator(model, X, n_members=2)
    ticks = [label.get_text() for label in display.axes_[-1].get_xticklabels()]
    assert ticks == list(X.columns)
    rows = display.typical[0]
    assert rows.shape[1] == 13 and rows.max() > 100  # in the units of X
    assert plot_clusters(model, X).axes


@pytest.mark.parametrize("data", ["table", "images"])
def test_paths_are_those_that_are_generated(data, request):
    X = request.getfixturevalue(data)
    model = quick("vade").fit(X)
    display = InterpolationDisplay.from_estimator(
        model, [(1, 0)], n_steps=5, random_state=0
    )
    expected = model.interpolate(1, 0, 5, random_state=0)[0]
    np.testing.assert_array_equal(display.paths[0].reshape(expected.shape), expected)
    assert display.names == ["1 to 0"]
    every = InterpolationDisplay.from_estimator(model, n_steps=3)
    assert len(every.paths) == model.n_clusters_ - 1
    with pytest.raises(ValueError, match="DEC generates no samples"):
        InterpolationDisplay.from_estimator(quick("dec").fit(X))
    with pytest.raises(ValueError, match="A path needs two clusters"):
        InterpolationDisplay.from_estimator(model, [])


def test_members_of_rows_that_lack_clusters():
    X = load_wine().data
    model = quick("ae_kmeans", max_epochs=30).fit(X)
    few = X[model.labels_ != 0][:5]
    display = MembersDisplay.from_estimator(model, few)
    assert [len(rows) for rows in display.typical][0] == 0
    assert len(display.axes_) == 2 * model.n_clusters_
    assert plot_clusters(model, few).axes


def test_members_of_images_that_lack_a_cluster(images):
    model = quick("ae_kmeans", max_epochs=30).fit(images)
    few = images[model.labels_ != 0][:5]
    display = MembersDisplay.from_estimator(model, few)
    assert not display.axes_[0].images and len(display.typical[0]) == 0
    assert plot_clusters(model, few).axes


def test_members_of_strings_have_the_names_of_what_is_drawn():
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame({"age": range(30), "income": range(100, 130), "city": ["a"] * 30})
    X.loc[::2, "city"] = "b"
    city = ColumnTransformer(
        [("city", OrdinalEncoder(), ["city"])], remainder="passthrough"
    )
    model = make_pipeline(city, quick("dccs")).fit(X)
    display = MembersDisplay.from_estimator(model, X)
    assert display.columns == ["city__city", "remainder__age", "remainder__income"]
    by_function = FunctionTransformer(lambda X: X[["income", "age"]].to_numpy())
    model = make_pipeline(by_function, quick("dccs")).fit(X)
    assert MembersDisplay.from_estimator(model, X).columns is None
    proba = model.predict_proba(X)
    named = MembersDisplay.from_predictions(
        X[["age"]].to_numpy(), proba, columns=["years"]
    )
    assert named.columns == ["years"]


def test_colours_are_those_of_clusters(blobs):
    display = EmbeddingDisplay.from_predictions(blobs, np.arange(90) % 3 + 1)
    found = [colors.to_hex(dots.get_facecolor()) for dots in display.ax_.collections]
    assert found == [COLOURS[i].lower() for i in (1, 2, 3)]
    large = np.random.default_rng(0).normal(size=(4_000, 2))
    all_of_them = EmbeddingDisplay.from_estimator(
        KMeans(2, n_init=1).fit(large), large, sample_size=3_500
    )
    assert len(all_of_them.points) == 3_500


def test_pipelines_that_read_strings():
    X = np.array([["r", "x"], ["g", "y"], ["b", "x"]] * 20, dtype=object)
    pipeline = make_pipeline(OneHotEncoder(sparse_output=False), quick("dccs")).fit(X)
    if pipeline[-1].n_clusters_ > 1:
        assert SilhouetteDisplay.from_estimator(pipeline, X).values.shape == (60,)
    assert MembersDisplay.from_estimator(pipeline, X).typical[0].shape[1] == 5


def test_columns_and_titles_of_samples():
    X = load_wine(as_frame=True).data
    model = quick("vade").fit(X)
    figure = figures.Figure()
    figure.suptitle("mine")
    axes = figure.subplots(model.n_clusters_, 1, squeeze=False)
    display = SamplesDisplay.from_estimator(model, 2, ax=axes)
    assert figure.get_suptitle() == "mine"
    ticks = [label.get_text() for label in display.axes_[-1].get_xticklabels()]
    assert ticks == list(X.columns)


def test_inputs_of_other_lengths_and_shapes(four):
    for draw in (
        lambda: SilhouetteDisplay.from_predictions(four, [0, 1] * 50),
        lambda: MembersDisplay.from_predictions(four, np.eye(2)),
        lambda: ClusterConfusionDisplay.from_predictions([0, 1], [0, 1, 1]),
    ):
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            draw()
    y = np.array([[0], [0], [1]])
    display = ClusterConfusionDisplay.from_predictions(y, [1, 1, 0])
    assert display.matrix.tolist() == [[2, 0], [0, 1]]
