"""Augmented GAN and information maximisation (Ntelemis 2020)."""

from __future__ import annotations

import functools
import math
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from skdeepcluster.base import DeepClusterer
from skdeepcluster.docstrings import documented
from skdeepcluster.engine import NeighbourDistance
from skdeepcluster.losses import (
    categorical_kl,
    discriminator_loss,
    generator_loss,
    information_maximisation,
    range_penalty,
    virtual_adversarial,
)
from skdeepcluster.networks import (
    ClusterHeads,
    FrozenEncoder,
    dcgan,
    mlp_gan,
    still_statistics,
)


@documented
class AugmentedGANClustering(DeepClusterer):
    r"""TODO."""

    _parameter_constraints: dict = {
        **DeepClusterer._parameter_constraints,
        "features": [StrOptions({"auto", "input", "gan"})],
        "hidden_layer_sizes": [tuple, list, StrOptions({"auto"})],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "n_over_heads": [Interval(Integral, 0, None, closed="left")],
        "n_over_clusters": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "n_views": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "vat_radius": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "vat_xi": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "vat_unit": [StrOptions({"auto", "norm", "neighbours"})],
        "information_weight": [Interval(Real, 0, None, closed="left")],
        "marginal_weight": [Interval(Real, 0, None, closed="left")],
        "tolerance": [Interval(Real, 0, None, closed="left")],
        "over_tolerance": [Interval(Real, 0, None, closed="left")],
        "init_std": [
            Interval(Real, 0, None, closed="neither"),
            StrOptions({"auto", "fan-in"}),
        ],
        "crop": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
        "range_weight": [Interval(Real, 0, None, closed="left")],
        "gan_batch_size": [Interval(Integral, 2, None, closed="left")],
        "gan_learning_rate": [Interval(Real, 0, None, closed="neither")],
        "gan_max_epochs": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "learning_rate": [
            Interval(Real, 0, None, closed="neither"),
            StrOptions({"auto"}),
        ],
    }

    _settles_in = "heads"
    _pixel_range = (0.0, 1.0)

    def __init__(
        self,
        n_clusters=8,
        *,
        features="auto",
        encoder=None,
        hidden_layer_sizes="auto",
        n_heads=5,
        n_over_heads=1,
        n_over_clusters="auto",
        n_views="auto",
        dropout=0.1,
        vat_radius="auto",
        vat_xi="auto",
        vat_unit="auto",
        information_weight=0.2,
        marginal_weight=4.0,
        tolerance=1e-4,
        over_tolerance=1e-2,
        init_std="auto",
        crop="auto",
        range_weight=1e-3,
        gan_batch_size=128,
        gan_learning_rate=2e-4,
        gan_max_epochs="auto",
        batch_size=500,
        learning_rate="auto",
        max_epochs="auto",
        tol=0.001,
        n_iter_no_change=10,
        image_shape=None,
        scale="auto",
        transform_to="embedding",
        device="auto",
        callbacks=None,
        random_state=None,
        verbose=0,
    ):
        self._store(locals())

    def _check_params(self):
        if self.hidden_layer_sizes != "auto":
            self._check_layers("hidden_layer_sizes")
        if self.features == "gan" and self.encoder is not None:
            raise ValueError("encoder gives the features; features='gan' learns them.")

    # -- networks ---------------------------------------------------------------------

    def _describe(self, input_shape):
        is_table = len(input_shape) == 1
        features = self.features
        if features == "auto":
            own = is_table or self.encoder is not None
            features = "input" if own else "gan"
        crop = 0 if is_table or features == "input" else self._crop(input_shape)
        unfit = self.scale in ("standard", "common")
        if features == "gan" and not is_table and unfit:
            raise ValueError(
                f"scale={self.scale!r} leaves the range [0, 1] of the generated "
                "images; use 'minmax'."
            )
        hidden = self.hidden_layer_sizes
        if hidden == "auto":
            hidden = (256, 256) if features == "input" else (1024, 1024)
        n_over = self.n_over_clusters
        if n_over == "auto":
            n_over = 5 * self.n_clusters
        return {
            "input_shape": tuple(input_shape),
            "features": features,
            "encoder": self.encoder,
            "crop": crop,
            "hidden": [int(n) for n in hidden],
            "heads": [
                (int(self.n_heads), int(self.n_clusters)),
                (int(self.n_over_heads), int(n_over)),
            ],
        }

    def _crop(self, input_shape):
        if self.crop == "auto":
            return 2 if input_shape == (1, 28, 28) else 0
        if 2 * self.crop > min(input_shape[1:]) - 4:
            raise ValueError(
                f"crop={self.crop} leaves less than 4 pixels of images of "
                f"{input_shape[1]} x {input_shape[2]}."
            )
        return int(self.crop)

    @staticmethod
    def _networks(input_shape, features, encoder, crop, hidden, heads):
        if features == "input":
            E = FrozenEncoder(encoder or nn.Flatten(), input_shape)
            return {"encoder": E, "heads": ClusterHeads(E.n_features, hidden, heads)}
        if len(input_shape) == 1:
            D, G = mlp_gan(*input_shape)
        else:
            channels, height, width = input_shape
            D, G = dcgan((channels, height - 2 * crop, width - 2 * crop))
        H = ClusterHeads(D.n_features, hidden, heads)
        return {"discriminator": D, "generator": G, "heads": H}

    def _draw_weights(self, name, network, generator):
        std = self._init_std() if name == "heads" else 0.02
        layers = [m for m in network.modules() if hasattr(m, "reset_parameters")]
        for layer in layers:
            if isinstance(layer, nn.modules.batchnorm._NormBase):
                continue
            fan_in = layer.weight[0].numel()
            scale = fan_in**-0.5 if std == "fan-in" else std
            nn.init.normal_(layer.weight, std=scale, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        if std == "fan-in":
            nn.init.normal_(network.output.weight, std=1e-4, generator=generator)

    def _init_std(self):
        if self.init_std != "auto":
            return self.init_std
        if self._image_shape is None or self._description["features"] == "input":
            return "fan-in"
        return 1e-3 if 32 <= min(self._image_shape[:2]) < 48 else 1e-2

    def _optimizers(self):
        adam = functools.partial(torch.optim.Adam, fused=True)
        optimizers = {
            "heads": (functools.partial(adam, lr=self._learning_rate()), ["heads"])
        }
        if self._description["features"] == "gan":
            gan = functools.partial(adam, lr=self.gan_learning_rate, betas=(0.5, 0.999))
            for name in ("discriminator", "generator"):
                optimizers[name] = (gan, [name])
        return optimizers

    def _learning_rate(self):
        if self.learning_rate != "auto":
            return self.learning_rate
        return 1e-3 if self._description["features"] == "input" else 1e-4

    # -- training ---------------------------------------------------------------------

    def _train(self, net):
        is_table, n = self._image_shape is None, net.batches.n_samples
        learned = self._description["features"] == "gan"
        if learned:
            net.batches.resize(self.gan_batch_size)
            budget = int(np.clip(4 * n, 150, 5_000 if is_table else 20_000))
            plan = self._schedule(net, self.gan_max_epochs, budget)
            net.run(self._gan_step, **plan, phase="gan")
            net.discriminator_.freeze()
            net.batches.resize(self.batch_size)
        elif self.encoder is not None:
            net.encoder_.standardise(net.batches.sample(min(n, 1_000)))
        budget = int(np.clip(n, 150, 10_000 if learned else 2_000))
        plan = self._schedule(net, self.max_epochs, budget)
        unit = self._vat_unit()
        near = NeighbourDistance(net, features=self._features) if unit else None
        step = functools.partial(
            self._heads_step, near=near, weight=1 / plan["steps_per_epoch"]
        )
        try:
            net.run(step, **plan, phase="heads")
        finally:
            net.heads_.choose()

    def _gan_step(self, net):
        """One iteration of Algorithm 1's first loop: discriminator, then generator."""
        D, G = net.discriminator_, net.generator_
        x = self._cropped(net.draw())
        with torch.no_grad():
            fake = G(self._noise(len(x), net))
        real_logits, M = D(x)
        # The averages of batch norm are those of real images, which it is used for.
        with still_statistics(D):
            fake_logits, fake_M = D(fake)
        penalty = range_penalty(M) + range_penalty(fake_M)
        loss_D = discriminator_loss(real_logits, fake_logits)
        net.descend("discriminator", loss_D + self.range_weight * penalty)
        with still_statistics(D):
            fake_logits, _ = D(G(self._noise(len(x), net)))
        loss_G = net.descend("generator", generator_loss(fake_logits))
        return {
            "loss": loss_D.detach(),
            "discriminator": loss_D.detach(),
            "generator": loss_G,
            "range_penalty": penalty.detach(),
        }

    def _noise(self, n, net):
        """Draw z, uniform in [-1, 1]."""
        return 2 * net.rand(n, net.generator_[0].in_features) - 1

    def _heads_step(self, net, near, weight):
        """One iteration of Algorithm 1's second loop."""
        H, r = net.heads_, self._n_views()
        x = net.draw()
        with torch.no_grad():
            m = self._features(x)
            m_dropped = self._features(_repeat(x, r), self.dropout)
        _, logits = H(m)
        # The clean rows go through the heads once; their r copies are equal.
        clean = [_repeat(p, r) for p in logits]
        targets = [p.detach() for p in clean]
        unit = m.norm(dim=1) if near is None else near(m)
        m_adversarial = self._perturb(_repeat(m, r), _repeat(unit, r), targets, net)
        # All views in one pass: there is no batch norm in the heads.
        _, views = H(torch.cat([m_dropped, m_adversarial]))
        dropped, adversarial = zip(*(p.chunk(2) for p in views), strict=True)
        loss_adv = _each_head(categorical_kl, targets, adversarial)
        loss_drop = _each_head(categorical_kl, clean, dropped)
        loss_I = _each_head(self._information, logits, self._tolerances())
        losses = (loss_adv + loss_drop) / 2 + self.information_weight * loss_I
        H.follow(losses[: self.n_heads], weight)
        return {
            "loss": net.descend("heads", losses.mean()),
            "adversarial": loss_adv.detach().mean(),
            "dropout": loss_drop.detach().mean(),
            "information": loss_I.detach().mean(),
        }

    def _perturb(self, m, unit, targets, net):
        """Adversarial features m + r_adv (eqs. 6, 7)."""
        radius, xi = self._vat_scales()
        return virtual_adversarial(
            lambda m: net.heads_(m)[1],
            m,
            radius=radius * unit,
            noise=net.randn(*m.shape),
            xi=xi * unit,
            divergence=lambda p, q: _each_head(categorical_kl, p, q).mean(),
            target=targets,
        )

    def _information(self, logits, tolerance):
        return information_maximisation(logits, self.marginal_weight, tolerance)

    def _tolerances(self):
        factors = self.tolerance, self.over_tolerance
        heads = self._description["heads"]
        return [f * math.log(k) for f, (n, k) in zip(factors, heads, strict=True) if n]

    def _n_views(self):
        if self.n_views != "auto":
            return self.n_views
        return 2 if self._description["features"] == "input" else 5

    def _vat_unit(self):
        if self.vat_unit != "auto":
            return self.vat_unit == "neighbours"
        return self._description["features"] == "input"

    def _vat_scales(self):
        if self._vat_unit():
            radius, xi = 0.25, 1.0
        else:
            large = self._image_shape and min(self._image_shape[:2]) >= 32
            radius, xi = (0.15, 0.3) if large else (0.2, 1.0)
        return (
            radius if self.vat_radius == "auto" else self.vat_radius,
            xi if self.vat_xi == "auto" else self.vat_xi,
        )

    def _cropped(self, x):
        crop = self._description["crop"]
        return x[:, :, crop:-crop, crop:-crop] if crop else x

    def _features(self, x, rate=0.0):
        """Frozen features m of a scaled batch, a share `rate` of them dropped."""
        if self._description["features"] == "input":
            return self._model["encoder"].features(x, rate)
        return self._model["discriminator"].features(self._cropped(x), rate)

    # -- inference --------------------------------------------------------------------

    def _encode(self, x):
        heads = self._model["heads"]
        hidden, logits = heads(self._features(x))
        return hidden, heads.read(logits[0])


def _repeat(x, r):
    """The batch r times, one copy after the other."""
    return x.repeat(r, *[1] * (x.ndim - 1))


def _each_head(loss, *kinds):
    """Loss of each head, of shape (all heads,), for arguments given per kind."""
    return torch.cat([loss(*args) for args in zip(*kinds, strict=True)])
