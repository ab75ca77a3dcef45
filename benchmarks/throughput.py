"""What a step costs in a method, and in a bare loop of the same maths.

Each function here writes one iteration of a method as plain PyTorch: no engine, no
history, no callbacks, one optimizer call after the other. `compare` makes the two in
turn, on the same networks and data.
"""

from __future__ import annotations

import copy
import math
import warnings

import numpy as np
import torch
from torch.autograd import grad
from torch.nn import functional as F

from benchmarks.in_turn import ratio_of
from benchmarks.phases import started
from skdeepcluster.engine import NeighbourDistance, threads_for
from skdeepcluster.methods import METHODS
from skdeepcluster.networks import ghost_batches, still_statistics

_SIZES = {
    # Hidden layers of every network; "large" is each method's default.
    "small": (32, 32),
    "large": None,
}
_N, _COLUMNS, _K = 5_000, 50, 10
# Methods that have a bare loop here.
BARE = ("augmented_gan", "dccs", "simi_clustergan", "udc", "vc")
_STEPS = 20  # of a round: an epoch of the method


class _Rows:
    """Minibatches of a tensor, in a random order."""

    def __init__(self, data, size):
        self.data, self.size, self.at = data, size, len(data)
        self.std = data.std(0, correction=0)

    def __call__(self):
        if self.at + self.size > len(self.data):
            self.order, self.at = torch.randperm(len(self.data)), 0
        self.rows = self.order[self.at : self.at + self.size]
        self.at += self.size
        return self.data[self.rows]


def _update(optimizer, parameters, loss):
    for p in parameters:
        p.grad = None
    loss.backward(inputs=parameters)
    optimizer.step()


def _adam(*networks, lr, betas):
    parameters = [p for network in networks for p in network.parameters()]
    return torch.optim.Adam(parameters, lr=lr, betas=betas, fused=True), parameters


def _penalty(critic, real, fake):
    epsilon = torch.rand(len(real), 1)
    between = (epsilon * real + (1 - epsilon) * fake).detach().requires_grad_()
    (slope,) = grad(critic(between).sum(), between, create_graph=True)
    return (slope.norm(dim=1) - 1).square().mean()


def _entropy(p):
    return -(p * p.clamp(min=1e-30).log()).sum(-1)


def _kl(target, logits):
    log_p = target.log_softmax(-1)
    return (log_p.exp() * (log_p - logits.log_softmax(-1))).sum(-1)


def _corrupt(x, std):
    n, d = x.shape
    u = torch.rand(n, 2)
    other = (torch.rand(n, d) * n).long()
    swap = torch.rand(n, d) < 0.1 + 0.1 * u[:, 1:]
    x = torch.where(swap, x.gather(0, other), x)
    return x + (0.1 + 0.2 * u[:, :1]) * std * torch.randn(n, d)


def _one_hot(n):
    return F.one_hot(torch.randint(_K, (n,)), _K).float()


def _dccs(networks, x_of, n_style, near):
    Q, C, D = networks["encoder"], networks["critic"], networks["discriminator"]
    adam_C, theta_C = _adam(C, lr=1e-4, betas=(0.5, 0.9))
    adam_Q, theta_Q = _adam(Q, D, lr=1e-4, betas=(0.5, 0.9))

    def code(x):
        a, out = Q(x)
        style, logits = out.split([n_style, _K], 1)
        return a, logits, torch.cat([style, logits.softmax(1)], 1)

    def augment(x):
        far = near[x_of.rows][:, None]
        x = _corrupt(x, x_of.std)
        with still_statistics(Q):
            with torch.no_grad():
                target = code(x)[1]
            d = torch.randn_like(x)
            d = (far * d / d.norm(dim=1, keepdim=True)).requires_grad_()
            (d,) = grad(_kl(target, code(x + d)[1]).mean(), d)
        return x + 0.25 * far * d / d.norm(dim=1, keepdim=True).clamp(min=1e-12)

    def step():
        with torch.no_grad(), ghost_batches(Q, 4):
            codes = code(torch.cat([x_of() for _ in range(4)]))[2]
        for z in codes.chunk(4):
            prior = torch.cat([0.1 * torch.randn(len(z), n_style), _one_hot(len(z))], 1)
            distance = C(prior).mean() - C(z).mean()
            _update(adam_C, theta_C, 10 * _penalty(C, prior, z) - distance)
        x = x_of()
        moved = code(augment(x))[1]
        a, logits, z = code(x)
        right = D(torch.cat([a, z], 1))
        wrong = D(torch.cat([a, z[torch.randperm(len(z))]], 1))
        information = (F.softplus(-right).mean() + F.softplus(wrong).mean()) / 2
        loss = -C(z).mean() + 0.5 * information + 2 * _kl(logits, moved).mean()
        _update(adam_Q, theta_Q, loss)

    return step


def _udc(networks, x_of, n_noise):
    C, D, G = networks["classifier"], networks["critic"], networks["generator"]
    (adam_C, theta_C), (adam_D, theta_D), (adam_G, theta_G) = (
        _adam(network, lr=5e-4, betas=(0.5, 0.9)) for network in (C, D, G)
    )
    n = x_of.size

    def fake(n):
        y = _one_hot(n)
        return y, G(torch.cat([torch.randn(n, n_noise), y], 1))

    def bound(y, x):
        return -(y * C(x)[1].log_softmax(1)).sum(1).mean()

    def step():
        with torch.no_grad():
            y, x_fake = (part.split(n) for part in fake(9 * n))
        for i in range(5):
            x = x_of()
            distance = D(x).mean() - D(x_fake[i]).mean()
            _update(adam_D, theta_D, 10 * _penalty(D, x, x_fake[i]) - distance)
        for i in range(5, 9):
            _update(adam_C, theta_C, bound(y[i], x_fake[i]))
        y, x_fake = fake(n)
        _update(adam_G, theta_G, 10 * bound(y, x_fake) - D(x_fake).mean())

    return step


def _simi(networks, x_of, n_noise, clusters):
    E, D, G = networks["encoder"], networks["critic"], networks["generator"]
    adam_D, theta_D = _adam(D, lr=1e-4, betas=(0.5, 0.9))
    adam_G, theta_G = _adam(G, E, lr=1e-4, betas=(0.5, 0.9))

    def draw():
        x = x_of()
        return x, F.one_hot(clusters[x_of.rows], _K).float()

    def noise(n):
        return 0.1 * torch.randn(n, n_noise)

    def code(x):
        return E(x)[1].split([n_noise, _K], 1)

    def ce(logits, h):
        return -(h * logits.log_softmax(1)).sum(1).mean()

    def step():
        batches, codes = zip(*(draw() for _ in range(5)), strict=True)
        with torch.no_grad():
            h = torch.cat(codes)
            fakes = G(torch.cat([noise(len(h)), h], 1))
        for x, x_fake in zip(batches, fakes.chunk(5), strict=True):
            distance = D(x).mean() - D(x_fake).mean()
            # The critic is low on the data.
            _update(adam_D, theta_D, 10 * _penalty(D, x, x_fake) + distance)
        x, h = draw()
        z, z2 = noise(len(x)), noise(len(x))
        x_fake = G(torch.cat([z, h], 1))
        (z_fake, c_fake), (z_real, c_real) = code(x_fake), code(x)
        p_real = c_real.softmax(1)
        loss = D(x_fake).mean() + 10 * ce(c_fake, h) + 10 * F.mse_loss(z_fake, z)
        loss = loss + F.mse_loss(G(torch.cat([z_real, p_real], 1)), x)
        loss = loss + 10 * ce(c_real, h)
        loss = loss + F.mse_loss(G(torch.cat([z2, p_real], 1)), x_fake)
        _update(adam_G, theta_G, loss)

    return step


def _vc(networks, x_of):
    Q, P = networks["encoder"], networks["prior"]
    posterior, decoder = networks["posterior"], networks["decoder"]
    adam, theta = _adam(*networks.values(), lr=1e-3, betas=(0.9, 0.999))

    def step():
        x = x_of()
        n = len(x)
        h, logits = Q(torch.cat([x, _corrupt(x, x_of.std)]))
        log_q = logits.log_softmax(1)
        q = log_q.exp()
        mean, variance = posterior(h, None)
        mean_p, variance_p = P.table()
        m, v = mean[:n], variance[:n]
        z = m + v.sqrt() * torch.randn_like(m)
        location, scale = decoder(z)
        log_p = -(((x[:, None] - location) ** 2) / scale + scale.log()).sum(2) / 2
        log_p = log_p - x.shape[1] * math.log(2 * math.pi) / 2
        ratio = (v + (m - mean_p) ** 2) / variance_p
        kl = (ratio - 1 + variance_p.log() - v.log()).sum(2) / 2
        w2 = (m - mean[n:]) ** 2 + (v.sqrt() - variance[n:].sqrt()) ** 2
        elbo = (q[:n] * (log_p - kl)).sum(1) - (q[:n] * log_q[:n]).sum(1)
        aug = ((q[:n] - q[n:]) ** 2).sum(1) + (q[:n] * w2.sum(2)).sum(1)
        _update(adam, theta, (aug - elbo).mean())

    return step


def _heads(networks, x_of):
    H = networks["heads"]
    adam, theta = _adam(H, lr=1e-3, betas=(0.9, 0.999))

    def information(logits, tolerance):
        p = logits.softmax(2)
        missing = math.log(p.shape[2]) * (1 - tolerance) - _entropy(p.mean(0))
        return _entropy(p).mean(0) + 4 * missing.clamp(min=0)

    def each(loss, *kinds):
        return torch.cat([loss(*args) for args in zip(*kinds, strict=True)])

    def step():
        m = x_of()
        norm = m.norm(dim=1, keepdim=True)
        _, logits = H(m)
        targets = [p.detach() for p in logits]
        d = torch.randn_like(m)
        d = (norm * d / d.norm(dim=1, keepdim=True)).requires_grad_()
        divergence = each(lambda p, q: _kl(p, q).mean(0), targets, H(m + d)[1]).mean()
        (d,) = grad(divergence, d)
        moved = m + 0.2 * norm * d / d.norm(dim=1, keepdim=True).clamp(min=1e-12)
        views = H(torch.cat([F.dropout(m, 0.1), moved]))[1]
        dropped, moved = zip(*(p.chunk(2) for p in views), strict=True)
        adversarial = each(lambda p, q: _kl(p, q).mean(0), targets, moved)
        consistent = each(lambda p, q: _kl(p, q).mean(0), logits, dropped)
        sure = each(information, logits, (1e-4, 1e-2))
        _update(adam, theta, ((adversarial + consistent) / 2 + 0.2 * sure).mean())

    return step


def bare_loop(method, model, networks, data, step):
    """Return one iteration of a method's last phase, of which `step` is its own."""
    x_of = _Rows(data, model._batch_size())
    if method == "augmented_gan":
        return _heads(networks, x_of)
    if method == "vc":
        return _vc(networks, x_of)
    if method == "dccs":
        near = NeighbourDistance(data[:1_000], len(data))(data)
        return _dccs(networks, x_of, model._description["n_style"], near)
    n_noise = model._description["n_noise"]
    if method == "udc":
        return _udc(networks, x_of, n_noise)
    x_of.size = model.batch_size
    clusters = step.keywords["code"].keywords["clusters"]
    return _simi(networks, x_of, n_noise, clusters)


def compare(rounds: int = 15, sizes=tuple(_SIZES)) -> str:
    """Make steps in turn, bare and in the method; the ratio round by round."""
    lines = [
        "| method | networks | threads | bare, ms a step | method, ms | "
        "ratio: median (range) |",
        "|---|---|---|---|---|---|",
    ]
    rng = np.random.default_rng(0)
    X = rng.normal(size=(_N, _COLUMNS)).astype(np.float32)
    for method in BARE:
        kind = METHODS[method]
        for size in sizes:
            hidden = _SIZES[size]
            layers = [p for p in kind().get_params() if p.endswith("layer_sizes")]
            params = dict.fromkeys(layers, hidden) if hidden else {}
            model = kind(_K, tol=0, random_state=0, **params)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                net, phases = started(model, X)
            step, plan = phases[-1]
            networks = copy.deepcopy(dict(net.networks.items()))
            data = torch.cat(list(net.batches.in_order(1_024)))
            bare = bare_loop(method, model, networks, data, step)
            del net.run  # the true one
            plan["n_steps"] = plan["steps_per_epoch"] = _STEPS
            with threads_for(net.work_of_a_pass, net.device):
                threads = torch.get_num_threads()
                cells = ratio_of(
                    lambda bare=bare: [bare() for _ in range(_STEPS)],
                    lambda: net.run(step, **plan),  # noqa: B023 (called in its round)
                    rounds,
                    _STEPS,
                )
            lines.append(f"| {method} | {size} | {threads} | {cells}")
    return "\n".join(lines)
