"""UDC: learning the precise feature for cluster assignment (Gan 2021)."""

from __future__ import annotations

import functools
import math
from numbers import Integral, Real

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from skdeepcluster.base import DeepClusterer
from skdeepcluster.docstrings import documented
from skdeepcluster.generative import GenerativeMixin, draw_categories, prior_edges
from skdeepcluster.losses import entropy_bound, gradient_penalty, wasserstein
from skdeepcluster.networks import (
    CustomEncoder,
    MLPEncoder,
    StridedEncoder,
    StridedGenerator,
    mlp,
    wgan_uniform_,
)

_LAYERS = ("generator_layer_sizes", "critic_layer_sizes", "hidden_layer_sizes")


@documented
class UDC(GenerativeMixin, DeepClusterer):
    r"""Unified deep clustering: the precise feature for cluster assignment.

    A generator :math:`G` turns a cluster :math:`y` and noise :math:`z` into a sample
    that a critic :math:`D` cannot tell from the data, and that a classifier :math:`C`,
    trained on generated samples alone, can trace back to :math:`y`. Applied to the
    data, the classifier gives the clusters: the discrete factor that has exactly
    :math:`k` values [1]_. With :math:`\tilde x=G(y,z)` and
    :math:`\hat x=\epsilon x+(1-\epsilon)\tilde x`,

    .. math::
        \mathcal L_D &= \mathbb E\,D(\tilde x)-\mathbb E\,D(x)
        +\lambda\,\mathbb E(\lVert\nabla D(\hat x)\rVert_2-1)^2 \\
        \mathcal L_C &= -\mathbb E\log C_y(\tilde x) \\
        \mathcal L_G &= -\mathbb E\,D(\tilde x)+\eta_t\,\mathcal L_C

    Each iteration makes `n_critic` updates of :math:`D`, `n_classifier` of :math:`C`
    and one of :math:`G`; :math:`\eta_t=\eta_0\gamma^{\lfloor t/\tau\rfloor}` rises in
    steps.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters :math:`k`.
    encoder : nn.Module or callable, default=None
        Own classifier body: a module (copied, never trained in place) that maps a
        batch of shape (n, n_features) or (n, channels, height, width) to features
        (n, ...), or a factory called with the shape of one input. A linear head is put
        on top. By default an MLP for tables, the paper's network for images. It is
        trained on generated samples alone, of which batch norm in it takes its
        averages.
    hidden_layer_sizes : tuple of int, default=(128, 128, 128)
        Hidden layers of the classifier, for tables; the paper's are 512.
    generator_layer_sizes : tuple of int, default=(128, 128, 128)
        Hidden layers of the generator, for tables.
    critic_layer_sizes : tuple of int, default=(128, 128, 128)
        Hidden layers of the critic, for tables.
    n_noise : int or "auto", default="auto"
        Noise inputs of the generator; "auto" is 128 for images, 2 for tables. Better
        fewer than there are factors of variation within a cluster than more.
    gp_weight : float or "auto", default="auto"
        Weight :math:`\lambda` of the gradient penalty; "auto" is 100 for images, as
        published, 10 for tables.
    eta : float, default=10.0
        First weight :math:`\eta_0` of the entropy bound.
    eta_growth : float, default=1.2
        Factor :math:`\gamma` of each of its steps.
    n_eta_steps : int, default=30
        Number of steps :math:`N/\tau`, of equal length; the last weight is
        :math:`\eta_0\gamma^{29}\approx 1978`.
    n_critic : int, default=5
        Critic updates per iteration.
    n_classifier : int, default=4
        Classifier updates per iteration.
    doubling : bool, default=False
        Double `n_critic` and `n_classifier` after a third of the training, as the
        authors' release does (from 5 and 2).
    cluster_prior : array-like of shape (n_clusters,), default=None
        Known proportions of the clusters, in any order; uniform by default.
    augmentation : callable or None, default=None
        Differentiable map of a scaled batch to an augmented one. All that critic and
        classifier see goes through it, so that what it varies is left out of the
        clusters.
    batch_size : int, default=100
        Rows of a minibatch; incomplete ones are dropped.
    learning_rate : float or "auto", default="auto"
        Step size of the three Adam optimizers (:math:`\beta` = 0.5, 0.9); "auto" is
        1e-4 for images, as published, 5e-4 for tables.
    max_epochs : int or "auto", default="auto"
        Passes over the data, each batch used for one critic update (at least one
        iteration, which takes `n_critic` batches). "auto": a budget of iterations, 4
        per row, at least 500, and at most 6,000 for tables, 20,000 for images. An
        epoch is then at most a hundredth of the budget, but at least 20 iterations.
    tol : float, default=0.001
        Stop when at most this share of 1,000 followed samples changed their cluster
        within `n_iter_no_change` epochs, and 500 iterations; 0 never stops, as
        published.
    n_iter_no_change : int, default=20
        See `tol`.
    %(shared parameters)s

    Attributes
    ----------
    %(shared attributes)s
    history_ : dict of ndarray of shape (n_epochs,)
        Per epoch, the means of ``wasserstein`` (the critic's estimate of the distance
        between data and generated samples), ``gradient_penalty``, ``entropy_bound``
        (:math:`\mathcal L_C`, of the generator's update), ``fake_accuracy`` (share of
        generated samples that are traced back), ``loss`` (:math:`\mathcal L_G`),
        ``changed`` (see `tol`), and ``step``, ``epoch``, ``phase``, ``dur`` (seconds).

    Notes
    -----
    **Differs from the paper.** (1) Algorithm 1 and equation 8 multiply :math:`\eta` in
    every iteration, which overflows; the staircase of the text and the figures is used,
    with steps that keep their share of the training. (2) The generator stays as it is
    until its own update, so one pass makes the samples of all updates of :math:`D` and
    :math:`C` in an iteration. (3) The critic has one output; that of the authors'
    release, ten averaged ones with :math:`\lambda=10,\ \eta_0=1`, is the same
    objective times a tenth. (4) Its 5 and 2 updates, doubled after a third, are
    ``n_classifier=2, doubling=True``, which draws more than `max_epochs` passes. (5)
    Training may end when assignments settle, see `tol`. (6) Tables get narrower layers,
    a smaller :math:`\lambda` and a greater step, as only thousands of iterations, not
    the paper's 100,000, are affordable without a GPU: of the settings tried, these
    brought generated rows closest to the data (energy distance; no labels). (7) The
    default budget is far below the paper's 900,000 iterations.

    References
    ----------
    .. [1] Y. Gan, X. Dong, H. Zhou, F. Gao, J. Dong, "Learning the Precise Feature for
       Cluster Assignment", IEEE Transactions on Cybernetics, 2021.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import UDC
    >>> X, _ = make_blobs(60, centers=[[-9, -9], [0, 0], [9, 9]], random_state=0)
    >>> model = UDC(n_clusters=3, max_epochs=50, random_state=0).fit(X)
    >>> model.predict(X).shape, model.transform(X).shape
    ((60,), (60, 128))
    >>> X_new, y_new = model.sample(4, cluster=1)
    >>> X_new.shape, y_new.tolist()
    ((4, 2), [1, 1, 1, 1])
    """

    _parameter_constraints: dict = {
        **DeepClusterer._parameter_constraints,
        "hidden_layer_sizes": [tuple, list],
        "generator_layer_sizes": [tuple, list],
        "critic_layer_sizes": [tuple, list],
        "n_noise": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
        "gp_weight": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "learning_rate": [
            Interval(Real, 0, None, closed="neither"),
            StrOptions({"auto"}),
        ],
        "eta": [Interval(Real, 0, None, closed="left")],
        "eta_growth": [Interval(Real, 0, None, closed="neither")],
        "n_eta_steps": [Interval(Integral, 1, None, closed="left")],
        "n_critic": [Interval(Integral, 1, None, closed="left")],
        "n_classifier": [Interval(Integral, 1, None, closed="left")],
        "doubling": ["boolean"],
        "cluster_prior": ["array-like", None],
        "augmentation": [callable, None],
    }

    _pixel_range = (0.0, 1.0)
    _read_later = ("cluster_prior",)
    _settles_in = "fit"

    def __init__(
        self,
        n_clusters=8,
        *,
        encoder=None,
        hidden_layer_sizes=(128, 128, 128),
        generator_layer_sizes=(128, 128, 128),
        critic_layer_sizes=(128, 128, 128),
        n_noise="auto",
        gp_weight="auto",
        eta=10.0,
        eta_growth=1.2,
        n_eta_steps=30,
        n_critic=5,
        n_classifier=4,
        doubling=False,
        cluster_prior=None,
        augmentation=None,
        batch_size=100,
        learning_rate="auto",
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
        self._check_layers(*_LAYERS)
        self._check_prior()

    # -- networks ---------------------------------------------------------------------

    def _describe(self, input_shape):
        self._check_pixels(input_shape)
        is_table = len(input_shape) == 1
        return {
            "input_shape": tuple(input_shape),
            "n_clusters": int(self.n_clusters),
            "n_noise": int(self._auto("n_noise", 2 if is_table else 128)),
            "layers": [[int(n) for n in getattr(self, name)] for name in _LAYERS],
            "encoder": self.encoder,
        }

    @staticmethod
    def _networks(input_shape, n_clusters, n_noise, layers, encoder):
        n_code = n_noise + n_clusters
        if len(input_shape) == 1:
            d, (generator, critic, classifier) = input_shape[0], layers
            G = mlp(n_code, generator, d, slope=0)
            D = mlp(d, critic, 1, slope=0)
            C = MLPEncoder(d, classifier, n_clusters, batch_norm=False, slope=0)
        else:
            G = StridedGenerator(n_code, input_shape)
            D = StridedEncoder(input_shape, 1)
            D = nn.Sequential(D.body, D.head)
            C = StridedEncoder(input_shape, n_clusters)
        if encoder is not None:
            C = CustomEncoder(encoder, input_shape, n_clusters)
        return {"classifier": C, "critic": D, "generator": G}

    def _draw_weights(self, name, network, generator):
        wgan_uniform_(network, generator)

    def _optimizers(self):
        is_table = self._image_shape is None
        rate = self._auto("learning_rate", 5e-4 if is_table else 1e-4)
        adam = functools.partial(
            torch.optim.Adam, lr=rate, betas=(0.5, 0.9), fused=True
        )
        return {name: (adam, [name]) for name in ("classifier", "critic", "generator")}

    # -- training ---------------------------------------------------------------------

    def _train(self, net):
        budget = self._auto_budget(net.batches.n_samples, table=6_000, least=500)
        plan = self._schedule(net, self.max_epochs, budget, self.n_critic)
        step = functools.partial(
            self._step,
            edges=prior_edges(self.cluster_prior, self.n_clusters, net.device),
            gp_weight=self._auto("gp_weight", 10 if self._image_shape is None else 100),
        )
        if not self.doubling:
            net.run(step, **plan)
            return
        third = max(1, plan["n_steps"] // 3)
        first = functools.partial(step, until=1 / 3)
        net.run(first, **{**plan, "n_steps": third}, phase="first third")
        rest = functools.partial(step, since=1 / 3, times=2)
        net.run(rest, **{**plan, "n_steps": max(1, plan["n_steps"] - third)})

    def _step(self, net, edges, gp_weight, since=0.0, until=1.0, times=1):
        """One iteration of Algorithm 1."""
        G, D, C = net.generator_, net.critic_, net.classifier_
        n, n_critic = net.batches.batch_size, times * self.n_critic
        # G stays as it is until its own update: one pass makes the samples of all
        # updates of D and C.
        with torch.no_grad():
            n_updates = n_critic + times * self.n_classifier
            y, x_fake = self._fake(G, n * n_updates, edges, net)
        y, x_fake = y.split(n), x_fake.split(n)
        distances, penalties = [], []
        for i in range(n_critic):
            x = self._view(net.draw())
            distance = wasserstein(D, x, x_fake[i])
            penalty = gradient_penalty(D, x, x_fake[i], net.rand(n))
            distances.append(distance.detach())
            penalties.append(penalty.detach())
            net.descend("critic", gp_weight * penalty - distance)
        for i in range(n_critic, n_updates):
            net.descend("classifier", entropy_bound(C(x_fake[i])[1], y[i]))
        y, x_fake = self._fake(G, n, edges, net)
        logits = C(x_fake)[1]
        bound = entropy_bound(logits, y)
        eta = self._eta(since + (until - since) * net.progress)
        loss = net.descend("generator", eta * bound - D(x_fake).mean())
        return {
            "loss": loss,
            "wasserstein": torch.stack(distances).mean(),
            "gradient_penalty": torch.stack(penalties).mean(),
            "entropy_bound": bound.detach(),
            "fake_accuracy": (logits.argmax(1) == y.argmax(1)).float().mean(),
        }

    def _fake(self, G, n, edges, draws):
        """Draw clusters y and noise z; return y and the view of G(y, z)."""
        y = draw_categories(n, edges, draws)
        z = self._noise(n, draws)
        return y, self._view(G(torch.cat([z, y], 1)))

    def _view(self, x):
        """What critic and classifier see of a sample."""
        if self.augmentation is None:
            return x
        return self.augmentation(x.clone())  # it may work in place

    def _eta(self, progress):
        """Weight of the entropy bound, a staircase (eq. 8)."""
        stair = (self.n_eta_steps * progress).floor()
        return self.eta * self.eta_growth**stair

    def _own_criterion(self, X):
        """How good a fit is among fits of the same data; higher is better.

        It is minus ``wasserstein`` over the last tenth of the epochs (in the paper
        accuracy rises as the distance of samples to the data falls); minus infinity
        where ``fake_accuracy`` is below .9.
        """
        if self._late_mean("fake_accuracy") < 0.9:
            return -math.inf
        return -self._late_mean("wasserstein")

    # -- inference --------------------------------------------------------------------

    def _encode(self, x):
        return self._model["classifier"](x)

    def _noise(self, n, draws):
        return draws.randn(n, self._description["n_noise"])

    def _generate(self, category, noise):
        return self._model["generator"](torch.cat([noise, category], 1))
