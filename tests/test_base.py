"""The contract that all estimators share, shown on DCCS."""

import copy
import pickle
import threading
import tracemalloc
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, Checkpoint, EpochTimer, LRScheduler
from torch import nn

from skdeepcluster import DCCS, AutoencoderKMeans, SIMIClusterGAN
from tests.conftest import METHODS, QUICK, QUICK_OF, QUICK_SIMI


def quick(n_clusters=3, **params):
    return DCCS(n_clusters, **{**QUICK, **params})


@pytest.fixture(scope="module")
def wine():
    return load_wine(as_frame=True).data


@pytest.fixture(scope="module")
def fitted(wine):
    return quick(max_epochs=40).fit(wine)


# -- what a fit gives -----------------------------------------------------------------


def test_labels_probabilities_and_centres_agree(fitted, wine):
    assert np.array_equal(fitted.predict(wine), fitted.labels_)
    proba = fitted.predict_proba(wine)
    assert proba.shape == (178, fitted.n_clusters_) and proba.dtype == np.float32
    np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-5)
    assert np.array_equal(proba.argmax(1), fitted.labels_)
    assert np.array_equal(np.unique(fitted.labels_), np.arange(fitted.n_clusters_))
    for k, center in enumerate(fitted.cluster_centers_):
        mean = wine[fitted.labels_ == k].mean().to_numpy()
        np.testing.assert_allclose(center, mean, rtol=1e-6)


def test_fitted_attributes(fitted, wine):
    assert list(fitted.feature_names_in_) == list(wine.columns)
    assert fitted.n_features_in_ == 13
    history = fitted.history_
    assert {"wasserstein", "mutual_information", "augmentation", "loss"} < set(history)
    assert fitted.n_iter_ == history["step"][-1] == 40
    assert len(pd.DataFrame(history)) == 40


@pytest.mark.parametrize("kind", ["embedding", "distance", "proba"])
def test_transform_to(fitted, wine, kind):
    model = copy.deepcopy(fitted).set_params(transform_to=kind)
    out = model.transform(wine)
    assert out.shape[1] == len(model.get_feature_names_out())
    assert out.dtype == np.float32
    if kind == "distance":
        embedding = fitted.transform(wine)
        for k in range(model.n_clusters_):
            center = embedding[model.labels_ == k].mean(0)
            expected = np.linalg.norm(embedding - center, axis=1)
            np.testing.assert_allclose(out[:, k], expected, rtol=1e-3, atol=1e-5)


def test_score_is_information_in_nats(fitted, wine):
    assert 0 < fitted.score(wine) <= np.log(3)


def test_rows_do_not_depend_on_their_company(fitted, wine):
    X = pd.concat([wine] * 30, ignore_index=True)
    X = X * np.random.default_rng(0).uniform(0.9, 1.1, X.shape)
    whole = fitted.transform(X)
    for size in (1, 7, 600):
        part = fitted.transform(X[:size])
        np.testing.assert_allclose(part, whole[:size], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(
        fitted.transform(X[::-1])[::-1], whole, rtol=1e-5, atol=1e-7
    )


# -- kinds of input -------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.int64, bool, np.float16])
def test_dtypes(dtype, blobs):
    X = (blobs * 3).astype(dtype)
    model = quick(2).fit(X)
    assert np.array_equal(model.predict(X), model.labels_)


def test_lists_and_foreign_byte_order_are_the_same_data(blobs):
    labels = quick().fit(blobs).labels_
    assert np.array_equal(quick().fit(blobs.tolist()).labels_, labels)
    assert np.array_equal(quick().fit(blobs.astype(">f8")).labels_, labels)


@pytest.mark.parametrize(
    "of_another_kind",
    [
        lambda X: X.astype(">f8"),
        lambda X: X.astype(object),
        lambda X: pd.DataFrame(X).convert_dtypes(),
        lambda X: pd.DataFrame(X).astype({0: "Float64"}),
    ],
)
def test_a_large_offset_is_not_rounded_away(of_another_kind, blobs):
    """Such as of seconds since 1970, where float32 holds no differences below 128."""
    X = blobs + 1.7e9
    model = quick().fit(X)
    other = quick().fit(of_another_kind(X))
    np.testing.assert_array_equal(other.labels_, model.labels_)
    # Columns of a frame lie in another order, in which means round otherwise.
    np.testing.assert_allclose(other.transform(X), model.transform(X), atol=1e-5)
    np.testing.assert_array_equal(model.predict(of_another_kind(X)), model.labels_)


@pytest.mark.parametrize("dtype", [np.int64, np.uint32, np.float64])
def test_centres_keep_a_large_offset(dtype, blobs):
    X = (10 * blobs + 1.7e9).astype(dtype)
    model = quick().fit(X)
    means = [X[model.labels_ == c].mean(0) for c in range(model.n_clusters_)]
    np.testing.assert_allclose(model.cluster_centers_, means, rtol=1e-12)


OF_PIXELS = ["augmented_gan", "clustergan", "dccs", "depict", "gmvae", "iic"]
OF_PIXELS += ["simi_clustergan", "udc", "vade", "vc"]


@pytest.mark.parametrize("name", OF_PIXELS)
def test_pixels_that_are_not_scaled_lie_in_their_range(name, images):
    model = METHODS[name](3, scale=None, **QUICK_OF[name])
    with pytest.raises(ValueError, match="scale=None leaves the range"):
        model.fit(images)
    with pytest.raises(ValueError, match="scale=None leaves the range"):
        model.fit(images / 255 - 1.5)
    assert not vars(model).keys() - model.get_params().keys()
    # Just above 1 in float64, as scikit-learn's MinMaxScaler leaves it.
    model.fit(np.minimum(images / 255, 1) * (1 + 1e-15))
    assert not hasattr(model, "_span")


def test_rows_far_beyond_those_of_the_fit_are_refused(blobs):
    model = METHODS["dec"](3, **QUICK_OF["dec"]).fit(blobs)
    far = np.full((1, 2), 1e38)
    for ask in (model.predict, model.predict_proba, model.transform):
        with pytest.raises(ValueError, match="no finite numbers"):
            ask(far)
    for too_large in (blobs * 1e300, blobs + 1e39):
        with pytest.raises(ValueError, match="too large for float32"):
            quick(scale=None).fit(too_large)


def test_distances_of_far_rows_are_finite(blobs):
    model = quick(transform_to="distance").fit(blobs)
    assert np.isfinite(model.transform([[1e25, -1e25]])).all()


def test_an_encoder_that_gives_nan_leaves_no_half_a_model(blobs):
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 4)

        def forward(self, x):
            return self.linear(torch.where(x[:, :1] > 1, torch.nan, x))

    model = quick(encoder=Encoder())
    with pytest.raises(ValueError, match="no finite numbers"):
        model.fit(blobs)
    with pytest.raises(NotFittedError):
        model.predict(blobs)


def test_an_encoder_that_knows_its_weights_by_two_names_is_loaded(blobs):
    model = AutoencoderKMeans(3, encoder=TwoNames(), **QUICK_OF["ae_kmeans"]).fit(blobs)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.transform(blobs), model.transform(blobs))


class TwoNames(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 4)
        self.again = [self.linear.weight]

    def forward(self, x):
        return x @ self.again[0].T


def test_polars_like_frames_are_taken(blobs):
    class Frame:  # a data frame of another library: columns and __array__
        columns = ["a", "b"]
        shape = blobs.shape

        def __array__(self, dtype=None, copy=None):
            return np.asarray(blobs, dtype=dtype)

    assert quick().fit(Frame()).labels_.shape == (90,)


def test_images_in_every_form(images):
    model = quick().fit(images)
    rows = images.reshape(60, -1)
    assert model.cluster_centers_.shape[1:] == (8, 8)
    assert np.array_equal(model.predict(rows), model.labels_)
    as_rows = quick(image_shape=(8, 8)).fit(rows)
    assert np.array_equal(as_rows.labels_, model.labels_)
    assert as_rows.cluster_centers_.shape[1:] == (64,)
    with_channel = quick().fit(images[..., None])
    assert np.array_equal(with_channel.labels_, model.labels_)
    colour = quick().fit(np.repeat(images[..., None], 3, axis=3))
    assert colour.cluster_centers_.shape[1:] == (8, 8, 3)


def test_images_in_a_pipeline(images):
    rows = images.reshape(60, -1)
    pipeline = make_pipeline(quick(image_shape=(8, 8)), KMeans(3, random_state=0))
    assert pipeline.fit_predict(rows).shape == (60,)


def test_memmap_is_read_in_place(tmp_path, images):
    np.save(tmp_path / "x.npy", images)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    model = quick().fit(mapped)
    assert np.array_equal(model.labels_, quick().fit(images).labels_)


def test_scaling_is_part_of_the_model(wine):
    model = quick().fit(wine)
    units = np.geomspace(1e-4, 1e4, 13)
    other = quick().fit(wine * units + 100 * units)
    assert adjusted_rand_score(model.labels_, other.labels_) == 1


def test_common_scale_keeps_the_proportions_of_pixels(images):
    rows = images.reshape(60, -1)[:, 1:7]
    model = quick().fit(rows)
    factor = model._scaling.factor
    assert (factor == factor[0]).all()
    x = model._scaling(model._scaling.centre(rows))
    assert x.var(0, unbiased=False).mean().item() == pytest.approx(1, rel=1e-4)


# -- bad input ------------------------------------------------------------------------


def with_value(X, value):
    X = X.astype(type(value)) if isinstance(value, complex) else X.copy()
    X[3, 1] = value
    return X


X2 = load_iris().data


@pytest.mark.parametrize(
    "X, message",
    [
        (with_value(X2, np.nan), "Input X contains NaN"),
        (with_value(X2, np.inf), "Input X contains infinity"),
        (with_value(X2, 1j), "Complex data not supported"),
        (X2.astype(str).astype(object)[:, :1] + "cm", "could not convert string"),
        (np.empty((0, 4)), r"Found array with 0 sample\(s\)"),
        (np.empty((10, 0)), r"Found array with 0 feature\(s\)"),
        (X2[:1], r"1 sample\(s\).*while a minimum of 2 is required"),
        (X2[:2], "n_samples=2 should be >= n_clusters=3"),
        (X2[:, 0], "Expected 2D array, got 1D array"),
        (np.zeros((9, 3, 3, 1, 1)), "got 5 dimensions"),
        (np.zeros((9, 3, 3)), "at least 4 pixels"),
    ],
)
def test_bad_data(X, message):
    with pytest.raises(ValueError, match=message):
        quick().fit(X)


@pytest.mark.parametrize(
    "params, message",
    [
        ({"n_clusters": 0}, "'n_clusters' parameter of DCCS must be an int"),
        ({"learning_rate": -1e-3}, "'learning_rate' parameter of DCCS must be a float"),
        ({"max_epochs": "many"}, "'max_epochs' parameter"),
        ({"device": "abacus"}, "device='abacus' is not a device"),
        ({"image_shape": (2, 3)}, r"image_shape=\(2, 3\) has 6 values, but X has 4"),
        ({"image_shape": (2,)}, r"image_shape must be \(height, width\)"),
        ({"encoder": nn.Linear(3, 2)}, "encoder does not accept a batch of shape"),
        ({"encoder": nn.LSTM(4, 2)}, "encoder must return a tensor of shape"),
        ({"cluster_prior": [0.5, 0.5]}, "cluster_prior must hold n_clusters=3"),
        ({"cluster_prior": [np.inf, 1, 1]}, "cluster_prior must hold n_clusters=3"),
        ({"noise": (0.1, np.inf)}, "noise must be a range"),
        ({"hidden_layer_sizes": (3, 0)}, "hidden_layer_sizes must be positive"),
        ({"noise": (0.3, 0.1)}, "noise must be a range"),
        ({"augmentation": "crop"}, "augmentation='crop' is for images"),
    ],
)
def test_bad_parameters_before_any_training(params, message, monkeypatch):
    monkeypatch.setattr(DCCS, "_train", lambda *_: pytest.fail("trained"))
    with pytest.raises(ValueError, match=message):
        quick(**params).fit(X2)


def test_bad_callbacks():
    with pytest.raises(TypeError, match="must be skorch callbacks"):
        quick(callbacks=[print]).fit(X2)


def test_bad_data_at_predict(fitted, wine, images):
    with pytest.raises(ValueError, match="X has 3 features, but DCCS is expecting 4"):
        quick().fit(X2).predict(X2[:, 1:])
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(wine.rename(columns={"ash": "soot"}))
    with pytest.raises(ValueError, match="was fitted on a table"):
        quick().fit(X2).predict(np.zeros((2, 4, 1)))
    with pytest.raises(ValueError, match=r"was fitted on images of shape \(8, 8, 1\)"):
        quick().fit(images).predict(np.zeros((2, 16, 4)))
    with pytest.raises(NotFittedError, match="DCCS instance is not fitted yet"):
        quick().predict(X2)


# -- convergence, interruption --------------------------------------------------------


class At(Callback):
    """Do something once, at the end of an epoch."""

    def __init__(self, epoch, do):
        self.epoch, self.do = epoch, do

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.epoch:
            self.do(net)


def test_not_finite_warns_and_stays_usable(blobs):
    with pytest.warns(
        ConvergenceWarning, match="no longer finite.*Lower learning_rate"
    ):
        model = quick(learning_rate=1e30, max_epochs=3).fit(blobs)
    assert np.isfinite(model.predict_proba(blobs)).all()
    assert all(np.isfinite(w).all() for w in model.__getstate__()["_weights"].values())


@pytest.mark.filterwarnings("error")
def test_where_warnings_are_errors_the_model_is_fitted_all_the_same(blobs):
    model = quick(learning_rate=1e30)
    with pytest.raises(ConvergenceWarning):
        model.fit(blobs)
    assert np.array_equal(model.predict(blobs), model.labels_)


def test_empty_clusters_warn_and_are_dropped(blobs):
    def starve(net):
        with torch.no_grad():
            net.encoder_.head.bias[-1] = -1e4

    with pytest.warns(ConvergenceWarning, match="of n_clusters=4 clusters are empty"):
        model = quick(4, max_epochs=2, callbacks=[At(2, starve)]).fit(blobs)
    k = model.n_clusters_
    assert k < 4
    assert model.predict_proba(blobs).shape == (90, k)
    assert model.cluster_centers_.shape == (k, 2)
    assert np.array_equal(np.unique(model.labels_), np.arange(k))
    assert np.array_equal(model.predict(blobs), model.labels_)


def test_ctrl_c_propagates_and_leaves_a_usable_model(blobs):
    def interrupt(net):
        raise KeyboardInterrupt

    model = quick(callbacks=[At(3, interrupt)])
    with pytest.raises(KeyboardInterrupt):
        model.fit(blobs)
    assert model.n_iter_ == 3
    assert np.array_equal(model.predict(blobs), model.labels_)


def test_ctrl_c_before_the_first_step_leaves_nothing(blobs):
    class Pressed(nn.Linear):
        def forward(self, x):
            if len(x) > 2:  # not where its output's width is looked up
                raise KeyboardInterrupt
            return super().forward(x)

    model = quick().fit(blobs).set_params(encoder=Pressed(2, 4))
    with pytest.raises(KeyboardInterrupt):
        model.fit(blobs)
    with pytest.raises(NotFittedError):
        model.predict(blobs)


def test_values_that_float32_cannot_tell_apart(blobs):
    for scale in ("auto", "standard", "minmax"):
        with pytest.raises(ValueError, match="vary too little for float32"):
            quick(scale=scale).fit(1e-40 * blobs)
    model = quick().fit(blobs)
    small = quick().fit(1e-30 * blobs)
    np.testing.assert_array_equal(small.labels_, model.labels_)


def test_no_images(blobs):
    with pytest.raises(ValueError, match="0 sample"):
        quick().fit(np.empty((0, 8, 8)))


def test_a_run_that_still_falls_warns(wine):
    with pytest.warns(ConvergenceWarning, match="had not converged after 60 steps"):
        DCCS(3, max_epochs=60, random_state=0).fit(wine)


@pytest.mark.parametrize("error", [ZeroDivisionError, MemoryError])
def test_a_fit_that_fails_leaves_no_half_model(blobs, error):
    def fail(net):
        raise error

    model = quick().fit(blobs)
    with pytest.raises(error):
        model.set_params(callbacks=[At(2, fail)]).fit(blobs)
    with pytest.raises(NotFittedError):
        model.predict(blobs)
    assert not hasattr(model, "labels_")


def test_ctrl_c_amid_an_epoch_gone_wrong_keeps_the_good_state(blobs):
    class Poison(Callback):
        def on_batch_end(self, net, **kwargs):
            if len(net.history) == 2:
                with torch.no_grad():
                    net.encoder_.head.weight.fill_(float("nan"))
                raise KeyboardInterrupt

    model = quick(callbacks=[Poison()])
    with pytest.raises(KeyboardInterrupt):
        model.fit(blobs)
    assert model.n_iter_ == 1
    assert np.isfinite(model.predict_proba(blobs)).all()


# -- seeds, threads, global state -----------------------------------------------------


def global_state():
    numpy = np.random.get_state()[1]  # noqa: NPY002 - the state that must not change
    return numpy.tolist(), torch.get_rng_state().tolist(), torch.get_num_threads()


@pytest.mark.parametrize("name", METHODS)
def test_whatever_torchs_defaults_are(name, table):
    """Of types, devices and gradients, where other code has set them."""
    method, params = METHODS[name], QUICK_OF[name]
    model = method(3, **params).fit(table)
    expected, kept = answers(model, table), pickle.dumps(model)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            found = [answers(model, table), answers(pickle.loads(kept), table)]
            with torch.inference_mode():
                found.append(answers(method(3, **params).fit(table), table))
                assert torch.is_inference_mode_enabled()
            assert torch.is_autocast_enabled("cpu")
        assert torch.get_default_dtype() == torch.float64
        assert torch.get_default_device().type == "meta"
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    for one in found:
        for mine, its in zip(expected, one, strict=True):
            np.testing.assert_array_equal(its, mine)


def answers(model, X):
    """What a fitted model gives, rows of its own too where it generates any."""
    given = [model.predict_proba(X), model.transform(X)]
    if hasattr(model, "sample"):
        given.append(model.sample(3, random_state=0)[0])
        given.append(model.interpolate(0, model.n_clusters_ - 1, 3, random_state=0))
    given += [model.score(X), model._own_criterion(X)]
    return given


def test_global_state_is_left_as_found(blobs):
    for seed in (0, None, np.random.RandomState(0)):
        before = global_state()
        quick(random_state=seed).fit(blobs)
        assert global_state() == before


@pytest.mark.parametrize(
    "name, fitted_with, change",
    [
        ("udc", {"cluster_prior": None}, {"cluster_prior": [0.8, 0.1, 0.1]}),
        ("udc", {"cluster_prior": [0.8, 0.1, 0.1]}, {"cluster_prior": None}),
        ("clustergan", {}, {"sigma": 5.0}),
        ("simi_clustergan", {}, {"sigma": 5.0, "learned_prior": False}),
        ("gmvae", {}, {"likelihood": "bernoulli"}),
    ],
)
def test_parameters_set_after_a_fit_wait_for_the_next(name, fitted_with, change, table):
    model = METHODS[name](3, **QUICK_OF[name], **fitted_with).fit(table)
    before = [*answers(model, table), *model.sample(50, random_state=0)]
    model.set_params(**change)
    now = [*answers(model, table), *model.sample(50, random_state=0)]
    for one, other in zip(now, before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_same_seed_same_result_to_the_bit(blobs):
    a, b, c = (quick(random_state=s).fit(blobs).transform(blobs) for s in (1, 1, 2))
    assert np.array_equal(a, b) and not np.array_equal(a, c)


@pytest.mark.parametrize("own", [None, nn.Sequential(nn.Linear(2, 9), nn.Dropout(0.5))])
def test_fits_in_threads_equal_fits_in_turn(blobs, own):
    models = [quick(random_state=s, encoder=own) for s in range(4)]
    expected = [clone(m).fit(blobs).transform(blobs) for m in models]
    threads = [threading.Thread(target=m.fit, args=(blobs,)) for m in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for model, transformed in zip(models, expected, strict=True):
        assert np.array_equal(model.transform(blobs), transformed)


def test_own_encoder_is_not_trained_in_place(blobs):
    own = nn.Linear(2, 4)
    before = own.weight.detach().clone()
    model = quick(encoder=own).fit(blobs)
    assert torch.equal(own.weight, before)
    trained = model._model["encoder"].body.weight
    assert not torch.equal(trained, before)
    # It starts from its own weights, not from ours: a few small steps away.
    assert (trained - before).abs().max() < 0.1


def test_frozen_layers_of_an_own_encoder_stay_frozen(blobs):
    own = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 4))
    own[0].requires_grad_(False)
    trained = quick(encoder=own).fit(blobs)._model["encoder"].body
    assert torch.equal(trained[0].weight, own[0].weight)
    assert not torch.equal(trained[2].weight, own[2].weight)


def test_loading_neither_draws_nor_waits(fitted):
    state = torch.get_rng_state()
    pickled = pickle.dumps(fitted)
    pickle.loads(pickled)
    assert torch.equal(torch.get_rng_state(), state)


def test_callbacks_are_pickled_as_before_the_fit(blobs):
    schedule = LRScheduler("StepLR", step_size=1)
    model = quick(callbacks=[("schedule", schedule)]).fit(blobs)
    again = pickle.loads(pickle.dumps(model))
    assert not hasattr(again.callbacks[0][1], "lr_scheduler_")
    assert np.array_equal(again.predict(blobs), model.labels_)


def test_callbacks_may_be_classes(blobs):
    model = quick(callbacks=(EpochTimer, ("timer", EpochTimer))).fit(blobs)
    again = pickle.loads(pickle.dumps(model))
    assert again.callbacks == model.callbacks
    assert np.array_equal(again.predict(blobs), model.labels_)


def test_a_factory_that_returns_one_module_again_and_again(blobs):
    own = nn.Linear(2, 4)
    before = own.weight.detach().clone()
    model = quick(encoder=lambda shape: own, n_init=3).fit(blobs)
    assert torch.equal(own.weight, before)
    assert model._init_score(blobs) == model.init_scores_.max()


def test_own_encoder_survives_pickle_and_later_changes(blobs):
    model = quick(encoder=lambda_free_factory).fit(blobs)
    model.set_params(encoder=None, hidden_layer_sizes=(3,))
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict(blobs), model.labels_)


def lambda_free_factory(shape):
    return nn.Linear(*shape, 6)


# -- drop-in --------------------------------------------------------------------------


def test_pipeline_grid_search_and_cross_validation(wine):
    y = load_wine().target
    labels = make_pipeline(StandardScaler(), quick()).fit_predict(wine)
    assert labels.shape == (178,)
    features = make_pipeline(quick(), LogisticRegression(max_iter=500))
    scores = cross_validate(features, wine, y, cv=2)["test_score"]
    assert np.isfinite(scores).all()
    grid = {"dccs__n_style": [2, 5]}
    found = [
        GridSearchCV(
            make_pipeline(StandardScaler(), quick()), grid, cv=2, n_jobs=n_jobs
        ).fit(wine)
        for n_jobs in (None, 2)
    ]
    for search in found:
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    np.testing.assert_allclose(
        *[search.cv_results_["mean_test_score"] for search in found], rtol=1e-4
    )


def test_pandas_in_and_out(wine):
    out = quick().set_output(transform="pandas").fit_transform(wine)
    assert list(out.columns)[:2] == ["dccs0", "dccs1"]
    assert out.index.equals(wine.index)


def test_pickle_joblib_and_copies_predict_the_same(fitted, wine, tmp_path):
    joblib.dump(fitted, tmp_path / "model")
    copies = [
        pickle.loads(pickle.dumps(fitted)),
        copy.deepcopy(fitted),
        copy.copy(fitted),
        joblib.load(tmp_path / "model"),
        joblib.load(tmp_path / "model", mmap_mode="r"),
    ]
    for model in copies:
        assert np.array_equal(model.predict_proba(wine), fitted.predict_proba(wine))


def test_state_holds_no_tensors(fitted):
    def walk(value):
        assert not isinstance(value, torch.Tensor | nn.Module)
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list | tuple):
            for item in value:
                walk(item)

    walk(fitted.__getstate__())


def test_skops(fitted, wine, tmp_path):
    skops = pytest.importorskip("skops.io")
    skops.dump(fitted, tmp_path / "model.skops")
    unknown = skops.get_untrusted_types(file=tmp_path / "model.skops")
    assert unknown == ["skdeepcluster.methods.dccs.DCCS"]
    model = skops.load(tmp_path / "model.skops", trusted=unknown)
    assert np.array_equal(model.predict(wine), fitted.labels_)


def test_html_repr_and_clone(fitted):
    assert "DCCS" in fitted._repr_html_()
    assert clone(fitted).get_params() == fitted.get_params()


# -- scikit-learn's callbacks ---------------------------------------------------------


def test_scikit_learn_callbacks_follow_the_epochs(wine):
    callback = pytest.importorskip("sklearn.callback")

    class Record:
        max_propagation_depth = None

        def __init__(self, stop_after=None):
            self.ends, self.stop_after = [], stop_after

        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
            if context.task_name != "fit epoch":
                return False
            assert fitted_estimator.predict(X).shape == (178,)
            assert fitted_estimator.transform(X).shape == (178, 16)
            self.ends.append(fitted_estimator.n_iter_)
            return len(self.ends) == self.stop_after

    record = Record()
    pipeline = make_pipeline(StandardScaler(), quick())
    pipeline.set_callbacks(record).fit(wine)
    assert record.ends == [1, 2, 3, 4, 5]
    stopping = Record(stop_after=2)
    model = quick().set_callbacks(stopping).fit(wine)
    assert model.n_iter_ == 2
    monitor = callback.ScoringMonitor(scoring="adjusted_rand_score")
    quick().set_callbacks(monitor).fit(wine, load_wine().target)
    scores = [row["adjusted_rand_score"] for row in monitor.get_logs().data[:5]]
    assert len(scores) == 5 and np.isfinite(scores).all()


def test_progress_bar_in_a_search(wine):
    callback = pytest.importorskip("sklearn.callback")
    pytest.importorskip("rich")
    search = GridSearchCV(quick(), {"n_style": [2]}, cv=2)
    search.set_callbacks(callback.ProgressBar(max_propagation_depth=None)).fit(wine)
    assert search.best_estimator_.n_iter_ == 5


def test_a_wrong_setting_after_the_fit_is_told(blobs):
    model = quick().fit(blobs).set_params(transform_to="bad")
    with pytest.raises(ValueError, match="transform_to"):
        model.transform(blobs)


def test_each_phase_prints_its_own_heading(blobs, capsys):
    SIMIClusterGAN(3, verbose=1, **QUICK_SIMI).fit(blobs)
    lines = capsys.readouterr().out.splitlines()
    headings = [line.split() for line in lines if "epoch" in line]
    assert ["vat" in heading for heading in headings] == [True, False]
    assert ["wasserstein" in heading for heading in headings] == [False, True]


def test_nothing_prints_unless_verbose(blobs, capsys):
    quick().fit(blobs)
    assert capsys.readouterr() == ("", "")
    quick(verbose=1).fit(blobs)
    assert "wasserstein" in capsys.readouterr().out


# -- memory ---------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_input(tmp_path):
    """A memmap of bytes is neither read nor converted as a whole."""
    X = np.random.default_rng(0).integers(0, 256, (40_000, 200), dtype=np.uint8)
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    tracemalloc.start()
    model = quick(max_epochs=1, batch_size=2_000).fit(mapped)
    fit = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    model.predict(mapped)
    predict = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Blocks of 2 ** 20 float64 values; labels of 8 bytes a row.
    assert fit < X.size * 4
    assert predict < X.size / 2


def test_a_refit_with_a_wrong_parameter_keeps_the_old_fit(blobs):
    model = quick().fit(blobs)
    with pytest.raises(ValueError, match="augmentation='crop' is for images"):
        model.set_params(augmentation="crop").fit(blobs)
    assert np.array_equal(model.predict(blobs), model.labels_)


@pytest.mark.parametrize(
    "refused, params",
    [
        (np.zeros((2, 5)), {}),
        (np.zeros((9, 4, 4)), {"augmentation": "noise"}),
        (np.zeros((9, 5)), {"encoder": nn.Linear(3, 2)}),
    ],
)
def test_a_refit_on_refused_data_keeps_the_old_fit(blobs, refused, params):
    model = quick(tol=0).fit(blobs)
    before = model.predict(blobs)
    kept = model.get_params()
    with pytest.raises(ValueError):
        model.set_params(**params).fit(refused)
    assert np.array_equal(model.set_params(**kept).predict(blobs), before)


def test_skorch_checkpoints_by_the_name_of_the_network(blobs, tmp_path):
    files = {"f_params": None, "f_optimizer": None, "f_criterion": None}
    checkpoint = Checkpoint(
        monitor=None, f_history=None, f_encoder="q.pt", dirname=str(tmp_path), **files
    )
    model = quick(callbacks=[checkpoint]).fit(blobs)
    saved = torch.load(tmp_path / "q.pt")
    assert torch.equal(saved["head.weight"], model._model["encoder"].head.weight)


def test_defaults_do_not_warn_of_anything_but_convergence(blobs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        quick().fit(blobs).predict(blobs)


def test_warnings_point_to_the_line_that_fits(blobs):
    with pytest.warns(ConvergenceWarning) as caught:
        quick(learning_rate=1e30).fit(blobs)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_that_come_first_are_refused(channels):
    X = np.zeros((20, channels, 8, 8), np.uint8)
    with pytest.raises(ValueError, match="np.moveaxis"):
        DCCS(3, **QUICK).fit(X)
