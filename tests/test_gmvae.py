"""GMVAE."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import norm
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score

from skdeepcluster import GMVAE
from skdeepcluster.metrics import clustering_accuracy
from tests.conftest import QUICK_GMVAE, started


def numpy(x):
    return x.detach().double().numpy()


@pytest.mark.parametrize("data", ["table", "images"])
def test_the_bound_equals_its_equation(data, request):
    """Term by term, from the outputs that the step itself computed."""
    X = request.getfixturevalue(data)
    net, [(step, _)] = started(GMVAE(4, **QUICK_GMVAE), X)
    seen = {}
    for name in net.networks:
        getattr(net, f"{name}_").register_forward_hook(
            lambda _, args, out, name=name: seen.update({name: (args[0], out)})
        )
    losses = {k: v.item() for k, v in step(net).items()}
    x, (_, logits) = seen["encoder"]
    (joined, (_, posterior)), (y, prior) = seen["posterior"], seen["prior"]
    z, out = seen["decoder"]
    x, logits, joined, y, z, out = (
        numpy(a.flatten(1)) for a in (x, logits, joined, y, z, out)
    )
    np.testing.assert_array_equal(joined, np.hstack([x, y]))
    np.testing.assert_allclose(y.sum(1), 1, rtol=1e-5)
    mean, log_variance = np.split(numpy(posterior), 2, axis=1)
    mean_y, raw = np.split(numpy(prior), 2, axis=1)
    std_y = np.sqrt(np.log1p(np.exp(raw)))
    kl_code = norm.logpdf(z, mean, np.exp(log_variance / 2)).sum(1)
    kl_code = (kl_code - norm.logpdf(z, mean_y, std_y).sum(1)).mean()
    q = softmax(logits, axis=1)
    kl_cluster = np.sum(q * np.log(q / 0.25), axis=1).mean()
    if data == "table":
        rec = norm.logpdf(x, out, np.sqrt(0.5)).sum(1).mean()
    else:
        rec = (x * out - np.log1p(np.exp(out))).sum(1).mean()
    assert losses["kl_code"] == pytest.approx(kl_code, rel=1e-4)
    assert losses["kl_cluster"] == pytest.approx(kl_cluster, rel=1e-3, abs=1e-6)
    assert losses["reconstruction"] == pytest.approx(rec, rel=1e-5)
    expected = kl_code + kl_cluster - rec
    assert losses["loss"] == pytest.approx(expected, rel=1e-5)


def test_the_gumbel_softmax_draws_clusters_in_their_proportions(table):
    model = GMVAE(3, **QUICK_GMVAE)
    net, _ = started(model, table)
    log_q = torch.tensor([0.6, 0.3, 0.1]).log().repeat(20_000, 1)
    warm = model._gumbel_softmax(net, log_q)
    shares = np.bincount(warm.argmax(1)) / 20_000
    np.testing.assert_allclose(shares, [0.6, 0.3, 0.1], atol=0.015)
    for progress, temperature in ((0.25, 0.5**0.5), (0.5, 0.5), (1.0, 0.5)):
        net._steps_done.fill_(progress * net._planned)
        net.generator.manual_seed(0)
        cold = model._gumbel_softmax(net, log_q)
        net._steps_done.zero_()
        net.generator.manual_seed(0)
        warm = model._gumbel_softmax(net, log_q)
        # The same noise at another temperature is a power of the same point.
        power = warm ** (1 / temperature)
        torch.testing.assert_close(
            cold, power / power.sum(1, keepdim=True), rtol=1e-3, atol=1e-5
        )


def test_samples_and_codes_are_those_of_the_networks(table):
    model = GMVAE(3, **QUICK_GMVAE).fit(table)
    networks, kept = model._model, model._kept
    with torch.no_grad():
        x = model._scaling(model._scaling.centre(table))
        y = networks["encoder"](x)[1].argmax(1)
        joined = torch.cat([x, torch.eye(3)[y]], 1)
        code = networks["posterior"](joined)[1][:, :3]
        np.testing.assert_allclose(model.transform(table), code, rtol=1e-4, atol=1e-5)
        for cluster in range(model.n_clusters_):
            category = torch.eye(3)[[kept[cluster]]]
            noise = torch.tensor([[1.0, -2.0, 0.5]])
            mean, raw = networks["prior"](category).chunk(2, dim=1)
            z = mean + raw.exp().log1p().sqrt() * noise
            torch.testing.assert_close(
                model._generate(category, noise), networks["decoder"](z)
            )


@pytest.mark.parametrize("temperature", [(0.5, 1.0), (1.0, 0.0), (1.0,), ("a", "b")])
def test_temperatures_are_checked(temperature, table):
    with pytest.raises(ValueError, match="temperature must be"):
        GMVAE(3, temperature=temperature).fit(table)


def test_likelihoods(table, images):
    with pytest.raises(ValueError, match="likelihood='bernoulli' is for images"):
        GMVAE(3, likelihood="bernoulli", **QUICK_GMVAE).fit(table)
    with pytest.raises(ValueError, match="use 'minmax'"):
        GMVAE(3, scale="standard", **QUICK_GMVAE).fit(images)
    rows, _ = GMVAE(3, **QUICK_GMVAE).fit(images).sample(5, random_state=0)
    assert rows.shape == (5, 8, 8) and 0 <= rows.min() < rows.max() <= 255


def test_blobs_are_told_apart_in_part(blobs):
    """ARI of seeds 0, 1, 2: .41, .48, .71: nothing in the bound asks for more."""
    y = np.argmin(abs(blobs[:, :1] - [[-9, 0, 9]]), axis=1)
    found = []
    for seed in range(3):
        params = {**QUICK_GMVAE, "max_epochs": 200, "random_state": seed}
        model = GMVAE(3, **params).fit(blobs)
        found.append(adjusted_rand_score(y, model.labels_))
    assert np.median(found) > 0.3


def test_finds_digits():
    X, y = load_digits(return_X_y=True)
    params = {"hidden_layer_sizes": (64,), "max_epochs": 40}
    found = [
        clustering_accuracy(y, GMVAE(10, random_state=s, **params).fit_predict(X))
        for s in range(2)
    ]
    assert np.mean(found) > 0.45
