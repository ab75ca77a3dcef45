"""DCCS: deep image clustering with category-style representation (Zhao 2020)."""

from __future__ import annotations

import functools
from numbers import Integral, Real

import torch
from sklearn.utils._param_validation import Interval, StrOptions

from skdeepcluster import augment
from skdeepcluster.base import DeepClusterer
from skdeepcluster.docstrings import documented
from skdeepcluster.engine import neighbour_distance
from skdeepcluster.generative import draw_categories, prior_edges
from skdeepcluster.losses import (
    categorical_kl,
    gradient_penalty,
    js_mutual_information,
    virtual_adversarial,
    wasserstein,
)
from skdeepcluster.networks import (
    ConvEncoder,
    CustomEncoder,
    MLPEncoder,
    ResidualEncoder,
    ghost_batches,
    mlp,
    still_statistics,
)

_LAYERS = ("hidden_layer_sizes", "critic_layer_sizes", "discriminator_layer_sizes")


@documented
class DCCS(DeepClusterer):
    r"""Deep clustering with category-style representation.

    An encoder :math:`Q` gives each sample a category :math:`z_c` (a softmax over the
    clusters) and a style :math:`z_s` (a linear code). A critic :math:`C` draws
    :math:`\hat z=(z_s,z_c)` towards a Gaussian style and a one-hot category; a
    discriminator :math:`D` keeps the mutual information between sample and code high;
    augmentation :math:`T` must not change the category [1]_. With the prior
    :math:`\tilde z` and :math:`\bar z=\epsilon\tilde z+(1-\epsilon)\hat z`,

    .. math::
        \mathcal L_C &= \beta_{adv}\big[\mathbb E\,C(\hat z)-\mathbb E\,C(\tilde z)
        +\lambda\,\mathbb E(\lVert\nabla C(\bar z)\rVert_2-1)^2\big] \\
        \mathcal L_{Q,D} &= -\beta_{adv}\mathbb E\,C(\hat z)+\beta_{MI}\mathcal L_{MI}
        +\beta_{aug}\,\mathbb E\,\mathrm{KL}\big(z_c(x)\parallel z_c(T(x))\big)

    where :math:`\mathcal L_{MI}` is the binary cross-entropy of :math:`D` between
    matching and shuffled pairs of activation map and code.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters :math:`K`.
    encoder : nn.Module or callable, default=None
        Own encoder: a module (copied, never trained in place) that maps a batch of
        shape (n, n_features) or (n, channels, height, width) to features (n, ...), or
        a factory called with the shape of one input. A linear head is put on top. By
        default an MLP for tables, the paper's networks for images.
    hidden_layer_sizes : tuple of int, default=(512, 512)
        Hidden layers of the table encoder.
    critic_layer_sizes : tuple of int, default=(1024, 512)
        Hidden layers of the critic.
    discriminator_layer_sizes : tuple of int, default=(1024, 512)
        Hidden layers of the discriminator.
    n_style : int or "auto", default="auto"
        Dimensions of the style; "auto" is 50, for tables at most their columns (and at
        least 2).
    beta_mi : float, default=0.5
        Weight :math:`\beta_{MI}` of the mutual information.
    beta_adv : float, default=1.0
        Weight :math:`\beta_{adv}` of the critic.
    beta_aug : float or "auto", default="auto"
        Weight :math:`\beta_{aug}` of the augmentation loss; "auto" is 2, for images of
        32 pixels and more 4.
    gp_weight : float, default=10.0
        Weight :math:`\lambda` of the gradient penalty.
    sigma : float, default=0.1
        Standard deviation of the style's prior.
    n_critic : int, default=4
        Critic updates per encoder update.
    cluster_prior : array-like of shape (n_clusters,), default=None
        Known proportions of the clusters, in any order; uniform by default.
    augmentation : str, callable or None, default="auto"
        "crop", for images: a random resized crop, brightness and contrast (flips and
        channel permutation as below). "noise", for tables: noise and swapped entries.
        "vat": a virtual adversarial perturbation, the small step that changes the
        category most [2]_. "noise+vat": the one after the other. A callable maps a
        scaled batch to an augmented one. None: without. "auto": "crop" for images,
        "noise+vat" for tables: on many columns random noise alone is weak, on few
        columns an adversarial step as short as the neighbours are near.
    vat_radius : float, default=0.25
        For "vat": length of the perturbation, in distances to the tenth neighbour.
    horizontal_flip : bool or "auto", default="auto"
        Whether images are mirrored; "auto": those of 32 pixels and more
        (the paper also mirrors Fashion-MNIST).
    grey : bool or "auto", default="auto"
        Whether RGB images are converted to grey, after a random permutation of their
        channels in the copies of "crop"; "auto": unless `encoder` is given.
    noise : tuple of float, default=(0.1, 0.3)
        For noise: range of its size, in standard deviations of a column.
    swap : tuple of float, default=(0.1, 0.2)
        For noise: range of the share of entries taken from other rows.
    detach_target : bool, default=False
        Take :math:`z_c(x)` as a constant in the augmentation loss.
    batch_size : int, default=64
        Rows of a minibatch; incomplete ones are dropped.
    learning_rate : float, default=1e-4
        Step size of both Adam optimizers (:math:`\beta` = 0.5, 0.9).
    max_epochs : int or "auto", default="auto"
        Passes over the data, each batch used for one update (at least one iteration,
        which takes ``n_critic + 1`` batches); the paper's are up to 3000. "auto": a
        budget of iterations (`n_critic` critic updates and one encoder update): 4 per
        row, at least 150 and at most 2,000 for tables, 20,000 for images. An epoch is
        then at most a hundredth of the budget, but at least 20 iterations.
    tol : float, default=0.01
        Stop when the critic's distance, averaged over 20 epochs, has not fallen by
        this share within `n_iter_no_change` epochs, counted from its highest point.
        0 never stops. With the default `n_iter_no_change`, the budget of
        ``max_epochs="auto"`` ends first on tables, and on images in large numbers.
    n_iter_no_change : int, default=100
        See `tol`.
    %(shared parameters)s

    Attributes
    ----------
    %(shared attributes)s
    history_ : dict of ndarray of shape (n_epochs,)
        Per epoch, the means of ``wasserstein`` (the critic's estimate of the distance
        between codes and prior, eq. 8), ``gradient_penalty``, ``mutual_information``
        and ``augmentation`` (losses), ``loss`` (the encoder's), and ``step``,
        ``epoch``, ``phase``, ``dur`` (seconds).

    Notes
    -----
    **Differs from the paper.** (1) :math:`D` sees the encoder's activation map, not the
    image, and :math:`\mathcal L_{MI}` is the mean over matching and shuffled pairs
    (half of eq. 6), both as in the authors' release. (2) The last epoch is kept; the
    release reports the best one by labels. (3) "Critic loss converged" is made precise,
    see `tol`. (4) Tables, which the paper does not treat, get an MLP encoder and an
    augmentation by noise, swapped entries and a virtual adversarial step. Its radius is
    estimated from a part of the rows (1,000 to 10,000; where distances cannot be kept,
    from 1,000, which makes it too long beyond 15,000 rows); its power iteration steps
    as far as the tenth neighbour is (IMSAT: 10, whatever the data). (5) Augmentation is
    done in floating point on the device, which differs from 8-bit images by rounding.
    (6) A random pair of the shuffle may be a matching one (1 in 64). (7) The default
    budget is far shorter than the paper's 3000 epochs (656,000 iterations on MNIST).

    References
    ----------
    .. [1] J. Zhao, D. Lu, K. Ma, Y. Zhang, Y. Zheng, "Deep Image Clustering with
       Category-Style Representation", ECCV 2020.
    .. [2] W. Hu, T. Miyato, S. Tokui, E. Matsumoto, M. Sugiyama, "Learning Discrete
       Representations via Information Maximizing Self-Augmented Training", ICML 2017.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import DCCS
    >>> X, _ = make_blobs(60, centers=[[-9, -9], [0, 0], [9, 9]], random_state=0)
    >>> model = DCCS(n_clusters=3, max_epochs=150, random_state=0).fit(X)
    >>> model.predict(X).shape, model.transform(X).shape
    ((60,), (60, 5))
    """

    _parameter_constraints: dict = {
        **DeepClusterer._parameter_constraints,
        "hidden_layer_sizes": [tuple, list],
        "critic_layer_sizes": [tuple, list],
        "discriminator_layer_sizes": [tuple, list],
        "n_style": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
        "beta_mi": [Interval(Real, 0, None, closed="left")],
        "beta_adv": [Interval(Real, 0, None, closed="left")],
        "beta_aug": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "gp_weight": [Interval(Real, 0, None, closed="left")],
        "sigma": [Interval(Real, 0, None, closed="left")],
        "n_critic": [Interval(Integral, 1, None, closed="left")],
        "cluster_prior": ["array-like", None],
        "augmentation": [
            StrOptions({"auto", "crop", "noise", "vat", "noise+vat"}),
            callable,
            None,
        ],
        "vat_radius": [Interval(Real, 0, None, closed="left")],
        "horizontal_flip": ["boolean", StrOptions({"auto"})],
        "grey": ["boolean", StrOptions({"auto"})],
        "noise": [tuple, list],
        "swap": [tuple, list],
        "detach_target": ["boolean"],
    }

    _monitor = "wasserstein"

    def __init__(
        self,
        n_clusters=8,
        *,
        encoder=None,
        hidden_layer_sizes=(512, 512),
        critic_layer_sizes=(1024, 512),
        discriminator_layer_sizes=(1024, 512),
        n_style="auto",
        beta_mi=0.5,
        beta_adv=1.0,
        beta_aug="auto",
        gp_weight=10.0,
        sigma=0.1,
        n_critic=4,
        cluster_prior=None,
        augmentation="auto",
        vat_radius=0.25,
        horizontal_flip="auto",
        grey="auto",
        noise=(0.1, 0.3),
        swap=(0.1, 0.2),
        detach_target=False,
        batch_size=64,
        learning_rate=1e-4,
        max_epochs="auto",
        tol=0.01,
        n_iter_no_change=100,
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
        self._check_layers(*_LAYERS)
        self._check_prior()
        self._check_range("noise")
        self._check_range("swap", most=1)

    # -- networks ---------------------------------------------------------------------

    def _describe(self, input_shape):
        is_table = len(input_shape) == 1
        self._check_views(self._augmentation_kind(), input_shape)
        n_style = min(50, max(2, input_shape[0])) if is_table else 50
        grey = self._auto("grey", self.encoder is None)
        if not is_table:
            if self.encoder is None:
                self._check_sides(input_shape)
            if grey and input_shape[0] == 3:
                input_shape = (1, *input_shape[1:])
        return {
            "input_shape": tuple(input_shape),
            "n_clusters": int(self.n_clusters),
            "n_style": int(self._auto("n_style", n_style)),
            "layers": [[int(n) for n in getattr(self, name)] for name in _LAYERS],
            "encoder": self.encoder,
        }

    @staticmethod
    def _networks(input_shape, n_clusters, n_style, layers, encoder):
        n_code = n_style + n_clusters
        hidden, critic, discriminator = layers
        if encoder is not None:
            Q = CustomEncoder(encoder, input_shape, n_code)
        elif len(input_shape) == 1:
            Q = MLPEncoder(input_shape[0], hidden, n_code)
        elif min(input_shape[1:]) < 32:
            Q = ConvEncoder(input_shape, n_code)
        else:
            Q = ResidualEncoder(input_shape, n_code)
        return {
            "encoder": Q,
            "discriminator": mlp(Q.n_activation + n_code, discriminator, 1),
            "critic": mlp(n_code, critic, 1),
        }

    def _optimizers(self):
        adam = functools.partial(
            torch.optim.Adam, lr=self.learning_rate, betas=(0.5, 0.9), fused=True
        )
        return {
            "encoder": (adam, ["encoder", "discriminator"]),
            "critic": (adam, ["critic"]),
        }

    # -- training ---------------------------------------------------------------------

    def _train(self, net):
        budget = self._auto_budget(net.batches.n_samples)
        plan = self._schedule(net, self.max_epochs, budget, self.n_critic + 1)
        edges = prior_edges(self.cluster_prior, self.n_clusters, net.device)
        adversarial = self._augmentation_kind() in ("vat", "noise+vat")
        near = neighbour_distance(net, plan["n_steps"]) if adversarial else None
        net.run(functools.partial(self._step, edges=edges, near=near), **plan)

    def _step(self, net, edges, near):
        """One iteration of Algorithm 1."""
        Q, C, D = net.encoder_, net.critic_, net.discriminator_
        # Q stays as it is until its own update: one pass codes all batches of C.
        batches = [net.draw() for _ in range(self.n_critic)]
        with torch.no_grad(), ghost_batches(Q, self.n_critic):
            _, _, codes = self._code(Q, torch.cat(batches))
        distances, penalties = [], []
        for z in codes.chunk(self.n_critic):
            z_prior = self._sample_prior(net, len(z), edges)
            distance = wasserstein(C, z_prior, z)
            penalty = gradient_penalty(C, z_prior, z, net.rand(len(z)))
            distances.append(distance.detach())
            penalties.append(penalty.detach())
            net.descend("critic", self.beta_adv * (self.gp_weight * penalty - distance))
        x = net.draw()
        loss_aug = distance.new_zeros(())
        if self.augmentation is not None:
            _, logits_T, _ = self._code(Q, self._augment(x, net, near))
        a, logits, z = self._code(Q, x)
        if self.augmentation is not None:
            target = logits.detach() if self.detach_target else logits
            loss_aug = categorical_kl(target, logits_T)
        matching = D(torch.cat([a, z], 1))
        shuffled = D(torch.cat([a, z[net.randperm(len(z))]], 1))
        loss_mi = js_mutual_information(matching, shuffled)
        loss = (
            -self.beta_adv * C(z).mean()
            + self.beta_mi * loss_mi
            + self._beta_aug() * loss_aug
        )
        net.descend("encoder", loss)
        return {
            "loss": loss.detach(),
            "wasserstein": torch.stack(distances).mean(),
            "gradient_penalty": torch.stack(penalties).mean(),
            "mutual_information": loss_mi.detach(),
            "augmentation": loss_aug.detach(),
        }

    def _code(self, Q, x):
        """Activation map a, category logits, and code z = (z_s, z_c)."""
        if self._description["input_shape"][0] == 1:
            x = augment.to_grey(x) if x.ndim == 4 else x
        a, out = Q(x)
        n_style, n_clusters = (self._description[k] for k in ("n_style", "n_clusters"))
        style, logits = out.split([n_style, n_clusters], dim=1)
        return a, logits, torch.cat([style, logits.softmax(1)], 1)

    def _sample_prior(self, net, n, edges):
        """Draw codes from the prior: Gaussian style, one-hot category."""
        style = self.sigma * net.randn(n, self._description["n_style"])
        return torch.cat([style, draw_categories(n, edges, net)], 1)

    def _augment(self, x, net, near):
        """Augmented copy T(x) of a scaled batch."""
        if callable(self.augmentation):
            return self.augmentation(x.clone())  # it may work in place
        kind = self._augmentation_kind()
        if kind == "crop":
            return self._crop(x, net)
        distance = near(x) if near else None
        if kind in ("noise", "noise+vat"):
            std = self._scaling.std
            x = augment.corrupt(x, net, std, tuple(self.noise), tuple(self.swap))
        if kind == "noise":
            return x
        # The power iteration probes as far away as the neighbours are. IMSAT's step of
        # 10 is about that distance on its data (MNIST in [-1, 1]), and far outside of
        # the data on a table of a few standardised columns.
        noise = net.randn(*x.shape)
        with still_statistics(net.encoder_):
            return virtual_adversarial(
                lambda x: self._code(net.encoder_, x)[1],
                x,
                radius=self.vat_radius * distance,
                noise=noise,
                xi=distance,
            )

    def _augmentation_kind(self):
        return self._auto(
            "augmentation", "noise+vat" if self._image_shape is None else "crop"
        )

    def _crop(self, x, net):
        x = augment.random_resized_crop((x + 1) / 2, net)
        if self._auto("horizontal_flip", min(x.shape[2:]) >= 32):
            x = augment.horizontal_flip(x, net)
        if x.shape[1] == 3 and self._description["input_shape"][0] == 1:
            x = augment.to_grey(augment.permute_channels(x, net))
        return 2 * augment.colour_jitter(x, net) - 1

    def _beta_aug(self):
        sides = self._description["input_shape"][1:]
        return self._auto("beta_aug", 4.0 if sides and min(sides) >= 32 else 2.0)

    # -- inference --------------------------------------------------------------------

    def _encode(self, x):
        _, logits, z = self._code(self._model["encoder"], x)
        return z, logits
