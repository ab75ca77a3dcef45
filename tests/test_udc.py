import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from skdeepcluster import UDC
from skdeepcluster.methods.udc import _LAYERS
from skdeepcluster.metrics import clustering_accuracy
from tests.conftest import QUICK_UDC, started


def test_losses_equal_a_numpy_reading(table):
    """All three, from the outputs that the step itself computed."""
    model = UDC(4, eta=3.0, gp_weight=7.0, **{**QUICK_UDC, "learning_rate": 1e-9})
    net, [(step, _)] = started(model, table)
    critic, classifier, descended = [], [], []
    net.critic_.register_forward_hook(
        lambda _, args, out: critic.append((args[0], out.detach().double().numpy()))
    )
    net.classifier_.register_forward_hook(
        lambda _, args, out: classifier.append(out[1].detach().double().numpy())
    )
    drawn, draw_fake = [], model._fake
    model._fake = lambda *args: drawn.append(draw_fake(*args)) or drawn[-1]
    descend = net.descend
    net.descend = lambda name, loss: (
        descended.append((name, loss)) or descend(name, loss)
    )
    losses = step(net)
    (y_all, x_all), (y_last, _) = drawn
    d_last = critic[-1][1]
    log_softmax = [a - np.log(np.exp(a).sum(1, keepdims=True)) for a in classifier]
    # The first update of each network, and the generator's.
    (_, d_real), (x_fake, d_fake), (between, _) = critic[:3]
    assert torch.equal(x_fake, x_all[:100])
    between = between.detach().requires_grad_()
    (slope,) = torch.autograd.grad(net.critic_(between).sum(), between)
    norms = np.linalg.norm(slope.double().numpy(), axis=1)
    loss_d = d_fake.mean() - d_real.mean() + 7 * np.mean((norms - 1) ** 2)
    assert descended[0][1].item() == pytest.approx(loss_d, rel=1e-4)
    y = y_all[500:600].argmax(1).numpy()
    loss_c = -log_softmax[0][np.arange(100), y].mean()
    assert descended[5][0] == "classifier"
    assert descended[5][1].item() == pytest.approx(loss_c, rel=1e-4)
    bound = -log_softmax[-1][np.arange(100), y_last.argmax(1)].mean()
    assert losses["entropy_bound"].item() == pytest.approx(bound, rel=1e-4)
    assert losses["loss"].item() == pytest.approx(3 * bound - d_last.mean(), rel=1e-4)


def test_classifier_sees_generated_samples_alone(table):
    """One pass of the generator serves all updates of critic and classifier."""
    model = UDC(4, **QUICK_UDC)
    net, [(step, _)] = started(model, table)
    made, seen = [], []
    net.generator_.register_forward_hook(lambda _, args, out: made.append(out.detach()))
    net.classifier_.register_forward_hook(lambda _, args, out: seen.append(args[0]))
    step(net)
    assert [len(x) for x in made] == [900, 100]
    torch.testing.assert_close(torch.cat(seen[:4]), made[0][500:])
    torch.testing.assert_close(seen[4].detach(), made[1])


def test_eta_is_a_staircase():
    """30 equal steps from 10 to 10 * 1.2**29, about 1,978; not the paper's product."""
    model = UDC(3)
    progress = torch.tensor([0.0, 0.0333, 0.0334, 0.5, 0.99999])
    expected = 10 * 1.2 ** np.array([0, 0, 1, 15, 29])
    np.testing.assert_allclose(model._eta(progress), expected, rtol=1e-5)


def test_doubling_goes_on_with_the_staircase(table):
    """The first third and the rest are one schedule, with twice the updates."""
    model = UDC(3, doubling=True, **{**QUICK_UDC, "max_epochs": 12})
    etas, eta = [], model._eta
    model._eta = lambda progress: etas.append(float(progress)) or eta(progress)
    model.fit(table)
    assert model.n_iter_ == len(etas)
    np.testing.assert_allclose(etas, np.arange(len(etas)) / len(etas), atol=1e-6)
    phases = model.history_["phase"]
    assert (phases == "first third").sum() == pytest.approx(len(phases) / 3, abs=1)


def test_prior_of_known_proportions(table):
    model = UDC(3, cluster_prior=[1, 1, 2], **QUICK_UDC)
    net, [(step, _)] = started(model, table)
    y, _ = model._fake(net.generator_, 20_000, step.keywords["edges"], net)
    np.testing.assert_allclose(y.mean(0), [0.25, 0.25, 0.5], atol=0.015)
    _, sampled = model.sample(20_000)
    shares = np.bincount(sampled, minlength=model.n_clusters_) / 20_000
    known = np.array([0.25, 0.25, 0.5])[model._kept]
    np.testing.assert_allclose(shares, known / known.sum(), atol=0.015)


def test_augmentation_is_on_everything_that_critic_and_classifier_see(table):
    def widen(x):
        assert x.shape[1] == 6
        return torch.cat([x, 0 * x + 5], 1)[:, 3:9]

    model = UDC(3, augmentation=widen, **QUICK_UDC)
    net, [(step, _)] = started(model, table)
    seen = []
    for network in (net.critic_, net.classifier_):
        network.register_forward_hook(lambda _, args, out: seen.append(args[0]))
    step(net)
    assert all((x[:, 3:] == 5).all() for x in seen)


@pytest.mark.parametrize(
    "shape, n_noise", [((60, 4), 2), ((60, 12, 12), 128), ((60, 32, 32, 3), 128)]
)
def test_automatic_noise_and_samples_like_the_data(shape, n_noise):
    X = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    model = UDC(2, n_critic=1, n_classifier=1, **{**QUICK_UDC, "max_epochs": 1}).fit(X)
    assert model._description["n_noise"] == n_noise
    samples, y = model.sample(3, cluster=0)
    assert samples.shape == (3, *shape[1:]) and y.tolist() == [0, 0, 0]
    assert samples.dtype == np.float32
    if len(shape) > 2:  # images have the range of the data
        assert samples.min() >= 0 and samples.max() <= 255


def one_wide_two_tight(n=600):
    """Three groups of one size: one is wider than the other two are apart."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    centers, stds = np.array([[0, 0.6], [0, -0.6], [6, 0]]), np.array([0.1, 0.1, 2])
    return centers[y] + stds[y][:, None] * rng.normal(size=(n, 2)), y


def test_clusters_groups_of_unequal_width_where_kmeans_fails():
    """A cluster is what a third of the samples can be generated as.

    Seen here: KMeans .50, of standardised columns .52; UDC .98, .99, .99; without the
    entropy bound (eta=0) .63, .36, .56; with a wrong prior (.6, .2, .2) .67, .57, .61.
    Without the gradient penalty it is .99, .99, .59: that is held by the reading of
    the losses alone.
    """
    X, y = one_wide_two_tight()
    assert clustering_accuracy(y, KMeans(3, random_state=0).fit_predict(X)) < 0.55
    layers = dict.fromkeys(_LAYERS, (64, 64))
    params = {**layers, "gp_weight": 10, "learning_rate": 1e-3, "max_epochs": 500}
    labels = [UDC(3, random_state=s, **params).fit_predict(X) for s in range(3)]
    assert np.median([clustering_accuracy(y, found) for found in labels]) > 0.9


@pytest.mark.parametrize("scale", ["standard", "common"])
def test_generated_images_need_their_range(scale):
    X = np.random.default_rng(0).integers(0, 256, (40, 8, 8)).astype(np.uint8)
    with pytest.raises(ValueError, match=r"leaves the range \[0, 1\]"):
        UDC(2, scale=scale, **QUICK_UDC).fit(X)
