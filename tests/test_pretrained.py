"""An autoencoder that another estimator has trained."""

import functools

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from torch import nn

from skdeepcluster import DCN, DEC, DEPICT, IDEC, AutoencoderKMeans, VaDE
from skdeepcluster.engine import ResumableCheckpoint
from tests.conftest import QUICK_AE, QUICK_DEC, quick

# A step so small that the code stays where it began.
STILL = {**QUICK_DEC, "learning_rate": 1e-30}
with_takers = pytest.mark.parametrize(
    "model",
    [DEC(3, **STILL), IDEC(3, **STILL), DCN(3, batch_norm=False, **STILL)],
    ids=lambda m: type(m).__name__,
)


@pytest.fixture
def autoencoder(table):
    return AutoencoderKMeans(3, **QUICK_AE).fit(table)


@with_takers
def test_it_begins_with_the_code_and_the_scaling_that_are_there(
    model, table, autoencoder
):
    before = autoencoder.transform(table)
    # Of these rows alone the scaling would be another one.
    model.fit(3 * table[:100] + 1, pretrained=autoencoder)
    assert set(model.history_["phase"]) == {"clustering"}
    np.testing.assert_array_equal(model.transform(table), before)
    assert "_pretrained" not in vars(model)
    model.set_params(learning_rate=0.1).fit(table, pretrained=autoencoder)
    assert abs(model.transform(table) - before).max() > 1e-3
    np.testing.assert_array_equal(autoencoder.transform(table), before)
    model.set_params(learning_rate=1e-30).fit(table)
    assert set(model.history_["phase"]) == {"pretraining", "clustering"}


def test_images_and_own_layers_and_itself(images):
    first = DEPICT(3, **STILL).fit(images)
    before = first.transform(images)
    other = DEPICT(3, **{**STILL, "random_state": 1}).fit(images, pretrained=first)
    np.testing.assert_array_equal(other.transform(images), before)
    first.fit(images, pretrained=first)
    np.testing.assert_array_equal(first.transform(images), before)
    assert "pretraining" not in first.history_["phase"]
    with pytest.raises(ValueError, match="autoencoder='ladder', not 'plain'"):
        DEC(3, **QUICK_DEC).fit(images, pretrained=first)


def test_of_a_variational_code_the_mean_is_taken(table, images, autoencoder):
    model = VaDE(3, **STILL).fit(table, pretrained=autoencoder)
    assert "pretraining" not in model.history_["phase"]
    back = DEC(3, **STILL).fit(table, pretrained=model)
    head, its = (m._model["encoder"].head for m in (model, autoencoder))
    assert head.weight[:3].equal(its.weight) and head.bias[:3].equal(its.bias)
    expected = autoencoder.transform(table)
    np.testing.assert_array_equal(back.transform(table), expected)
    # The same weights: a product with twice the outputs may round differently.
    np.testing.assert_allclose(model.transform(table), expected, 1e-5, 1e-6)


def test_reconstructions_become_logits(images):
    """Decoders of grey images give pixels or, of VaDE, logits of pixels."""
    first = AutoencoderKMeans(3, **QUICK_AE).fit(images)
    vade = VaDE(3, **STILL).fit(images, pretrained=first)
    again = VaDE(3, **STILL).fit(images, pretrained=vade)
    code = torch.from_numpy(first.transform(images))
    with torch.no_grad():
        x, logits, same = (m._model["decoder"](code) for m in (first, vade, again))
    torch.testing.assert_close(logits, 4 * (x - 0.5))
    torch.testing.assert_close(same, logits)
    vade.set_params(likelihood="gaussian")  # what it was fitted with is what counts
    for taker in (IDEC(3, **STILL), vade):
        with pytest.raises(ValueError, match="a decoder of logits"):
            taker.fit(images, pretrained=vade)


def test_pixels_beyond_the_range_of_the_pretraining_have_a_likelihood(images):
    images = images.astype(np.float32)
    first = AutoencoderKMeans(3, **QUICK_AE).fit(images.clip(0, 100))
    model = VaDE(3, **STILL).fit(images, pretrained=first)
    assert images.max() > 100
    x = model._scaling(model._scaling.centre(images.reshape(len(images), -1)))
    z = 1e3 * torch.randn(len(x), 3)  # logits that are as sure of it as can be
    with torch.no_grad():
        likelihood = model._log_likelihood(x, z)
        torch.testing.assert_close(likelihood, model._log_likelihood(x.clamp(max=1), z))
    assert x.max() > 1 and (likelihood <= 0).all()


def test_the_scale_of_a_fit_is_what_counts(table):
    first = AutoencoderKMeans(3, **QUICK_AE).fit(table).set_params(scale="minmax")
    model = DEC(3, **STILL).fit(table, pretrained=first)
    np.testing.assert_array_equal(model.transform(table), first.transform(table))
    with pytest.raises(ValueError, match="scale='auto', not 'minmax'"):
        DEC(3, scale="minmax", **STILL).fit(table, pretrained=first)


def test_the_map_of_spectralnet_reads_its_code(table, autoencoder):
    model = quick("spectralnet", affinity="code").fit(table, pretrained=autoencoder)
    assert set(model.history_["phase"]) == {"spectral"}
    mine, its = (m._model["encoder"].state_dict() for m in (model, autoencoder))
    assert all(mine[name].equal(its[name]) for name in its)
    labels = model.labels_
    DEC(3, **STILL).fit(table, pretrained=model)  # as it is another's
    np.testing.assert_array_equal(model.predict(table), labels)
    with pytest.raises(ValueError, match="pretrained needs affinity='code'"):
        quick("spectralnet").fit(table, pretrained=autoencoder)
    with pytest.raises(ValueError, match="autoencoder_layer_sizes=.32., not .16."):
        quick("spectralnet", affinity="code", autoencoder_layer_sizes=(16,)).fit(
            table, pretrained=autoencoder
        )


def test_several_fits_and_a_number_of_clusters_begin_with_it(table, autoencoder):
    model = DEC(3, n_init=2, n_jobs=2, **STILL).fit(table, pretrained=autoencoder)
    expected = autoencoder.transform(table)
    np.testing.assert_allclose(model.transform(table), expected, rtol=1e-5, atol=1e-6)
    assert model.init_scores_.shape == (2,)
    assert "pretraining" not in model.history_["phase"]
    counted = DEC("auto", **STILL).fit(table, pretrained=autoencoder)
    np.testing.assert_array_equal(counted.transform(table), expected)
    assert counted.n_clusters_ >= 1


def test_a_search_hands_it_on(table, autoencoder):
    search = GridSearchCV(IDEC(3, **QUICK_DEC), {"gamma": [0.1, 1.0]}, cv=2)
    search.fit(table, pretrained=autoencoder)
    assert "pretraining" not in search.best_estimator_.history_["phase"]


def test_what_does_not_fit_is_refused_and_an_earlier_fit_kept(table, autoencoder):
    model = DEC(3, **{**QUICK_DEC, "n_latent": 2}).fit(table)
    before = model.transform(table)
    for wrong, error, says in (
        (autoencoder, ValueError, "n_latent=3, not 2"),
        (AutoencoderKMeans(3), NotFittedError, "not fitted"),
        (quick("imsat").fit(table), TypeError, "estimator with an autoencoder"),
        (quick("spectralnet").fit(table), TypeError, "estimator with an autoencoder"),
        ("autoencoder", TypeError, "estimator with an autoencoder"),
    ):
        with pytest.raises(error, match=says):
            model.fit(table, pretrained=wrong)
    np.testing.assert_array_equal(model.transform(table), before)
    for params, says in (
        ({"scale": "minmax"}, "scale='auto', not 'minmax'"),
        ({"hidden_layer_sizes": (32, 32)}, "hidden_layer_sizes=.32., not .32, 32."),
    ):
        with pytest.raises(ValueError, match=says):
            DEC(3, **{**QUICK_DEC, **params}).fit(table, pretrained=autoencoder)
    with pytest.raises(ValueError, match="batch_norm=False, not True"):
        DCN(3, **QUICK_DEC).fit(table, pretrained=autoencoder)
    named = pd.DataFrame(table, columns=list("abcdef"))
    DEC(3, **QUICK_DEC).fit(named, pretrained=autoencoder)  # which knows no names
    named_autoencoder = clone(autoencoder).fit(named)
    DEC(3, **QUICK_DEC).fit(named, pretrained=named_autoencoder)
    with pytest.raises(ValueError, match="feature 1 is 'c', not 'b'"):
        DEC(3, **QUICK_DEC).fit(named[list("acbdef")], pretrained=named_autoencoder)
    with pytest.raises(ValueError, match=r"input_shape=\(6,\), not \(4,\)"):
        DEC(3, **QUICK_DEC).fit(table[:, :4], pretrained=autoencoder)


def test_a_checkpoint_of_another_autoencoder_is_refused(table, autoencoder, tmp_path):
    keep = ResumableCheckpoint(tmp_path / "fit.ckpt", every_s=0)
    model = DEC(3, callbacks=[keep], **QUICK_DEC)
    first = model.fit(table, pretrained=autoencoder).transform(table)
    again = model.fit(table, pretrained=autoencoder)
    np.testing.assert_array_equal(again.transform(table), first)
    other = AutoencoderKMeans(3, **{**QUICK_AE, "random_state": 1}).fit(table)
    scaled = AutoencoderKMeans(3, **QUICK_AE).fit(2 * table)  # the same weights
    for wrong in (other, scaled):
        with pytest.raises(ValueError, match="checkpoint"):
            model.fit(table, pretrained=wrong)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_loss_that_explodes_at_once_leaves_what_was_taken_over(table, autoencoder):
    model = DEC(3, **{**QUICK_DEC, "learning_rate": 1e30})
    model.fit(table, pretrained=autoencoder)
    assert len(model.history_["loss"]) == 1
    np.testing.assert_array_equal(model.transform(table), autoencoder.transform(table))


def test_what_makes_no_difference_is_not_asked(images):
    params = {**QUICK_DEC, "convolutional": True}
    first = AutoencoderKMeans(3, **{**QUICK_AE, "convolutional": True}).fit(images)
    DEC(3, **{**params, "hidden_layer_sizes": (7,)}).fit(images, pretrained=first)

    class Factory:
        def __call__(self, shape):
            return nn.Sequential(nn.Flatten(), nn.Linear(64, 8))

    first = AutoencoderKMeans(3, encoder=Factory(), **QUICK_AE).fit(images)
    DEC(3, encoder=Factory(), **QUICK_DEC).fit(images, pretrained=first)


def test_another_encoder_under_the_same_name_is_not_read_as_this(table):
    def make(shape, depth, width):
        layers = [nn.Linear(shape[0] if i == 0 else width, width) for i in range(depth)]
        return nn.Sequential(*layers)

    def of(depth, width):
        return functools.partial(make, depth=depth, width=width)

    first = AutoencoderKMeans(3, encoder=of(2, 1), **QUICK_AE).fit(table)
    DEC(3, encoder=of(2, 1), **STILL).fit(table, pretrained=first)
    for other in (of(1, 1), of(3, 1), of(2, 16)):
        with pytest.raises(RuntimeError, match="loading state_dict"):
            DEC(3, encoder=other, **STILL).fit(table, pretrained=first)
