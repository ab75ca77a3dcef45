"""Each loss against a plain numpy reading of its equation, and one property."""

import numpy as np
import pytest
import torch
from torch.nn.functional import softmax

from skdeepcluster.losses import (
    bernoulli_log_likelihood,
    categorical_entropy,
    categorical_kl,
    discriminator_loss,
    entropy_bound,
    gaussian_kl,
    gaussian_log_likelihood,
    generator_loss,
    gradient_penalty,
    information_maximisation,
    js_mutual_information,
    range_penalty,
    squared_wasserstein2,
    virtual_adversarial,
    wasserstein,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def tensor(a):
    return torch.from_numpy(np.asarray(a, dtype=np.float64))


class QuadraticCritic:
    """C(x) = x'Ax + b'x, whose gradient 2Ax + b is known (A symmetric)."""

    def __init__(self, rng, d):
        A = rng.normal(size=(d, d))
        self.A, self.b = A + A.T, rng.normal(size=d)

    def __call__(self, x):
        return ((x @ tensor(self.A)) * x).sum(1, keepdim=True) + (
            x @ tensor(self.b)
        ).unsqueeze(1)

    def numpy(self, x):
        return ((x @ self.A) * x).sum(1) + x @ self.b

    def gradient(self, x):
        return 2 * x @ self.A + self.b


def test_wasserstein_is_difference_of_means(rng):
    critic = QuadraticCritic(rng, 4)
    real, fake = rng.normal(size=(2, 30, 4))
    expected = critic.numpy(real).mean() - critic.numpy(fake).mean()
    got = wasserstein(critic, tensor(real), tensor(fake))
    assert got.item() == pytest.approx(expected)


@pytest.mark.parametrize("center", [1.0, 0.0])
def test_gradient_penalty_equals_its_equation(rng, center):
    critic = QuadraticCritic(rng, 4)
    real, fake = rng.normal(size=(2, 30, 4))
    epsilon = rng.uniform(size=30)
    between = epsilon[:, None] * real + (1 - epsilon[:, None]) * fake
    slope = np.linalg.norm(critic.gradient(between), axis=1)
    args = tensor(real), tensor(fake), tensor(epsilon)
    got = gradient_penalty(critic, *args, center=center)
    assert got.item() == pytest.approx(np.mean((slope - center) ** 2))


def test_gradient_penalty_of_a_unit_slope_is_zero(rng):
    direction = np.array([0.6, 0.8])
    real, fake = tensor(rng.normal(size=(2, 10, 2)))
    epsilon = tensor(rng.uniform(size=10))
    penalty = gradient_penalty(lambda x: x @ tensor(direction), real, fake, epsilon)
    assert penalty.item() == pytest.approx(0)


def test_gradient_penalty_reaches_the_critic_but_not_the_samples():
    critic = torch.nn.Sequential(
        torch.nn.Linear(3, 8), torch.nn.LeakyReLU(0.2), torch.nn.Linear(8, 1)
    )
    real, fake = (torch.randn(5, 3, requires_grad=True) for _ in range(2))
    gradient_penalty(critic, real, fake, torch.rand(5)).backward()
    assert critic[0].weight.grad.abs().sum() > 0
    assert real.grad is None


def test_gan_losses_equal_their_equations(rng):
    real, fake = rng.normal(size=(2, 20, 1)) * 3
    D_real, D_fake = (1 / (1 + np.exp(-v)) for v in (real, fake))
    expected = -np.mean(np.log(D_real)) - np.mean(np.log(1 - D_fake))
    got = discriminator_loss(tensor(real), tensor(fake))
    assert got.item() == pytest.approx(expected)
    expected = -np.mean(np.log(D_fake))
    assert generator_loss(tensor(fake)).item() == pytest.approx(expected)


def test_generator_loss_keeps_its_slope_where_the_discriminator_is_sure():
    """That of log(1 - D) would be exp(-50)."""
    fake = torch.tensor([[-50.0]], requires_grad=True)
    generator_loss(fake).backward()
    assert fake.grad.item() == pytest.approx(-1)


def test_range_penalty_equals_its_equation(rng):
    x = rng.normal(size=(20, 5)) * 20
    expected = sum(max(abs(v) - 20, 0) for v in x.ravel())
    assert range_penalty(tensor(x)).item() == pytest.approx(expected)


def test_range_penalty_leaves_the_range_alone():
    x = torch.tensor([-19.9, 0.0, 19.9, 20.5, -30.0], requires_grad=True)
    range_penalty(x).backward()
    assert x.grad.tolist() == [0, 0, 0, 1, -1]


def test_mutual_information_equals_its_equation(rng):
    joint, marginal = rng.normal(size=(2, 20, 1))
    sigmoid = 1 / (1 + np.exp(-np.stack([joint, marginal])))
    expected = -np.mean([np.log(sigmoid[0]), np.log(1 - sigmoid[1])])
    got = js_mutual_information(tensor(joint), tensor(marginal))
    assert got.item() == pytest.approx(expected)


def test_mutual_information_of_an_ignorant_discriminator_is_log_two():
    zeros = torch.zeros(7, 1)
    assert js_mutual_information(zeros, zeros).item() == pytest.approx(np.log(2))


def test_kl_equals_its_equation(rng):
    p_logits, q_logits = rng.normal(size=(2, 20, 5)) * 3
    p, q = softmax(tensor(p_logits), 1).numpy(), softmax(tensor(q_logits), 1).numpy()
    expected = np.mean(np.sum(p * np.log(p / q), axis=1))
    got = categorical_kl(tensor(p_logits), tensor(q_logits))
    assert got.item() == pytest.approx(expected)


def test_kl_is_zero_between_equals_and_finite_between_sure_opposites():
    sure = torch.tensor([[200.0, -200.0]])
    assert categorical_kl(sure, sure).item() == pytest.approx(0)
    assert np.isfinite(categorical_kl(sure, -sure).item())


def test_divergences_of_several_heads_are_those_of_each(rng):
    logits, other = tensor(rng.normal(size=(2, 20, 3, 5)))
    for loss in (categorical_kl, lambda p, _: information_maximisation(p)):
        each = [loss(logits[:, h], other[:, h]) for h in range(3)]
        torch.testing.assert_close(loss(logits, other), torch.stack(each))


@pytest.mark.parametrize("tolerance", [0.0, 0.05, 10.0])
def test_information_maximisation_equals_its_equation(rng, tolerance):
    logits = rng.normal(size=(20, 5)) * 3
    p = softmax(tensor(logits), 1).numpy()
    conditional = -np.mean(np.sum(p * np.log(p), axis=1))
    divergence = np.sum(p.mean(0) * np.log(5 * p.mean(0)))
    expected = conditional + 4 * max(divergence - tolerance, 0)
    got = information_maximisation(tensor(logits), 4.0, tolerance)
    assert got.item() == pytest.approx(expected)


def test_information_maximisation_is_least_for_sure_and_even_clusters():
    even, collapsed = 100 * torch.eye(4), torch.zeros(4, 4)
    collapsed[:, 0] = 100
    assert information_maximisation(even).item() == pytest.approx(0, abs=1e-6)
    assert information_maximisation(collapsed).item() == pytest.approx(4 * np.log(4))


def test_entropy_bound_equals_its_equation(rng):
    logits, y = rng.normal(size=(20, 5)) * 3, rng.integers(5, size=20)
    p = softmax(tensor(logits), 1).numpy()
    got = entropy_bound(tensor(logits), tensor(np.eye(5)[y]))
    assert got.item() == pytest.approx(-np.mean(np.log(p[np.arange(20), y])))


def test_entropy_bound_is_above_the_entropy(rng):
    """Equal where the classifier is the true posterior (eq. 3)."""
    posterior = softmax(tensor(rng.normal(size=(50, 4))), 1)
    entropy = -(posterior * posterior.log()).sum(1).mean()
    assert entropy_bound(posterior.log(), posterior).item() == pytest.approx(entropy)
    other = tensor(rng.normal(size=(50, 4)))
    assert entropy_bound(other, posterior) > entropy


def test_virtual_adversarial_step_follows_its_equation(rng):
    """Against a numerical gradient of the divergence, in float64."""
    W = rng.normal(size=(4, 3))
    x, noise, radius = rng.normal(size=(6, 4)), rng.normal(size=(6, 4)), np.arange(6.0)

    def divergence(d, row):
        p, q = (softmax(tensor(v @ W), 0).numpy() for v in (x[row], x[row] + 2 * d))
        return np.sum(p * np.log(p / q))

    expected = x.copy()
    for row in range(6):
        d = noise[row] / np.linalg.norm(noise[row])
        steps = 1e-6 * np.eye(4)
        g = [divergence(d + h, row) - divergence(d - h, row) for h in steps]
        expected[row] += radius[row] * np.array(g) / np.linalg.norm(g)
    got = virtual_adversarial(
        lambda v: v @ tensor(W),
        tensor(x),
        tensor(radius),
        tensor(noise),
        xi=tensor(np.full(6, 2)),
    )
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-5)


def test_virtual_adversarial_step_changes_more_than_a_random_one(rng):
    W, x, noise = (tensor(rng.normal(size=s)) for s in ((20, 3), (50, 20), (50, 20)))
    radius = torch.full((50,), 0.5, dtype=torch.float64)
    random = x + 0.5 * noise / noise.norm(dim=1, keepdim=True)
    adversarial = virtual_adversarial(lambda v: v @ W, x, radius, noise, radius)
    change = [
        categorical_kl(x @ W, moved @ W).item() for moved in (random, adversarial)
    ]
    assert change[1] > 3 * change[0]
    assert not adversarial.requires_grad


def test_virtual_adversarial_step_with_a_known_target_asks_for_one_output_less(rng):
    W, x, noise = (tensor(rng.normal(size=s)) for s in ((4, 3), (6, 4), (6, 4)))
    calls, radius = [], torch.ones(6, dtype=torch.float64)
    logits_of = lambda v: calls.append(1) or v @ W  # noqa: E731
    args = logits_of, x, radius, noise, radius
    without = virtual_adversarial(*args)
    assert len(calls) == 2
    torch.testing.assert_close(virtual_adversarial(*args, target=x @ W), without)
    assert len(calls) == 3


def test_virtual_adversarial_step_keeps_its_length_where_gradients_vanish(rng):
    """Sure assignments leave gradients whose squares are below float32."""
    W, x, noise = (tensor(rng.normal(size=s)).float() for s in ((3, 3), (9, 3), (9, 3)))
    sure = lambda v: v @ W + torch.tensor([50.0, 0, 0])  # noqa: E731
    radius = torch.arange(1.0, 10)
    moved = virtual_adversarial(sure, x, radius, noise, torch.ones(9))
    torch.testing.assert_close((moved - x).norm(dim=1), radius)


def gaussians(rng, n=4):
    """Two diagonal Gaussians of 3 dimensions for each of n rows."""
    return [
        f(size=(n, 3)) + shift for f, shift in [(rng.normal, 0), (rng.random, 0.1)] * 2
    ]


def density(x, mean, variance):
    each = np.exp(-((x - mean) ** 2) / 2 / variance) / np.sqrt(2 * np.pi * variance)
    return each.prod(-1)


def test_gaussian_kl_equals_its_equation(rng):
    m_q, v_q, m_p, v_p = args = gaussians(rng)
    each = np.log(v_p / v_q) + (v_q + (m_q - m_p) ** 2) / v_p - 1
    got = gaussian_kl(*map(tensor, args))
    np.testing.assert_allclose(got, each.sum(1) / 2)


def test_gaussian_kl_is_the_mean_log_ratio_of_densities(rng):
    """And broadcasts: rows of q against one p."""
    m_q, v_q, m_p, v_p = gaussians(rng)
    x = m_q + np.sqrt(v_q) * rng.normal(size=(200_000, 4, 3))
    log_ratio = np.log(density(x, m_q, v_q) / density(x, m_p[:1], v_p[:1]))
    got = gaussian_kl(*map(tensor, (m_q, v_q, m_p[0], v_p[0])))
    np.testing.assert_allclose(got, log_ratio.mean(0), rtol=0.03)
    assert gaussian_kl(*map(tensor, (m_q, v_q, m_q, v_q))).abs().max() < 1e-12


def test_gaussian_log_likelihood_is_the_log_of_the_density(rng):
    x, v, m, _ = gaussians(rng)
    got = gaussian_log_likelihood(*map(tensor, (x, m, v)))
    np.testing.assert_allclose(got, np.log(density(x, m, v)))


def test_gaussian_log_likelihood_is_highest_at_mean_and_spread(rng):
    x = tensor(rng.normal(2, 3, size=1000))[:, None]
    mean, variance = x.mean(), x.var(correction=0)
    best = gaussian_log_likelihood(x, mean.view(1), variance.view(1)).mean()
    for m, v in (
        (mean + 0.1, variance),
        (mean, 1.1 * variance),
        (mean, variance / 1.1),
    ):
        assert gaussian_log_likelihood(x, m.view(1), v.view(1)).mean() < best


def test_bernoulli_log_likelihood_equals_its_equation(rng):
    x, logits = rng.random((5, 7)), 3 * rng.normal(size=(5, 7))
    p = 1 / (1 + np.exp(-logits))
    expected = (x * np.log(p) + (1 - x) * np.log(1 - p)).sum(1)
    np.testing.assert_allclose(
        bernoulli_log_likelihood(tensor(x), tensor(logits)), expected
    )


def test_bernoulli_log_likelihood_of_sure_pixels_is_zero_and_else_finite():
    logits = torch.tensor([[200.0, -200.0]])
    assert bernoulli_log_likelihood(torch.tensor([[1.0, 0.0]]), logits).item() == 0
    assert bernoulli_log_likelihood(torch.tensor([[0.0, 1.0]]), logits).item() == -400


def test_squared_wasserstein_equals_its_equation(rng):
    m_a, v_a, m_b, v_b = args = gaussians(rng)
    expected = (m_a - m_b) ** 2 + (np.sqrt(v_a) - np.sqrt(v_b)) ** 2
    got = squared_wasserstein2(*map(tensor, args))
    np.testing.assert_allclose(got, expected.sum(1))


def test_squared_wasserstein_is_the_cost_of_sorted_samples():
    """In one dimension the best plan pairs ranks."""
    at = (np.arange(20_000) + 0.5) / 20_000
    quantiles = tensor(at).mul(2).sub(1).erfinv() * 2**0.5
    a, b = 1 + 0.5 * quantiles, -2 + 3 * quantiles
    got = squared_wasserstein2(*(tensor([v]) for v in (1, 0.25, -2, 9)))
    assert got.item() == pytest.approx((a - b).square().mean().item(), rel=1e-3)


def test_categorical_entropy_equals_its_equation_and_is_highest_for_even(rng):
    p = softmax(tensor(rng.normal(size=(20, 5)) * 3), 1)
    expected = -np.sum(p.numpy() * np.log(p.numpy()), axis=1)
    np.testing.assert_allclose(categorical_entropy(p.log()), expected)
    even = categorical_entropy(torch.zeros(5).log_softmax(0)).item()
    assert even == pytest.approx(np.log(5)) and expected.max() < even
