"""SIMI-ClusterGAN: ClusterGAN with a prior learned from the data (Dam 2021)."""

from __future__ import annotations

import functools
import math
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _num_samples
from torch.nn.functional import mse_loss

from skdeepcluster.docstrings import documented
from skdeepcluster.engine import if_stopped, neighbour_distance
from skdeepcluster.engine.callbacks import with_callbacks
from skdeepcluster.generative import one_hot
from skdeepcluster.losses import entropy_bound
from skdeepcluster.methods.clustergan import ClusterGAN
from skdeepcluster.methods.imsat import (
    imsat_affine,
    imsat_budget,
    imsat_losses,
)
from skdeepcluster.networks import (
    FlatEncoder,
    imsat_normal_,
    normal_,
    still_statistics,
)

_UNTRAINED = (
    "SIMIClusterGAN was stopped in its first phase: encoder and generator (transform, "
    "sample) are untrained, clusters are {}."
)
_WEIGHTS = ("alpha_cl", "alpha_mse", "alpha_re", "alpha_pcl", "alpha_cm")


@documented
class SIMIClusterGAN(ClusterGAN):
    r"""ClusterGAN improved by self-augmented information maximisation.

    Phase 1 trains a label network :math:`P` by information maximisation: sure and
    evenly used clusters that a small adversarial step :math:`T` does not change.
    Phase 2 trains ClusterGAN, a generator :math:`G`, a critic :math:`D` and an encoder
    :math:`E`, with the clusters of :math:`P` in place of a uniform prior, and with
    losses that let :math:`E` see the data [1]_. Phase 1 minimises

    .. math::
        \mathcal L_P=\overline{\mathrm{KL}}\big(\mathrm{sg}[p(y|x)]\parallel
        p(y|T(x))\big)+\beta_p\big[\overline H(p(y|x))-\beta_{mu}H(\bar p)\big].

    In phase 2, with :math:`h` the one-hot cluster of :math:`x` by :math:`P`,
    :math:`z_n,z_n'\sim\mathcal N(0,\sigma^2I)`, :math:`\tilde x=G(z_n,h)`,
    :math:`(\hat z_n,\hat z_M)=E(\tilde x)` and
    :math:`(\hat z_n^r,\hat z_M^r)=E(x)`,

    .. math::
        \mathcal L_D &= \mathbb E D(x)-\mathbb E D(\tilde x)
        +\lambda\,\mathbb E(\lVert\nabla D(\bar x)\rVert_2-c)^2 \\
        \mathcal L_{GE} &= \mathbb E D(\tilde x)+\alpha_{cl}J_{ce}+\alpha_{mse}J_{mse}
        +\alpha_{re}J_{rec}+\alpha_{pcl}J_{pce}+\alpha_{cm}J_{cm}

    where :math:`J_{ce}` and :math:`J_{pce}` are the cross-entropies of :math:`h` with
    :math:`\hat z_M` and with :math:`\hat z_M^r`, and :math:`J_{mse}`, :math:`J_{rec}`,
    :math:`J_{cm}` the mean squared errors of :math:`z_n` with :math:`\hat z_n`, of
    :math:`x` with :math:`G(\hat z_n^r,\hat z_M^r)`, and of :math:`\tilde x` with
    :math:`G(z_n',\hat z_M^r)`. The critic is low on the data.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters :math:`M`.
    encoder : nn.Module or callable, default=None
        Own body of the encoder :math:`E`: a module (copied, never trained in place)
        that maps a batch of shape (n, n_features) or (n, channels, height, width) to
        features (n, ...), or a factory called with the shape of one input. A linear
        head is put on top. By default an MLP for tables, ClusterGAN's network for
        images.
    prior_layer_sizes : tuple of int or "auto", default="auto"
        Hidden layers of :math:`P`; "auto" is (256, 256) for tables, (1200, 1200) for
        images and for `prior_features`.
    hidden_layer_sizes : tuple of int, default=(256, 256)
        Hidden layers of :math:`E`, for tables.
    generator_layer_sizes : tuple of int, default=(256, 256)
        Hidden layers of :math:`G`, for tables.
    critic_layer_sizes : tuple of int, default=(256, 256)
        Hidden layers of :math:`D`, for tables.
    n_noise : int or "auto", default="auto"
        Dimensions of :math:`z_n`; "auto" is 30 for images, 50 with more than one
        channel, 100 with 96 pixels and more of these; a third of the columns for
        tables, at least 2 and at most 30.
    sigma : float, default=0.1
        Standard deviation of :math:`z_n`.
    learned_prior : bool, default=True
        Take :math:`h` from :math:`P`. False: draw it uniformly, as ClusterGAN does;
        there is no phase 1 then, and neither :math:`J_{pce}` nor :math:`J_{cm}`, whose
        two samples would have nothing in common.
    beta_p : float, default=0.1
        Weight of the mutual information in phase 1.
    beta_mu : float, default=4.0
        Weight of the marginal entropy in it.
    vat_radius : float, default=0.25
        Length of the adversarial step, in distances to the tenth neighbour.
    affine : bool, default=False
        For images: :math:`T` also turns, shrinks and shears them at random (rotation
        up to 10 degrees, scale 0.3 to 1 and shear up to 0.3 per axis), as the paper
        does for Fashion-MNIST.
    alpha_cl, alpha_mse, alpha_pcl : float, default=10.0
        Weights of :math:`J_{ce}`, :math:`J_{mse}`, :math:`J_{pce}`; 0 leaves a loss
        out.
    alpha_re, alpha_cm : float, default=1.0
        Weights of :math:`J_{rec}`, :math:`J_{cm}`; 0 leaves a loss out.
    gp_weight : float, default=10.0
        Weight :math:`\lambda` of the gradient penalty.
    gp_center : float, default=1.0
        Slope :math:`c` that it leaves alone; the paper's algorithm box has 0.
    n_critic : int, default=5
        Critic updates per update of generator and encoder.
    batch_norm : bool, default=False
        Batch norm in the hidden layers of :math:`G` and :math:`E`, for tables (the
        paper: for Pendigits).
    assign : {"argmax", "kmeans"}, default="argmax"
        Clusters of samples: the greatest entry of :math:`\hat z_M^r`, or the nearest
        of the centres that k-means finds, once, in
        :math:`[\hat z_n^r,\hat z_M^r]` of the training data (where `alpha_mse` and
        `alpha_re` are 0, in :math:`\hat z_M^r` alone). Then samples of a cluster have
        the category that is the greatest of its centre, which two clusters may share.
    prior_batch_size : int, default=250
        Rows of a minibatch in phase 1.
    prior_learning_rate : float, default=0.002
        Step size of its Adam optimizer (:math:`\beta` = 0.5, 0.999).
    prior_max_epochs : int or "auto", default="auto"
        Passes over the data in phase 1; the paper's source has 50. "auto": 1,500
        steps, fewer below 375 rows (4 per row, at least 150), and 50 passes where
        these are more, up to 2,000 steps for tables and 20,000 for images.
    batch_size : int, default=64
        Rows of a minibatch in phase 2; incomplete ones are dropped.
    learning_rate : float, default=1e-4
        Step size of its two Adam optimizers (:math:`\beta` = 0.5, 0.9).
    max_epochs : int or "auto", default="auto"
        Passes over the data in phase 2, each batch used for one update (at least one
        iteration, which takes ``n_critic + 1`` batches). "auto": a budget of
        iterations, 4 per row, at least 150 and at most 2,000 for tables (without a
        learned prior 10,000, as for ClusterGAN), 20,000 for images.
    tol : float, default=0.001
        Stop when at most this share of 1,000 followed samples changed their cluster
        within `n_iter_no_change` epochs of phase 2, and 500 iterations; 0 never stops.
    n_iter_no_change : int, default=20
        See `tol`.
    %(shared parameters)s

    Attributes
    ----------
    %(shared attributes)s
    history_ : dict of ndarray of shape (n_epochs,)
        Per epoch, the means of the losses: of the phase "prior" ``vat`` and
        ``information`` (up to a constant, see
        ``skdeepcluster.losses.information_maximisation``), of the phase "gan"
        ``wasserstein`` (the critic's estimate of the distance between data and
        generated samples), ``gradient_penalty``, ``cross_entropy``, ``noise_error``,
        ``reconstruction``, ``prior_cross_entropy``, ``cross_modality`` and ``changed``
        (see `tol`); of both ``loss`` (:math:`\mathcal L_P`, :math:`\mathcal L_{GE}`),
        ``step``, ``epoch``, ``phase``, ``dur`` (seconds).

    Notes
    -----
    **Differs from the paper.** Where the paper is silent, values of the works that it
    builds on are used, IMSAT [2]_ for phase 1 and ClusterGAN [3]_ for phase 2: initial
    weights, batch sizes, epochs of phase 1, :math:`\lambda`, critic updates, the
    :math:`\beta` of Adam. (1) Equation 10 puts the weight :math:`\beta_{mu}` on the
    conditional entropy, which favours a single cluster; IMSAT's form is used. (2) The
    bound of the adversarial step is read as IMSAT's: relative to the tenth neighbour's
    distance, estimated from a part of the rows (1,000 to 10,000; where distances cannot
    be kept, from 1,000, which makes it too long beyond 15,000 rows); the power
    iteration steps as far as that neighbour is (IMSAT: 10, whatever the data). (3) The
    gradient penalty is centred at 1 as the text has it, not at 0 as the algorithm box
    (`gp_center`). (4) :math:`J_{rec}` decodes the encoded :math:`\hat z_n^r` (equation
    13). (5) Norms are mean squared errors. (6) One backward pass of :math:`\mathcal
    L_{GE}` updates both :math:`G` and :math:`E`, as in ClusterGAN; the paper's two
    updates have the same gradients. (7) Clusters are the categorical code by default,
    see `assign`. (8) Tables are scaled, generated without the paper's tanh, and there
    is no batch norm in :math:`D`; images of any size get convolutions (the paper: USPS
    as rows). (9) Networks for colour images, which the paper does not give, extend
    ClusterGAN's; all images are scaled to [-1, 1] (the paper's STL-10 to [0, 1], with a
    sigmoid). (10) The budget of phase 2, unknown for the paper, is far below
    ClusterGAN's 500,000 iterations.

    As :math:`J_{pce}` teaches the encoder the labels of :math:`P`, the clusters stay
    close to those of phase 1.

    References
    ----------
    .. [1] T. Dam, S. G. Anavatti, H. A. Abbass, "Improving ClusterGAN Using
       Self-Augmented Information Maximization of Disentangling Latent Spaces",
       arXiv:2107.12706, 2021.
    .. [2] W. Hu, T. Miyato, S. Tokui, E. Matsumoto, M. Sugiyama, "Learning Discrete
       Representations via Information Maximizing Self-Augmented Training", ICML 2017.
    .. [3] S. Mukherjee, H. Asnani, E. Lin, S. Kannan, "ClusterGAN: Latent Space
       Clustering in Generative Adversarial Networks", AAAI 2019.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import SIMIClusterGAN
    >>> X, _ = make_blobs(60, centers=[[-9, -9], [0, 0], [9, 9]], random_state=0)
    >>> model = SIMIClusterGAN(n_clusters=3, max_epochs=50, random_state=0).fit(X)
    >>> model.predict(X).shape, model.transform(X).shape
    ((60,), (60, 5))
    >>> X_new, y_new = model.sample(4, cluster=1)
    >>> X_new.shape, y_new.tolist()
    ((4, 2), [1, 1, 1, 1])
    """

    _parameter_constraints: dict = {
        **{
            name: constraint
            for name, constraint in ClusterGAN._parameter_constraints.items()
            if name not in ("beta_n", "beta_c")
        },
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "prior_layer_sizes": [tuple, list, StrOptions({"auto"})],
        "learned_prior": ["boolean"],
        "beta_p": [Interval(Real, 0, None, closed="left")],
        "beta_mu": [Interval(Real, 0, None, closed="left")],
        "vat_radius": [Interval(Real, 0, None, closed="left")],
        "affine": ["boolean"],
        **{name: [Interval(Real, 0, None, closed="left")] for name in _WEIGHTS},
        "prior_batch_size": [Interval(Integral, 2, None, closed="left")],
        "prior_learning_rate": [Interval(Real, 0, None, closed="neither")],
        "prior_max_epochs": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
    }

    _read_later = ("sigma", "learned_prior")
    _given = ("_prior_features",)
    # Whose clusters are read; "prior" where phase 1 was stopped.
    _labelled_by = "encoder"

    def __init__(
        self,
        n_clusters=8,
        *,
        encoder=None,
        prior_layer_sizes="auto",
        hidden_layer_sizes=(256, 256),
        generator_layer_sizes=(256, 256),
        critic_layer_sizes=(256, 256),
        n_noise="auto",
        sigma=0.1,
        learned_prior=True,
        beta_p=0.1,
        beta_mu=4.0,
        vat_radius=0.25,
        affine=False,
        alpha_cl=10.0,
        alpha_mse=10.0,
        alpha_re=1.0,
        alpha_pcl=10.0,
        alpha_cm=1.0,
        gp_weight=10.0,
        gp_center=1.0,
        n_critic=5,
        batch_norm=False,
        assign="argmax",
        prior_batch_size=250,
        prior_learning_rate=0.002,
        prior_max_epochs="auto",
        batch_size=64,
        learning_rate=1e-4,
        max_epochs="auto",
        tol=0.001,
        n_iter_no_change=20,
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
        super()._check_params()
        self._check_layers("prior_layer_sizes")

    @with_callbacks
    @documented
    def fit(self, X, y=None, prior_features=None):
        """Learn the clusters of X.

        Parameters
        ----------
        %(X and y)s
        prior_features : array-like of shape (n_samples, n_prior_features), default=None
            What the label network of phase 1 reads in place of X, such as a pretrained
            network's features of colour images. They are brought to a common scale.
            Only `fit` needs them.
        %(fit)s
        """
        if prior_features is not None:
            dtypes = [np.float64, np.float32]
            prior_features = check_array(
                prior_features, dtype=dtypes, input_name="prior_features"
            )
            if not self.learned_prior:
                raise ValueError("prior_features need learned_prior=True.")
            n, n_rows = len(prior_features), _num_samples(X)
            if n != n_rows:
                raise ValueError(f"prior_features has {n} rows, X has {n_rows}.")
        with self._holding(prior_features):
            return self._fit(X, y)

    # -- networks ---------------------------------------------------------------------

    def _describe(self, input_shape):
        is_table, features = len(input_shape) == 1, self._prior_features
        if self.affine and is_table:
            raise self._wrong_kind("affine", True)
        if self.affine and features is not None:
            raise ValueError("affine=True has no part where prior_features are given.")
        small = is_table and features is None
        prior = self._auto("prior_layer_sizes", (256, 256) if small else (1200, 1200))
        return {
            **super()._describe(input_shape),
            "read_by_prior": input_shape if features is None else features.shape[1:],
            "prior_layers": [int(n) for n in prior] if self.learned_prior else None,
        }

    def _learns_noise(self):
        return self.alpha_mse > 0 or self.alpha_re > 0

    @staticmethod
    def _networks(n_clusters, read_by_prior, prior_layers, **description):
        networks = ClusterGAN._networks(n_clusters=n_clusters, **description)
        if prior_layers is None:
            return networks
        P = FlatEncoder(read_by_prior, prior_layers, n_clusters, batch_norm=True)
        return {**networks, "prior": P}

    def _draw_weights(self, name, network, generator):
        (imsat_normal_ if name == "prior" else normal_)(network, generator)

    def _optimizers(self):
        if not self.learned_prior:
            return super()._optimizers()
        adam = functools.partial(
            torch.optim.Adam,
            lr=self.prior_learning_rate,
            betas=(0.5, 0.999),
            fused=True,
        )
        return {**super()._optimizers(), "prior": (adam, ["prior"])}

    # -- training ---------------------------------------------------------------------

    def _batch_size(self):
        return self.prior_batch_size if self.learned_prior else self.batch_size

    def _further_data(self):
        return [] if self._prior_features is None else [self._prior_features]

    def _train(self, net):
        if not self.learned_prior:
            super()._train(net)
            return
        clusters = self._learn_prior(net)
        net.batches.resize(self.batch_size)
        code = functools.partial(self._learned_code, clusters=clusters)
        self._train_gan(net, code, self._auto_budget(net.batches.n_samples))

    def _learn_prior(self, net):
        """Phase 1, which is IMSAT; returns the clusters of all rows."""
        plan = self._schedule(net, self.prior_max_epochs, imsat_budget(self, net))
        features = self._scaled_features(net)
        far = neighbour_distance(net, plan["n_steps"], features)
        step = functools.partial(self._prior_step, features=features, far=far)
        whose = "the encoder's too"
        if features is None:  # else P cannot read what `predict` is given
            self._labelled_by, whose = "prior", "the label network's"
        with if_stopped(_UNTRAINED.format(whose)):
            net.run(step, **plan, phase="prior")
        self._labelled_by = "encoder"
        return self._prior_clusters(net, features)

    def _prior_step(self, net, features, far):
        """Phase 1: one step of the prior learning algorithm."""
        x = net.draw() if features is None else net.batches.draw_from(features)
        moved = imsat_affine(x, net) if self.affine else x
        vat, information = imsat_losses(
            net.prior_, net, x, moved, far(x), self.vat_radius, self.beta_mu
        )
        loss = net.descend("prior", vat + self.beta_p * information)
        return {"loss": loss, "vat": vat.detach(), "information": information.detach()}

    def _losses(self, net, x, h, z_n, x_fake):
        """The five losses J with their weights; one that is switched off is 0."""
        G, E, zero = net.generator_, net.encoder_, x.new_zeros(())
        # Running statistics are for what is met later: of E data, of G sampled codes.
        with still_statistics(E):
            cycle = self._cycle(E, h, z_n, x_fake, self.alpha_cl, self.alpha_mse)
        noise_real, logits_real = self._code(E, x)
        z_real = logits_real.softmax(1)

        def weighted(weight, loss):
            if not weight:
                return weight, zero
            with still_statistics(G):
                return weight, loss()

        def crossed():
            z_n2 = self._noise(len(x), net)
            return mse_loss(G(torch.cat([z_n2, z_real], 1)), x_fake)

        return {
            **cycle,
            "reconstruction": weighted(
                self.alpha_re,
                lambda: mse_loss(G(torch.cat([noise_real, z_real], 1)), x),
            ),
            "prior_cross_entropy": weighted(
                self.alpha_pcl if self.learned_prior else 0,
                lambda: entropy_bound(logits_real, h),
            ),
            "cross_modality": weighted(
                self.alpha_cm if self.learned_prior else 0, crossed
            ),
        }

    # -- the one-hot code h -----------------------------------------------------------

    def _learned_code(self, net, clusters):
        """Draw a minibatch, and its one-hot clusters by P."""
        x = net.draw()
        return x, one_hot(net.batches.of_batch(clusters), self.n_clusters)

    def _scaled_features(self, net):
        """What P reads in place of the data, on a common scale, on the device."""
        features = self._prior_features
        if features is None:
            return None
        # Centred in their own type, in which a large offset does no harm.
        mean = features.mean(0, dtype=np.float64).astype(features.dtype)
        features = torch.from_numpy((features - mean).astype(np.float32))
        features = features.to(net.device)
        return features / features.std().clamp(min=1e-12)

    @torch.no_grad()
    def _prior_clusters(self, net, features):
        """Clusters of all rows by P, which does not change any more."""
        P = net.prior_.eval()
        own = features is None
        rows = net.batches.in_order(1_024) if own else features.split(1_024)
        return torch.cat([P(x)[1].argmax(1) for x in rows])

    def _own_criterion(self, X):
        r"""How good a fit is among fits of the same data; higher is better.

        It is minus :math:`\mathcal L_P` over the last tenth of phase 1, which the
        clusters come from; without a learned prior the mutual information of `score`.
        Minus infinity where phase 2 has not been trained, or failed.
        """
        if math.isinf(self._late_mean("loss", "gan")):
            return -math.inf
        if not self._as_fitted["learned_prior"]:
            return super()._own_criterion(X)
        return -self._late_mean("loss", "prior")

    # -- inference --------------------------------------------------------------------

    def _encode(self, x):
        embedding, logits = super()._encode(x)
        if self._labelled_by == "prior":  # stopped in phase 1: the encoder is untrained
            logits = self._model["prior"](x)[1]
        return embedding, logits

    def _forget(self):
        super()._forget()
        self.__dict__.pop("_labelled_by", None)

    def _proportions(self):
        """As the clusters were found in the training data; or as they were drawn."""
        if not self._as_fitted["learned_prior"] or not hasattr(self, "labels_"):
            return super()._proportions()
        proportions = np.zeros(self._description["n_clusters"])
        proportions[self._kept] = np.bincount(self.labels_)
        return proportions
