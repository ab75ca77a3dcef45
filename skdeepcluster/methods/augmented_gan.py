"""Augmented GAN and information maximisation (Ntelemis 2020)."""

from __future__ import annotations

import functools
import math
from numbers import Integral, Real

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn
from torch.nn import functional as F

from skdeepcluster.base import DeepClusterer
from skdeepcluster.docstrings import documented
from skdeepcluster.engine import if_stopped
from skdeepcluster.losses import (
    categorical_kl,
    discriminator_loss,
    generator_loss,
    information_maximisation,
    range_penalty,
    virtual_adversarial,
)
from skdeepcluster.multihead import MultiHeadMixin
from skdeepcluster.networks import (
    ClusterHeads,
    FrozenEncoder,
    dcgan,
    mlp_gan,
    normal_,
    still_statistics,
)

_UNTRAINED = (
    "Training ended in the first phase, that of the GAN: the heads, and so the "
    "clusters, are untrained."
)


@documented
class AugmentedGANClustering(MultiHeadMixin, DeepClusterer):
    r"""Frozen features, clustered by information maximisation with several heads.

    Features :math:`m` come from the discriminator of a GAN that sees edges beside the
    image, or are given. Then they are frozen, and a small network with several softmax
    heads learns to cluster them: its clusters must be sure and nearly even, and must
    not change under dropout in what computes the features, nor under the small step
    that changes them most [1]_.

    **First phase**, for features of its own. With :math:`\mathrm{sp}(a)=\log(1+e^a)`,
    discriminator :math:`D`, generator :math:`G`, noise :math:`z` and :math:`\tilde M`,
    the features before their activation,

    .. math::
        \mathcal L_D &= \mathbb E\,\mathrm{sp}(-D(x))+\mathbb E\,\mathrm{sp}(D(G(z)))
        +\rho\sum\max(|\tilde M|-20,0) \\
        \mathcal L_G &= \mathbb E\,\mathrm{sp}(-D(G(z)))

    **Second phase.** The loss of a head with :math:`k` outputs :math:`p`, averaged over
    all heads; :math:`m'` are features under dropout, :math:`r_{adv}` the virtual
    adversarial step, sg a constant:

    .. math::
        \mathcal L &= \tfrac12\overline{\mathrm{KL}}\big(\mathrm{sg}\,p(m)\parallel
        p(m+r_{adv})\big)+\tfrac12\overline{\mathrm{KL}}\big(p(m)\parallel p(m')\big)
        +\lambda I \\
        I &= \overline H\big(p(m)\big)+\mu\max\big(\log k-H(\bar p)-\delta,0\big)

    The head with the lowest loss at the end is the clustering; labels play no part.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters :math:`k`.
    features : {"auto", "input", "gan"}, default="auto"
        Where the features come from. "input": the scaled input, or the output of
        `encoder`; that, and pixels, are centred and divided by one number (learned
        from 1,000 rows at most), so that their mean variance is 1. "gan": a
        discriminator, trained first. "auto": "gan" for images without an `encoder`,
        else "input".
    encoder : nn.Module or callable, default=None
        Frozen features: a module (copied, kept in eval mode, never trained) that maps
        a batch of shape (n, n_features) or (n, channels, height, width) to features
        (n, ...), or a factory called with the shape of one input. Pixels are given to
        it in [0, 1].
    hidden_layer_sizes : tuple of int or "auto", default="auto"
        Trunk that all heads share, of linear layers and ReLU. "auto": (1024, 1024), as
        published, for a GAN's features, (256, 256) for "input".
    n_heads : int, default=5
        Heads with `n_clusters` outputs.
    n_over_heads : int, default=1
        Heads with `n_over_clusters` outputs, which help the trunk to see detail.
    n_over_clusters : int or "auto", default="auto"
        "auto": 5 times `n_clusters`, as published.
    n_views : int or "auto", default="auto"
        Copies per sample of either kind, under dropout and adversarial. "auto": 5, as
        published, for a GAN's features, 1 for "input".
    dropout : float, default=0.1
        Share of units dropped for :math:`m'`: in all layers of the discriminator, of
        the features themselves where these are given.
    vat_radius : float or "auto", default="auto"
        Length :math:`\alpha_{adv}` of the adversarial step, as a share of the norm of
        the features. "auto": .2, as published for MNIST, for images of 32 pixels and
        more .15, as for CIFAR and STL.
    vat_xi : float or "auto", default="auto"
        Length :math:`\alpha_r` of the random step at whose end the adversarial
        direction is found, likewise. "auto": 1, for images of 32 pixels and more .3.
    information_weight : float, default=0.2
        Weight :math:`\lambda`.
    marginal_weight : float, default=4.0
        Weight :math:`\mu` of the evenness of the clusters.
    tolerance : float, default=1e-4
        Unevenness that a head may have for nothing: :math:`\delta` as a share of
        :math:`\log k`. Raise it where clusters are known to differ in size; the
        paper goes up to .002 for classes 40 % smaller than others.
    over_tolerance : float, default=1e-2
        The same for the heads with `n_over_clusters` outputs.
    init_std : float, "fan-in" or "auto", default="auto"
        Standard deviation of the first weights of trunk and heads. "fan-in": one over
        the root of a layer's inputs. "auto": for features of images from a GAN as
        published, 1e-2, or 1e-3 for sides of 32 to 47 pixels (its CIFAR); else
        "fan-in".
    crop : int or "auto", default="auto"
        Pixels cut off at each border of images before the GAN sees them. "auto": 2 for
        grey images of 28 x 28, which leaves the 24 x 24 published for MNIST, else 0.
    range_weight : float, default=1e-3
        Weight :math:`\rho` of the penalty of large features.
    gan_batch_size : int, default=128
        Rows of a minibatch in the first phase.
    gan_learning_rate : float, default=2e-4
        Step size of both Adam optimizers (:math:`\beta` = 0.5, 0.999) of it.
    gan_max_epochs : int or "auto", default="auto"
        Passes over the data of the first phase. The "epoch" of the paper's release is
        500 iterations, whatever the data: its 500 for MNIST are 457 passes. "auto": a
        budget of iterations (one update of the discriminator, one of the generator): 4
        per row, at least 150 and at most 20,000 for images, 5,000 for tables.
    batch_size : int or "auto", default="auto"
        Rows of a minibatch in the second phase. "auto": 500, as published, for a GAN's
        features, 250 for "input".
    learning_rate : float or "auto", default="auto"
        Step size of the heads' Adam. "auto": 1e-4, as published, for a GAN's features,
        1e-3 for "input".
    max_epochs : int or "auto", default="auto"
        Passes over the data of the second phase; the paper's are 200 to 1000. "auto":
        a budget of iterations: 4 per row, at least 500, and at most 10,000 for a GAN's
        features, 3,000 for "input". An epoch is then at most a hundredth of the budget,
        but at least 20 iterations.
    tol : float, default=0.001
        Stop when at most this share of 1,000 followed samples has changed its cluster
        within `n_iter_no_change` epochs, and 500 iterations at least, of the second
        phase. 0 never stops.
    n_iter_no_change : int, default=10
        See `tol`.
    %(shared parameters)s

    Attributes
    ----------
    %(shared attributes)s
    history_ : dict of ndarray of shape (n_epochs,)
        Per epoch, the means of ``loss`` (in phase "gan" :math:`\mathcal L_D`) and, in
        phase "gan", ``discriminator`` (its part without the penalty), ``generator`` and
        ``range_penalty`` (losses), in phase "heads", over all heads, ``adversarial``,
        ``dropout`` (divergences) and ``information`` (:math:`I`), and ``changed``, the
        share of samples that `tol` speaks of; nan where a phase has no such quantity.
        ``step``, ``epoch``, ``phase``, ``dur`` (seconds).

    Notes
    -----
    `transform` gives the trunk's output. While the heads are trained the first of them
    is read; the one with the lowest loss, averaged over the last epoch with weights
    that fall exponentially, is read from the end on.

    Averages of batch norm in the discriminator move by a hundredth per iteration, as
    published: after a short first phase the features are normalised in part by what the
    averages began with (22 % of it is left after 150 iterations, 1 % after 460).

    **Differs from the paper.** (1) As in the authors' release: the weight :math:`\mu=4`
    (the paper's formula has none), the learning rate of the GAN (the paper: 1e-4), the
    weight of the range penalty, the networks, whose numbers of parameters are the
    published ones, and batch norm without a scale from 32 pixels on. (2) The paper
    divides by squared norms and makes radii of them; plain norms are meant. (3)
    Averages of batch norm are of real images alone. (4) An own `encoder`, which is
    frozen, codes all rows once. (5) The clean sample is the same in all
    views, so it goes through the heads once; views under dropout are drawn anew in each
    step, batch by batch. (6) Sizes of images other than the published ones follow a
    rule, see ``networks.dcgan``. (7) The default budgets are shorter than the 250,000
    iterations and 200 epochs of the release on MNIST, and end early where assignments
    have settled; the paper's text has 1,000 iterations and 1,000 epochs. (8) Tables,
    which the paper does not treat, are clustered as they are, with a smaller trunk,
    smaller batches, one view of each kind and a larger learning rate, so that a
    processor can do it. Their columns are centred, so the length of a row, which the
    adversarial step is a share of, is its distance from the mean: rows near the mean
    are hardly perturbed. (9) Both phases see the same rows; for STL-10 the paper trains
    the GAN on a larger set.

    References
    ----------
    .. [1] F. Ntelemis, Y. Jin, S. A. Thomas, "Image Clustering Using an Augmented
       Generative Adversarial Network and Information Maximization", IEEE TNNLS 2021.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import AugmentedGANClustering
    >>> X, _ = make_blobs(60, centers=[[-9, -9], [0, 0], [9, 9]], random_state=0)
    >>> model = AugmentedGANClustering(3, max_epochs=150, random_state=0).fit(X)
    >>> model.predict(X).shape, model.transform(X).shape
    ((60,), (60, 256))
    """

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
        "batch_size": [
            Interval(Integral, 2, None, closed="left"),
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
        batch_size="auto",
        learning_rate="auto",
        max_epochs="auto",
        tol=0.001,
        n_iter_no_change=10,
        n_init=1,
        consensus=False,
        n_jobs=None,
        image_shape=None,
        scale="auto",
        transform_to="embedding",
        device="auto",
        graph="auto",
        precision="auto",
        compile=False,
        callbacks=None,
        random_state=None,
        verbose=0,
    ):
        self._store(locals())

    def _check_params(self):
        self._check_layers("hidden_layer_sizes")
        if self.features == "gan" and self.encoder is not None:
            raise ValueError("encoder gives the features; features='gan' learns them.")

    # -- networks ---------------------------------------------------------------------

    def _describe(self, input_shape):
        is_table = len(input_shape) == 1
        given = is_table or self.encoder is not None
        features, crop = self._auto("features", "input" if given else "gan"), 0
        if features == "gan":
            self._check_pixels(input_shape)
            crop = 0 if is_table else self._crop(input_shape)
        hidden = (256, 256) if features == "input" else (1024, 1024)
        hidden = self._auto("hidden_layer_sizes", hidden)
        n_over = self._auto("n_over_clusters", 5 * self.n_clusters)
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
        if self.crop and 2 * self.crop > min(input_shape[1:]) - 4:
            raise ValueError(
                f"crop={self.crop} leaves less than 4 pixels of images of "
                f"{input_shape[1]} x {input_shape[2]}."
            )
        return int(self.crop)

    @staticmethod
    def _networks(input_shape, features, encoder, crop, hidden, heads):
        if features == "input":
            given = nn.Flatten() if encoder is None else encoder
            E = FrozenEncoder(given, input_shape)
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
        if std != "fan-in":
            normal_(network, generator, std)
            return
        for layer in [m for m in network.modules() if isinstance(m, nn.Linear)]:
            normal_(layer, generator, layer.in_features**-0.5)

    def _init_std(self):
        if self._image_shape is None or self._is_given():
            return self._auto("init_std", "fan-in")
        cifar = 32 <= min(self._image_shape[:2]) < 48
        return self._auto("init_std", 1e-3 if cifar else 1e-2)

    def _is_given(self):
        """Whether the features are, without a GAN."""
        return self._description["features"] == "input"

    def _optimizers(self):
        adam = functools.partial(torch.optim.Adam, fused=True)
        rate = self._auto("learning_rate", 1e-3 if self._is_given() else 1e-4)
        optimizers = {"heads": (functools.partial(adam, lr=rate), ["heads"])}
        if not self._is_given():
            gan = functools.partial(adam, lr=self.gan_learning_rate, betas=(0.5, 0.999))
            for name in ("discriminator", "generator"):
                optimizers[name] = (gan, [name])
        return optimizers

    def _batch_size(self):
        return self._auto("batch_size", 250 if self._is_given() else 500)

    # -- training ---------------------------------------------------------------------

    def _train(self, net):
        is_table, n = self._image_shape is None, net.batches.n_samples
        if not self._is_given():
            net.batches.resize(self.gan_batch_size)
            budget = self._auto_budget(n, table=5_000)
            plan = self._schedule(net, self.gan_max_epochs, budget)
            with if_stopped(_UNTRAINED):
                net.run(self._gan_step, **plan, phase="gan")
            net.discriminator_.freeze()
            net.batches.resize(self._batch_size())
        elif self.encoder is not None or not is_table:
            net.encoder_.standardise(net.batches.sample(min(n, 1_000)))
        most = 3_000 if self._is_given() else 10_000
        budget = self._auto_budget(n, most, most, least=500)
        plan = self._schedule(net, self.max_epochs, budget)
        weight = 1 / plan["steps_per_epoch"]
        codes = self._codes_of_rows(net, plan["n_steps"])
        step = functools.partial(self._heads_step, weight=weight, codes=codes)
        net.run(step, **plan, phase="heads")

    @torch.no_grad()
    def _codes_of_rows(self, net, n_steps):
        """What an own encoder gives for all rows, where steps would ask for more."""
        batches = net.batches
        if self.encoder is None or n_steps * batches.batch_size < batches.n_samples:
            return None
        E = net.encoder_
        return torch.cat([E.features(x) for x in batches.in_order(batches.batch_size)])

    def _gan_step(self, net):
        """One iteration of Algorithm 1's first loop: discriminator, then generator."""
        D, G = net.discriminator_, net.generator_
        x = self._cropped(net.draw())
        with torch.no_grad():
            fake = G(self._noise(len(x), net))
        real_logits, M, _ = D(x)
        # The averages of batch norm are those of real images, which it is used for.
        with still_statistics(D):
            fake_logits, fake_M, _ = D(fake)
        penalty = range_penalty(M) + range_penalty(fake_M)
        loss_D = discriminator_loss(real_logits, fake_logits)
        loss = net.descend("discriminator", loss_D + self.range_weight * penalty)
        with still_statistics(D):
            fake_logits, *_ = D(G(self._noise(len(x), net)))
        loss_G = net.descend("generator", generator_loss(fake_logits))
        return {
            "loss": loss,
            "discriminator": loss_D.detach(),
            "generator": loss_G,
            "range_penalty": penalty.detach(),
        }

    def _noise(self, n, net):
        """Draw z, uniform in [-1, 1]."""
        return 2 * net.rand(n, net.generator_[0].in_features) - 1

    def _heads_step(self, net, weight, codes):
        """One iteration of Algorithm 1's second loop."""
        H, r = net.heads_, self._n_views()
        with torch.no_grad():
            if codes is None:
                x = net.draw()
                m = self._features(x)
            else:
                x, m = None, net.batches.draw_from(codes)
            m_dropped = self._dropped(x, m, r)
        _, logits = H(m)
        # The clean rows go through the heads once; their r copies are equal.
        clean = [_repeat(p, r) for p in logits]
        targets = [p.detach() for p in clean]
        m_adversarial = self._perturb(_repeat(m, r), targets, net)
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

    def _perturb(self, m, targets, net):
        """Adversarial features m + r_adv (eqs. 6, 7)."""
        norm = m.norm(dim=1)
        radius, xi = self._vat_scales()
        return virtual_adversarial(
            lambda m: net.heads_(m)[1],
            m,
            radius=radius * norm,
            noise=net.randn(*m.shape),
            xi=xi * norm,
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
        return self._auto("n_views", 1 if self._is_given() else 5)

    def _vat_scales(self):
        """alpha_adv and alpha_r."""
        large = self._image_shape is not None and min(self._image_shape[:2]) >= 32
        radius, xi = (0.15, 0.3) if large else (0.2, 1.0)
        return self._auto("vat_radius", radius), self._auto("vat_xi", xi)

    def _cropped(self, x):
        crop = self._description["crop"]
        return x[:, :, crop:-crop, crop:-crop] if crop else x

    def _features(self, x):
        """Frozen features m of a scaled batch."""
        if self._is_given():
            return self._model["encoder"].features(x)
        return self._model["discriminator"].features(self._cropped(x))

    def _dropped(self, x, m, r):
        """Features m' under dropout, r times per sample; of x, whose features are m."""
        if self._is_given():
            # In eval mode the features of a sample's copies are all the same.
            return F.dropout(_repeat(m, r), self.dropout)
        x = _repeat(self._cropped(x), r)
        return self._model["discriminator"].features(x, self.dropout)

    # -- inference --------------------------------------------------------------------

    def _encode(self, x):
        heads = self._model["heads"]
        hidden, logits = heads(self._features(x))
        return hidden, heads.read(logits[0])


def _repeat(x, r):
    """The batch r times, one copy after the other."""
    return x if r == 1 else x.repeat(r, *[1] * (x.ndim - 1))


def _each_head(loss, *kinds):
    """Loss of each head, of shape (all heads,), for arguments given per kind."""
    return torch.cat([loss(*args) for args in zip(*kinds, strict=True)])
