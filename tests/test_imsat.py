"""IMSAT; its losses are tested with SIMI-ClusterGAN, whose first phase it is."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

from skdeepcluster import IMSAT, SIMIClusterGAN
from skdeepcluster.engine import Draws
from skdeepcluster.methods.imsat import imsat_losses
from skdeepcluster.metrics import clustering_accuracy
from tests.conftest import QUICK_IMSAT, QUICK_SIMI, started


def test_it_is_the_first_phase_of_simi_clustergan(table):
    weights = {"beta_p": 0.3, "beta_mu": 2.0, "prior_layer_sizes": (32, 32)}
    simi = SIMIClusterGAN(4, **{**QUICK_SIMI, **weights})
    weights = {"information_weight": 0.3, "marginal_weight": 2.0}
    imsat = IMSAT(4, **QUICK_IMSAT, **weights)
    (theirs, [(their_step, _), _]), (ours, [(our_step, _)]) = (
        started(model, table) for model in (simi, imsat)
    )
    ours.encoder_.load_state_dict(theirs.prior_.state_dict())
    losses = []
    for net, step in ((theirs, their_step), (ours, our_step)):
        net.generator.manual_seed(0)
        net.batches.resize(50)
        losses.append({k: v.item() for k, v in step(net).items()})
    assert losses[0] == losses[1]
    # The one difference: IMSAT has Adam's own averages.
    betas = [
        optimizer.param_groups[0]["betas"]
        for optimizer in (theirs.prior_optimizer_, ours.encoder_optimizer_)
    ]
    assert betas == [(0.5, 0.999), (0.9, 0.999)]


def test_first_weights_are_the_papers(table):
    model = IMSAT(4, random_state=0)
    net, _ = started(model, table)
    first, head = net.encoder_.body[0].weight, net.encoder_.head.weight
    assert first.std().item() == pytest.approx(0.1 / 6**0.5, rel=0.1)
    assert head.std().item() == pytest.approx(1e-4 / 256**0.5, rel=0.1)


def test_only_the_changed_sample_learns_from_the_augmentation():
    """The target is a constant: the divergence has no gradient in p(y|x)."""
    x = torch.zeros(4, 2)
    clean = torch.randn(4, 3, requires_grad=True)
    scale = torch.randn(2, 3, requires_grad=True)

    class P(torch.nn.Module):
        def forward(self, batch):
            return None, clean if batch is x else batch @ scale

    draws = Draws.seeded(0, torch.device("cpu"))
    vat, information = imsat_losses(P(), draws, x, x, torch.ones(4), 1.0, 4.0)
    vat.backward(retain_graph=True)
    assert clean.grad is None and scale.grad.abs().sum() > 0
    information.backward()
    assert clean.grad.abs().sum() > 0


def test_the_budget_is_fifty_passes_within_limits(table):
    def steps(n):
        _, [(_, plan)] = started(IMSAT(4, random_state=0), np.resize(table, (n, 6)))
        return plan["n_steps"]

    assert [steps(n) for n in (20, 200, 2_000, 10_000)] == [150, 800, 1_500, 2_000]


def test_its_adversarial_step_is_relative_to_the_tenth_neighbour(table):
    model = IMSAT(4, vat_radius=0.5, **QUICK_IMSAT)
    net, [(step, _)] = started(model, table)
    seen = []
    net.encoder_.register_forward_hook(lambda _, args, out: seen.append(args[0]))
    step(net)
    x, _, moved = (a.detach().double().numpy() for a in seen)
    rows = torch.cat(list(net.batches.in_order(1_000))).double().numpy()
    distances = np.sort(np.linalg.norm(x[:, None] - rows, axis=2), axis=1)
    length = np.linalg.norm(moved - x, axis=1)
    np.testing.assert_allclose(length, 0.5 * distances[:, 10], rtol=1e-4)


def test_images_are_rows_and_tables_have_no_shear(images, table):
    model = IMSAT(3, affine=True, **QUICK_IMSAT).fit(images)
    assert model.transform(images).shape == (60, 32)
    with pytest.raises(ValueError, match="affine=True is for images"):
        IMSAT(3, affine=True, **QUICK_IMSAT).fit(table)
    with pytest.raises(ValueError, match="hidden_layer_sizes must be positive"):
        IMSAT(3, hidden_layer_sizes=(3, 0)).fit(table)


def test_finds_digits_better_than_k_means():
    """ACC with seeds 0, 1, 2: .89, .87, .91; without VAT .82, .70, .68."""
    X, y = load_digits(return_X_y=True)
    model = IMSAT(10, random_state=0).fit(X)
    baseline = clustering_accuracy(
        y, KMeans(10, n_init=10, random_state=0).fit(X).labels_
    )
    assert clustering_accuracy(y, model.labels_) > baseline + 0.03
