"""Variational clustering: a VAE with one learned Gaussian per cluster (Prasad 2020)."""

from __future__ import annotations

import functools
import math
from itertools import pairwise
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skdeepcluster import augment
from skdeepcluster.base import DeepClusterer
from skdeepcluster.docstrings import documented
from skdeepcluster.engine import Draws, chunks, inference
from skdeepcluster.generative import GenerativeMixin
from skdeepcluster.losses import (
    Likelihood,
    categorical_entropy,
    gaussian_kl,
    squared_wasserstein2,
)
from skdeepcluster.losses.likelihood import ALL
from skdeepcluster.networks import (
    CustomEncoder,
    Decoder,
    GaussianPosterior,
    GaussianPrior,
    PlainEncoder,
    xavier_uniform_,
)
from skdeepcluster.networks.variational import activation, trunk, width

_NETWORKS = ("encoder", "posterior", "prior", "decoder")
# The published weights change after these epochs; the paper names no number of epochs
# in all, for which 200 are taken.
_STAGES, _PLANNED = (40, 80), 200
_FOR_IMAGES = ("rotation", "binarise", "affine")


@documented
class VariationalClustering(GenerativeMixin, DeepClusterer):
    r"""Variational clustering: a VAE with one learned Gaussian per cluster.

    An encoder gives each sample the probabilities :math:`q_\omega(k|x)` of its cluster
    and, for every cluster, a Gaussian :math:`q_\psi(z|x,k)` of a latent code; the prior
    :math:`p_\beta(z|k)` is a learned Gaussian per cluster, and a decoder gives
    :math:`p_\theta(x|z)` [1]_. The evidence lower bound sums over the clusters exactly,

    .. math::
        \mathrm{ELBO}(x)=\sum_k q_\omega(k|x)\Big[\lambda_{rec}\,
        \mathbb E_{q_\psi(z|x,k)}\log p_\theta(x|z)
        -\mathrm{KL}\big(q_\psi(z|x,k)\parallel p_\beta(z|k)\big)\Big]
        +H\big(q_\omega(k|x)\big)

    An augmented copy :math:`\hat x` shall get the same clusters and codes,

    .. math::
        \mathcal L_{aug}=\sum_k\big(q_\omega(k|x)-q_\omega(k|\hat x)\big)^2
        +\sum_k q_\omega(k|x)\,\mathcal W_2^2\big(q_\psi(z|x,k),
        q_\psi(z|\hat x,k)\big)

    and all networks descend on :math:`-\mathrm{ELBO}+\lambda_{aug}\mathcal L_{aug}`.
    The cost is that of decoding each sample :math:`K` times.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters :math:`K`.
    encoder : nn.Module or callable, default=None
        Own trunk of the encoder: a module (copied, never trained in place) that maps a
        batch of shape (n, n_features) or (n, channels, height, width) to features
        (n, ...), or a factory called with the shape of one input. A linear head for
        :math:`q_\omega(k|x)` is put on top. By default an MLP for tables, the paper's
        convolutions for images. Batch norm in it takes samples and copies as one batch.
    hidden_layer_sizes : tuple of int, default=(256, 256)
        Hidden layers of the trunk, for tables.
    posterior_layer_sizes : tuple of int or "auto", default="auto"
        Hidden layers of :math:`q_\psi`; the first one reads the cluster too. "auto":
        (256,) for tables, (256, 512) for grey images, (512, 512) for colour.
    prior_layer_sizes : tuple of int or "auto", default="auto"
        Hidden layers of :math:`p_\beta`; () is a table of means and variances. "auto":
        (64, 64) for colour images, else ().
    decoder_layer_sizes : tuple of int, default=(256, 256)
        Hidden layers of :math:`p_\theta`, for tables.
    posterior_trunk_sizes : tuple of int, default=None
        With ``share_trunk=False``, for tables: hidden layers of the posterior's own
        trunk, () for none; None: `hidden_layer_sizes`.
    share_trunk : bool, default=True
        Let :math:`q_\psi` read the features of the encoder's trunk; False: those of a
        trunk of its own.
    n_latent : int or "auto", default="auto"
        Dimensions of :math:`z`; "auto": 32, for tables half of the columns, between 2
        and 10. The more there are, the less is left for the cluster to tell.
    likelihood : {"auto", "bernoulli", "gaussian"}, default="auto"
        :math:`p_\theta(x|z)`. "auto": Bernoulli for grey images and for those columns
        of a table in which exactly two values occur, else Gaussian with learned
        variances. A Bernoulli column lies between its lowest and highest value.
    min_variance : float, default=1e-3
        Least variance of a Gaussian value, in scaled units.
    lambda_rec : float, "auto" or list of (start, weight), default="auto"
        Weight :math:`\lambda_{rec}` of the reconstruction, positive. Pairs are stages:
        a weight holds from that share of the training on, the first one from 0.
        "auto": 1, for colour images 0.5, then 0.1.
    lambda_aug : float, "auto" or list of (start, weight), default="auto"
        Weight :math:`\lambda_{aug}`, as `lambda_rec`. "auto": 0.01, then 0.5, then 1.
        Where `max_epochs` is over 80, the stages of "auto" are the paper's epochs 1-40,
        41-80 and on; else they begin at 0.2 and 0.4 of the training.
    l2_weight, w2_weight : float, default=1.0
        Weights of the two terms of :math:`\mathcal L_{aug}`, that of the clusters and
        that of the codes; 0 leaves a term out. (Not in the paper but in its ablation.)
    kl_warmup : float, default=0.05
        Share of the training in which the weight of the divergence rises from 0 to 1;
        0: not at all, as published.
    augmentation : str, callable or None, default="auto"
        "rotation": up to 3 degrees. "binarise": a shift of brightness, then random
        binarisation (the paper's for Fashion-MNIST). "affine": shift, rotation, shear
        and flips in both directions. "noise", for tables: noise and swapped entries. A
        callable maps a scaled batch to an augmented one of the same shape. None:
        without. "auto": "rotation" for grey images, "affine" for colour, "noise" for
        tables.
    noise : tuple of float, default=(0.1, 0.3)
        For noise: range of its size, in standard deviations of a column.
    swap : tuple of float, default=(0.1, 0.2)
        For noise: range of the share of entries taken from other rows, at most 1.
    elbo_on_augmented : bool or "auto", default="auto"
        Average the bound over samples and copies, which costs twice as much. "auto":
        unless the augmentation is "noise".
    detach_target : bool, default=False
        Take the terms of :math:`x` as constants in :math:`\mathcal L_{aug}`.
    n_top : int, default=None
        Sum over this many clusters of each sample, the most probable ones, with
        :math:`q_\omega` renormalised: still a lower bound, at a cost that does not grow
        with :math:`K`. None: over all.
    batch_size : int or "auto", default="auto"
        Rows of a minibatch; incomplete ones are dropped. "auto": 100, as published
        for MNIST and Fashion-MNIST; for colour images 30, as for all the others.
    learning_rate : float or "auto", default="auto"
        Step size of Adam (:math:`\beta` = 0.9, 0.999). "auto": 1e-3, as
        published for MNIST and Fashion-MNIST; for colour images 1e-4, as for all the
        others.
    max_epochs : int or "auto", default="auto"
        Passes over the data; the paper names no number (more than 80). "auto": a
        budget of steps: 4 per row, at least 500 and at most 6,000 for tables, 20,000
        for images. An epoch is then at most a hundredth of the budget, but at least 20
        steps.
    tol : float, default=0.001
        Once all weights have reached their last stage, stop when at most this share of
        the rows (1,000 are followed) changed cluster within `n_iter_no_change` epochs,
        and 500 steps at least. 0 never stops.
    n_iter_no_change : int, default=10
        See `tol`.
    %(shared parameters)s

    Attributes
    ----------
    %(shared attributes)s
    history_ : dict of ndarray of shape (n_epochs,)
        Per epoch, the means of ``loss``, ``elbo`` (with all weights one, without
        :math:`-\log K`), its parts ``reconstruction``, ``kl`` and ``entropy`` in nats,
        ``augmentation`` (the loss), ``clusters`` (that rows of a batch are assigned
        to), and ``changed`` (see `tol`), ``step``, ``epoch``, ``phase`` ("annealing"
        while weights change, then "fit"), ``dur`` (seconds).

    Notes
    -----
    `sample` and `interpolate` give the mean of :math:`p_\theta(x|z)`, without its
    noise: samples vary less than the data, and Bernoulli columns lie between their two
    values.

    **Differs from the paper.** (1) The posterior shares the encoder's trunk for grey
    images too; the paper's table, which leaves this open, may mean the flat pixels. (2)
    The paper's colour decoder gives 33 pixels: here its second layer of stride 2 pads
    the output by one and the last layer keeps the size. (3) The bound is averaged over
    samples and copies ("trains on both"); eq. 18 has one bound. (4) Variances have a
    floor, below which a likelihood could grow without bound. (5) The divergence is
    warmed up. (6) Stages of the weights scale with the budget unless `max_epochs` is a
    number above 80, and training ends when assignments settle; the paper gives no
    number of epochs. (7) Tables, of which the paper treats a toy set of two columns
    only, get wider layers, at most 10 latent dimensions, batches of 100 and a step of
    1e-3 (the paper's others: 30 and 1e-4), Bernoulli columns and an augmentation by
    noise and swapped entries.
    (8) Other sizes of images than the paper's get padded layers (below 28 pixels) or
    more layers of stride 2 (from 56 on). (9) The means of :math:`p_\beta` begin so far
    apart that divergences differ by about one nat; the paper names no initialisation.
    (10) The paper's networks for FRGC are missing. (11) All colour images have the
    weights that the paper has for CIFAR-10 and STL-10; the slope of LeakyReLU, which it
    does not give, is .2; "binarise" is of the copy alone, which it leaves open.

    References
    ----------
    .. [1] V. Prasad, D. Das, B. Bhowmick, "Variational Clustering: Leveraging
       Variational Autoencoders for Image Clustering", IJCNN 2020.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import VariationalClustering
    >>> X, _ = make_blobs(60, centers=[[-9, -9], [0, 0], [9, 9]], random_state=0)
    >>> model = VariationalClustering(n_clusters=3, max_epochs=50, random_state=0)
    >>> labels = model.fit_predict(X)
    >>> model.predict(X).shape, model.transform(X).shape
    ((60,), (60, 2))
    >>> model.sample(5, cluster=0)[0].shape
    (5, 2)
    """

    _parameter_constraints: dict = {
        **DeepClusterer._parameter_constraints,
        "hidden_layer_sizes": [tuple, list],
        "posterior_layer_sizes": [tuple, list, StrOptions({"auto"})],
        "prior_layer_sizes": [tuple, list, StrOptions({"auto"})],
        "decoder_layer_sizes": [tuple, list],
        "posterior_trunk_sizes": [tuple, list, None],
        "share_trunk": ["boolean"],
        "n_latent": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "likelihood": [StrOptions({"auto", "bernoulli", "gaussian"})],
        "min_variance": [Interval(Real, 0, None, closed="neither")],
        "lambda_rec": [
            Interval(Real, 0, None, closed="neither"),
            StrOptions({"auto"}),
            tuple,
            list,
        ],
        "lambda_aug": [
            Interval(Real, 0, None, closed="left"),
            StrOptions({"auto"}),
            tuple,
            list,
        ],
        "l2_weight": [Interval(Real, 0, None, closed="left")],
        "w2_weight": [Interval(Real, 0, None, closed="left")],
        "kl_warmup": [Interval(Real, 0, 1, closed="left")],
        "augmentation": [
            StrOptions({"auto", "rotation", "binarise", "affine", "noise"}),
            callable,
            None,
        ],
        "noise": [tuple, list],
        "swap": [tuple, list],
        "elbo_on_augmented": ["boolean", StrOptions({"auto"})],
        "detach_target": ["boolean"],
        "n_top": [Interval(Integral, 1, None, closed="left"), None],
        "batch_size": [
            Interval(Integral, 2, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "learning_rate": [
            Interval(Real, 0, None, closed="neither"),
            StrOptions({"auto"}),
        ],
    }

    _read_later = ("n_top",)
    _settles_in = "fit"
    _pixel_range = (0.0, 1.0)

    def __init__(
        self,
        n_clusters=8,
        *,
        encoder=None,
        hidden_layer_sizes=(256, 256),
        posterior_layer_sizes="auto",
        prior_layer_sizes="auto",
        decoder_layer_sizes=(256, 256),
        posterior_trunk_sizes=None,
        share_trunk=True,
        n_latent="auto",
        likelihood="auto",
        min_variance=1e-3,
        lambda_rec="auto",
        lambda_aug="auto",
        l2_weight=1.0,
        w2_weight=1.0,
        kl_warmup=0.05,
        augmentation="auto",
        noise=(0.1, 0.3),
        swap=(0.1, 0.2),
        elbo_on_augmented="auto",
        detach_target=False,
        n_top=None,
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
        names = ["hidden_layer_sizes", "decoder_layer_sizes"]
        names += ["posterior_layer_sizes", "prior_layer_sizes"]
        names += ["posterior_trunk_sizes"] * (self.posterior_trunk_sizes is not None)
        self._check_layers(*names)
        if not len(self.posterior_layer_sizes):
            raise ValueError("posterior_layer_sizes must name one layer at least.")
        if self.encoder is not None and not self.share_trunk:
            raise ValueError("share_trunk=False cannot be combined with an encoder.")
        self._check_range("noise")
        self._check_range("swap", most=1)
        for name in ("lambda_rec", "lambda_aug"):
            stages = getattr(self, name)
            if isinstance(stages, tuple | list):
                _check_stages(name, stages, positive=name == "lambda_rec")

    def _check_X(self, X, *, fitting):
        X = super()._check_X(X, fitting=fitting)
        if fitting:
            self._levels = self._bernoulli_levels(X)
        return X

    # -- networks ---------------------------------------------------------------------

    def _describe(self, input_shape):
        is_table = len(input_shape) == 1
        self._check_input(is_table)
        if is_table:
            n_latent = min(10, max(2, input_shape[0] // 2))
            posterior, prior = (256,), ()
        elif input_shape[0] == 1:
            n_latent, posterior, prior = 32, (256, 512), ()
        else:
            n_latent, posterior, prior = 32, (512, 512), (64, 64)
        layers = [
            self.hidden_layer_sizes,
            self._auto("posterior_layer_sizes", posterior),
            self._auto("prior_layer_sizes", prior),
            self.decoder_layer_sizes,
        ]
        own = None
        if not self.share_trunk:
            own = self.posterior_trunk_sizes
            own = self.hidden_layer_sizes if own is None else own
        return {
            "input_shape": tuple(input_shape),
            "n_clusters": int(self.n_clusters),
            "n_latent": int(self._auto("n_latent", n_latent)),
            "layers": [[int(n) for n in sizes] for sizes in layers],
            "own_trunk": own if own is None else [int(n) for n in own],
            "least_variance": self._least_variance(),
            "encoder": self.encoder,
        }

    @staticmethod
    def _networks(
        input_shape, n_clusters, n_latent, layers, own_trunk, least_variance, encoder
    ):
        hidden, posterior, prior, decoder = layers
        if encoder is not None:
            Q = CustomEncoder(encoder, input_shape, n_clusters)
        else:
            Q = PlainEncoder(input_shape, hidden, n_clusters)
        n_features, body = Q.n_activation, None
        if own_trunk is not None:
            body = trunk(input_shape, own_trunk)
            n_features = width(body, input_shape)
        return {
            "encoder": Q,
            "posterior": GaussianPosterior(
                n_features,
                n_clusters,
                posterior,
                n_latent,
                activation(input_shape),
                body,
            ),
            "prior": GaussianPrior(n_clusters, prior, n_latent),
            "decoder": Decoder(n_latent, decoder, input_shape, least_variance),
        }

    def _draw_weights(self, name, network, generator):
        xavier_uniform_(network, generator)
        if name == "prior":
            # Clusters must begin unlike each other, but by no more nats than their
            # entropy, at most log K, can hold against: else the one that begins
            # nearest to the codes takes all.
            network.spread()

    def _optimizers(self):
        rate = self._auto("learning_rate", 1e-4 if self._is_colour() else 1e-3)
        adam = functools.partial(torch.optim.Adam, lr=rate, fused=True)
        return {"all": (adam, list(_NETWORKS))}

    def _batch_size(self):
        return self._auto("batch_size", 30 if self._is_colour() else 100)

    def _is_colour(self):
        return self._image_shape is not None and self._image_shape[2] > 1

    def _check_input(self, is_table):
        kind = self._augmentation_kind()
        if isinstance(kind, str) and (kind in _FOR_IMAGES) == is_table:
            raise self._wrong_kind("augmentation", kind)
        if kind == "binarise" or self._has_bernoulli_pixels():
            why = "a Bernoulli likelihood and binary copies need"
            other = ", or likelihood='gaussian' and another augmentation"
            self._check_pixels(self._input_shape(), why, other)

    # -- likelihood -------------------------------------------------------------------

    def _has_bernoulli_pixels(self):
        if self._image_shape is None:
            return False
        grey = self._image_shape[2] == 1
        likelihood = self._auto("likelihood", "bernoulli" if grey else "gaussian")
        return likelihood == "bernoulli"

    def _bernoulli_levels(self, X):
        """Columns of a table with a Bernoulli likelihood, their lowest and highest."""
        if self._image_shape is not None or self.likelihood == "gaussian":
            return (np.arange(0),) * 3
        low, high = X.min(0), X.max(0)
        if self.likelihood == "bernoulli":
            columns = np.arange(X.shape[1])
        else:
            columns = _two_valued(X, low, high)
        return columns, low[columns], high[columns]

    def _least_variance(self):
        """Least variance of a value; None where no value has a Gaussian likelihood."""
        n_bernoulli = len(self._levels[0])
        if self._has_bernoulli_pixels() or n_bernoulli == self.n_features_in_:
            return None
        return float(self.min_variance)

    def _likelihood(self):
        """Likelihood of scaled rows, on the device."""
        if self._image_shape is not None:
            if self._description["least_variance"] is None:
                return Likelihood(bernoulli=ALL)
            return Likelihood(gaussian=ALL)
        columns, *levels = self._levels
        if not len(columns):
            return Likelihood(gaussian=ALL)
        # Scaled in float64: a large offset has to go while the precision is there.
        shift, factor = (
            np.broadcast_to(self._scale_state[name], self.n_features_in_)[columns]
            for name in ("shift", "factor")
        )
        low, high = ((level.astype(np.float64) - shift) * factor for level in levels)
        others = np.setdiff1d(np.arange(self.n_features_in_), columns)
        span = np.where(high > low, high - low, 1)  # a constant column stays at low
        device = self._scaling.factor.device
        to = functools.partial(torch.as_tensor, device=device)
        return Likelihood(
            gaussian=to(others) if len(others) else None,
            bernoulli=to(columns),
            low=to(low, dtype=torch.float32),
            span=to(span, dtype=torch.float32),
        )

    # -- training ---------------------------------------------------------------------

    def _train(self, net):
        if callable(self.augmentation):
            self._check_augmentation(net.batches.sample(2))
        budget = self._auto_budget(net.batches.n_samples, table=6_000, least=500)
        plan = self._schedule(net, self.max_epochs, budget)
        # Weights change in the first phase; assignments may settle only in the second.
        annealed = self._annealed()
        n_first = round(annealed * plan["n_steps"])
        step = functools.partial(self._step, likelihood=self._likelihood())
        for phase, n, begin in (
            ("annealing", n_first, 0.0),
            ("fit", plan["n_steps"] - n_first, annealed),
        ):
            share = n / plan["n_steps"]
            if n:
                timed = functools.partial(step, begin=begin, share=share)
                net.run(timed, **{**plan, "n_steps": n}, phase=phase)

    def _step(self, net, likelihood, begin=0.0, share=1.0):
        """One update of all networks on -ELBO + lambda_aug L_aug (eq. 18)."""
        progress = begin + share * net.progress
        x = net.draw()
        n = len(x)
        if self.augmentation is not None:
            # One pass for samples and copies: no layer of ours mixes rows. Batch norm
            # in an own encoder does, and takes both for one batch.
            x = torch.cat([x, self._augment(x, net)])
        log_q, log_top, *gaussians = self._infer_latents(x, n)
        loss_aug = log_q.new_zeros(())
        if self.augmentation is not None:
            mean, variance = gaussians[:2]
            loss_aug = self._augmentation_loss(log_q, log_top, mean, variance, n)
        counted = len(x) if self._elbo_on_augmented() else n
        rec, kl, entropy = (
            term.mean()
            for term in self._elbo(
                likelihood,
                x[:counted],
                log_top[:counted],
                *(part[:counted] for part in gaussians),
                net,
            )
        )
        loss = (
            _staged(self._stages("lambda_aug"), progress) * loss_aug
            + self._kl_weight(progress) * kl
            - _staged(self._stages("lambda_rec"), progress) * rec
            - entropy
        )
        net.descend("all", loss)
        assigned = log_q[:n].argmax(1, keepdim=True)
        used = torch.zeros_like(log_q[0]).index_fill_(0, assigned.flatten(), 1.0)
        return {
            "loss": loss.detach(),
            "elbo": (rec - kl + entropy).detach(),
            "reconstruction": rec.detach(),
            "kl": kl.detach(),
            "entropy": entropy.detach(),
            "augmentation": loss_aug.detach(),
            "clusters": used.sum(),
        }

    def _infer_latents(self, x, n):
        """Assignments and Gaussians of samples, the first n of them without copies.

        Returns log q(k|x) over all clusters (rows, K), over the summed ones (rows, L),
        mean and variance of q(z|x,k) (rows, L, n_latent), and those of p(z|k), expanded
        alike.
        """
        h, logits = self._model["encoder"](x)
        log_q = logits.log_softmax(1)
        clusters, log_top = self._top(log_q, n)
        mean, variance = self._posterior(x, h, clusters)
        table = self._model["prior"].table()
        mean_p, variance_p = (
            part.expand_as(mean) if clusters is None else part[clusters]
            for part in table
        )
        return log_q, log_top, mean, variance, mean_p, variance_p

    def _posterior(self, x, h, clusters=None):
        """Mean and variance of q(z|x,k) of samples with features h of the encoder."""
        shared = self._description["own_trunk"] is None
        return self._model["posterior"](h if shared else x, clusters)

    def _top(self, log_q, n):
        """Clusters that the sums go over, the same for a copy; q among them."""
        if self._as_fitted["n_top"] is None:
            return None, log_q
        top = log_q[:n].topk(self._n_summed(), 1).indices
        top = top.repeat(len(log_q) // n, 1)
        return top, log_q.gather(1, top).log_softmax(1)

    def _n_summed(self):
        """Clusters of a sample that the sums go over."""
        n_clusters, n_top = self._description["n_clusters"], self._as_fitted["n_top"]
        return n_clusters if n_top is None else min(n_top, n_clusters)

    def _elbo(self, likelihood, x, log_q, mean, variance, mean_p, variance_p, draws):
        """Reconstruction, divergence and entropy of each row (eq. 13), in nats."""
        q = log_q.exp()
        z = mean + variance.sqrt() * draws.randn(*mean.shape)
        log_p = likelihood.log_prob(x.flatten(1)[:, None], *self._model["decoder"](z))
        kl = gaussian_kl(mean, variance, mean_p, variance_p)
        return (q * log_p).sum(1), (q * kl).sum(1), categorical_entropy(log_q)

    def _augmentation_loss(self, log_q, log_top, mean, variance, n):
        """Distance of a sample's assignment and posteriors to its copy's (eq. 14)."""
        q, weight = log_q.exp(), log_top[:n].exp()
        q_x, mean_x, variance_x = q[:n], mean[:n], variance[:n]
        if self.detach_target:
            q_x, weight = q_x.detach(), weight.detach()
            mean_x, variance_x = mean_x.detach(), variance_x.detach()
        moved = squared_wasserstein2(mean_x, variance_x, mean[n:], variance[n:])
        moved = (weight * moved).sum(1)
        switched = (q_x - q[n:]).square().sum(1)
        return (self.l2_weight * switched + self.w2_weight * moved).mean()

    # -- schedules --------------------------------------------------------------------

    def _stages(self, name):
        """Weights and the shares of the training from which on they hold."""
        value = getattr(self, name)
        if isinstance(value, Real):
            return ((0.0, float(value)),)
        if value != "auto":
            return tuple((float(start), float(weight)) for start, weight in value)
        # The paper's epochs, where there are as many.
        exact = self.max_epochs != "auto" and self.max_epochs > _STAGES[-1]
        first, second = (
            epochs / (self.max_epochs if exact else _PLANNED) for epochs in _STAGES
        )
        if name == "lambda_aug":
            return ((0.0, 0.01), (first, 0.5), (second, 1.0))
        return ((0.0, 0.5), (first, 0.1)) if self._is_colour() else ((0.0, 1.0),)

    def _annealed(self):
        """Share of the training after which no weight changes any more."""
        starts = [self._stages("lambda_rec")[-1][0], self.kl_warmup]
        if self.augmentation is not None:
            starts.append(self._stages("lambda_aug")[-1][0])
        return max(starts)

    def _kl_weight(self, progress):
        return (progress / self.kl_warmup).clamp(max=1) if self.kl_warmup else 1.0

    # -- augmentation -----------------------------------------------------------------

    def _augmentation_kind(self):
        if self.augmentation != "auto":
            return self.augmentation
        if self._image_shape is None:
            return "noise"
        return "affine" if self._is_colour() else "rotation"

    def _check_augmentation(self, x):
        """Raise unless the callable gives a batch of the shape that it got."""
        shape = getattr(self.augmentation(x), "shape", None)
        if shape != x.shape:
            raise ValueError(
                "augmentation must return a tensor of the shape that it is given; for "
                f"{tuple(x.shape)} it returned {shape and tuple(shape)}."
            )

    def _elbo_on_augmented(self):
        # A Gaussian that has to explain the noise too becomes as wide as it.
        averaged = self._auto("elbo_on_augmented", self._augmentation_kind() != "noise")
        return self.augmentation is not None and averaged

    def _augment(self, x, net):
        """Augmented copy of a scaled batch."""
        kind = self._augmentation_kind()
        if callable(kind):
            return kind(x.clone())  # it may work in place
        if kind == "noise":
            std = self._scaling.std
            return augment.corrupt(x, net, std, tuple(self.noise), tuple(self.swap))
        if kind == "rotation":
            return augment.random_affine(x, net, degrees=3)
        if kind == "affine":
            return augment.random_affine(x, net, 3, shift=0.2, shear=0.2, flip=True)
        return augment.binarise(augment.brightness_shift(x, net, 0.2), net)

    # -- inference --------------------------------------------------------------------

    def _encode(self, x):
        """Mean of the latent code, over the clusters, and the assignment's logits."""
        h, logits = self._model["encoder"](x)
        mean, _ = self._posterior(x, h)
        return (logits.softmax(1)[..., None] * mean).sum(1), logits

    def _own_criterion(self, X):
        """How good a fit is among fits of the same data; higher is better.

        It is the evidence lower bound, see `score`.
        """
        return self.score(X)

    def score(self, X, y=None):
        r"""Evidence lower bound per row, in nats; higher is better.

        Parameters
        ----------
        X : array-like, shaped as in `fit`
        y : ignored

        Returns
        -------
        float
            Mean over the rows, of the scaled data, with one draw of the latent code per
            row and cluster (of those that `n_top` leaves), the same for the same X. It
            includes the constant
            :math:`-\log K`.
        """
        check_is_fitted(self)
        X = self._check_X(X, fitting=False)
        scaling, likelihood = self._scaling, self._likelihood()
        draws = Draws.seeded(0, scaling.factor.device)
        total = 0.0
        # Each row is decoded once per cluster.
        for rows in chunks(X, max(1, self._chunk // self._n_summed())):
            with inference(draws.device):
                x = scaling(scaling.centre(rows).to(draws.device))
                _, *latents = self._infer_latents(x, len(x))
                terms = self._elbo(likelihood, x, *latents, draws)
                rec, kl, entropy = (float(term.sum()) for term in terms)
            total += rec - kl + entropy
        return total / len(X) - math.log(self._description["n_clusters"])

    # -- samples ----------------------------------------------------------------------

    def _noise(self, n, draws):
        return draws.randn(n, self._description["n_latent"])

    def _generate(self, category, noise):
        return self._decode(self._latent(category, noise))

    def _latent(self, category, noise):
        """Latent codes of p(z|k)."""
        mean, variance = self._model["prior"](category)
        return mean + variance.sqrt() * noise

    def _decode(self, z):
        """Expected samples of p(x|z), scaled."""
        location, _ = self._model["decoder"](z)
        mean = self._likelihood().mean(location)
        return mean.unflatten(1, self._description["input_shape"])

    def interpolate(
        self, start, stop, n_steps=8, n_samples=1, random_state=None, *, space="k"
    ):
        """Generate rows on the way from one cluster to another.

        Parameters
        ----------
        start, stop : int
            Clusters, as in ``labels_``.
        n_steps : int, default=8
            Rows of a path, both ends included.
        n_samples : int, default=1
            Paths.
        random_state : int, RandomState instance or None, default=None
            By default the estimator's.
        space : {"k", "z"}, default="k"
            "k": the one-hot code of the cluster changes in equal steps, the noise of
            the latent code is fixed. "z": the latent code does, from a draw of the one
            cluster to a draw of the other.

        Returns
        -------
        X : ndarray of shape (n_samples, n_steps, ...), float32
            In the shape and units of the training data.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If there is no such cluster or space, or a number is not positive.
        """
        if space not in ("k", "z"):
            raise ValueError(f"space must be 'k' or 'z'; got {space!r}.")
        if space == "k":
            return super().interpolate(start, stop, n_steps, n_samples, random_state)
        check_is_fitted(self)
        draws, ends = self._path(start, stop, n_steps, n_samples, random_state)
        with inference(draws.device):
            z = [
                self._latent(
                    self._all_clusters(end.repeat(n_samples, 1)),
                    self._noise(n_samples, draws),
                )
                for end in ends
            ]
            share = torch.linspace(0, 1, n_steps, device=draws.device).float()
            path = torch.lerp(z[0][:, None], z[1][:, None], share[:, None])
            rows = [
                self._decode(part) for part in path.flatten(0, 1).split(self._chunk)
            ]
        X = np.concatenate([self._scaling.inverse(part) for part in rows])
        return X.reshape(n_samples, n_steps, *self._shape_of_a_row())


def _two_valued(X, low, high):
    """Columns in which exactly two values occur, their lowest and highest."""
    columns = np.flatnonzero(low != high)
    for rows in chunks(X, max(1, 2**20 // X.shape[1])):
        values = rows[:, columns]
        two = ((values == low[columns]) | (values == high[columns])).all(0)
        columns = columns[two]
    return columns


def _staged(stages, progress):
    """Weight of the stage that `progress` has reached, on its device."""
    weight = stages[0][1]
    for (_, before), (start, after) in pairwise(stages):
        weight = weight + (after - before) * (progress >= start)
    return weight


def _check_stages(name, stages, *, positive):
    """Raise unless stages are (start, weight) pairs, from 0 on, in order."""
    pairs = all(
        isinstance(stage, tuple | list)
        and len(stage) == 2
        and all(isinstance(n, Real) for n in stage)
        for stage in stages
    )
    starts, weights = zip(*stages, strict=True) if pairs and stages else ((), ())
    valid = (
        len(starts) > 0
        and starts[0] == 0
        and all(a < b for a, b in pairwise([*starts, 1]))
        and all(weight > 0 or (weight == 0 and not positive) for weight in weights)
    )
    if not valid:
        raise ValueError(
            f"{name} must be a number, or (start, weight) pairs whose starts rise from "
            f"0 and stay below 1, with {'positive' if positive else 'no negative'} "
            f"weights; got {stages!r}."
        )
