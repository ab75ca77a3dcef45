"""ClusterGAN; what it shares with SIMI-ClusterGAN is tested there."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from skdeepcluster import ClusterGAN, SIMIClusterGAN
from tests.conftest import QUICK_CLUSTERGAN, QUICK_SIMI, started


def test_losses_equal_a_numpy_reading(table):
    """From the outputs that the step itself computed."""
    params = {**QUICK_CLUSTERGAN, "learning_rate": 1e-9}
    model = ClusterGAN(4, beta_n=2, beta_c=3, **params)
    net, [(step, _)] = started(model, table)
    E, G, D = [], [], []
    for calls, name in ((E, "encoder"), (G, "generator"), (D, "critic")):
        getattr(net, f"{name}_").register_forward_hook(
            lambda _, args, out, calls=calls: calls.append((args[0].detach(), out))
        )
    losses = {k: v.item() for k, v in step(net).items()}
    (_, x_fake), [(seen, (_, out))] = G[-1], E  # the encoder sees no data
    assert torch.equal(seen, x_fake.detach())
    code = G[-1][0].double().numpy()
    z_n, h = code[:, :2], code[:, 2:]
    assert set(np.unique(h)) == {0, 1} and (h.sum(1) == 1).all()
    assert 0.08 < z_n.std() < 0.12  # sigma
    out = out.detach().double().numpy()
    noise, logits = out[:, :2], out[:, 2:]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert losses["noise_error"] == pytest.approx(np.mean((noise - z_n) ** 2))
    cross = -np.mean(np.sum(h * np.log(p), axis=1))
    assert losses["cross_entropy"] == pytest.approx(cross)
    adversarial = D[-1][1].detach().double().numpy().mean()
    expected = adversarial + 2 * losses["noise_error"] + 3 * cross
    assert losses["loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_simi_without_its_improvements_is_clustergan(batch_norm, table):
    off = {"learned_prior": False, "alpha_re": 0, "alpha_cm": 0, "assign": "kmeans"}
    simi = SIMIClusterGAN(3, batch_norm=batch_norm, **QUICK_SIMI, **off).fit(table)
    plain = ClusterGAN(3, batch_norm=batch_norm, **QUICK_CLUSTERGAN).fit(table)
    np.testing.assert_array_equal(plain.transform(table), simi.transform(table))
    np.testing.assert_array_equal(plain.labels_, simi.labels_)


@pytest.mark.parametrize("beta_n, n_read", [(10, 5), (0, 3)])
def test_clusters_are_those_of_k_means_in_what_was_learned_of_the_code(
    beta_n, n_read, table
):
    model = ClusterGAN(3, beta_n=beta_n, **QUICK_CLUSTERGAN).fit(table)
    code = model.transform(table)
    assert code.shape == (200, 5)
    kmeans = KMeans(3, n_init=20, random_state=0).fit(code[:, -n_read:])
    assert adjusted_rand_score(kmeans.labels_, model.labels_) == 1
    rows, clusters = model.sample(20, random_state=0)
    assert rows.shape == (20, 6) and set(clusters) <= {0, 1, 2}


def test_separated_blobs_and_samples_of_them(blobs):
    y = np.argmin(abs(blobs[:, :1] - [[-9, 0, 9]]), axis=1)
    # Some seeds leave a row between two clusters after half of these epochs.
    params = {**QUICK_CLUSTERGAN, "max_epochs": 2_000, "learning_rate": 1e-3, "tol": 0}
    model = ClusterGAN(3, **params).fit(blobs)
    assert adjusted_rand_score(y, model.labels_) == 1
    rows, clusters = model.sample(200, random_state=0)
    assert adjusted_rand_score(model.predict(rows), clusters) > 0.9
