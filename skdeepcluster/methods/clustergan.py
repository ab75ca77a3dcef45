"""ClusterGAN: clusters as categories of a GAN's code (Mukherjee 2019)."""

from __future__ import annotations

import functools
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn
from torch.nn.functional import mse_loss

from skdeepcluster.base import DeepClusterer
from skdeepcluster.docstrings import documented
from skdeepcluster.generative import (
    GenerativeMixin,
    draw_categories,
    one_hot,
    prior_edges,
)
from skdeepcluster.losses import entropy_bound, gradient_penalty, wasserstein
from skdeepcluster.networks import (
    Centers,
    ConvEncoder,
    ConvGenerator,
    CustomEncoder,
    DeepConvEncoder,
    MLPEncoder,
    add_to_statistics,
    ghost_batches,
    mlp,
    normal_,
    still_statistics,
)

_LAYERS = ("hidden_layer_sizes", "generator_layer_sizes", "critic_layer_sizes")


@documented
class ClusterGAN(GenerativeMixin, DeepClusterer):
    r"""ClusterGAN: a GAN whose code holds a category, and an encoder that finds it.

    A generator :math:`G` makes samples of a one-hot category :math:`h`, which is drawn
    uniformly, and noise :math:`z_n\sim\mathcal N(0,\sigma^2I)`; a critic :math:`D` (low
    on the data) compares them with the data; an encoder :math:`E` learns to find the
    code again [1]_. With :math:`\tilde x=G(z_n,h)` and
    :math:`(\hat z_n,\hat z_c)=E(\tilde x)`,

    .. math::
        \mathcal L_D &= \mathbb E D(x)-\mathbb E D(\tilde x)
        +\lambda\,\mathbb E(\lVert\nabla D(\bar x)\rVert_2-c)^2 \\
        \mathcal L_{GE} &= \mathbb E D(\tilde x)
        +\beta_n\,\mathbb E\lVert z_n-\hat z_n\rVert^2/\dim z_n
        +\beta_c\,\mathbb E\,\mathrm{CE}(h,\hat z_c)

    Clusters of the data are found by k-means in their codes :math:`E(x)`, which
    `transform` gives: the noise, then the category.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters.
    encoder : nn.Module or callable, default=None
        Own body of the encoder :math:`E`: a module (copied, never trained in place)
        that maps a batch of shape (n, n_features) or (n, channels, height, width) to
        features (n, ...), or a factory called with the shape of one input. A linear
        head is put on top. By default an MLP for tables, the paper's convolutions for
        images.
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
    beta_n, beta_c : float, default=10.0
        Weights of the errors of noise and category; 0 leaves an error out. (The paper
        has :math:`\beta_n=0` for Fashion-MNIST.)
    gp_weight : float, default=10.0
        Weight :math:`\lambda` of the gradient penalty.
    gp_center : float, default=1.0
        Slope :math:`c` that it leaves alone.
    n_critic : int, default=5
        Critic updates per update of generator and encoder.
    batch_norm : bool, default=False
        Batch norm in the hidden layers of :math:`G` and :math:`E`, for tables.
    assign : {"kmeans", "argmax"}, default="kmeans"
        Clusters of samples: the nearest of the centres that k-means finds, once, in
        :math:`E(x)` of the training data (its categorical part as probabilities; where
        `beta_n` is 0, that part alone), or the greatest entry of :math:`\hat z_c`. With
        "kmeans", samples of a cluster have the category that is the greatest of its
        centre, which two clusters may share.
    batch_size : int, default=64
        Rows of a minibatch; incomplete ones are dropped.
    learning_rate : float or "auto", default="auto"
        Step size of both Adam optimizers (:math:`\beta` = 0.5, 0.9). "auto": 1e-4 for
        images, as published, 1e-3 for tables, which brings the critic's distance down
        further in the thousands of iterations that a processor can make.
    max_epochs : int or "auto", default="auto"
        Passes over the data, of which an iteration takes ``n_critic + 1`` batches (at
        least one iteration): one for each update of the critic, and one that only batch
        norm in :math:`E` sees. "auto": a budget of iterations, 4 per row, at least 150
        and at most 10,000 for tables, 20,000 for images.
    tol : float, default=0.001
        Stop when at most this share of 1,000 followed samples changed their category
        :math:`\hat z_c` within `n_iter_no_change` epochs, and 500 iterations; 0 never
        stops.
    n_iter_no_change : int, default=20
        See `tol`.
    %(shared parameters)s

    Attributes
    ----------
    %(shared attributes)s
    history_ : dict of ndarray of shape (n_epochs,)
        Per epoch, the means of ``wasserstein`` (the critic's estimate of the distance
        between data and generated samples), ``gradient_penalty``, ``cross_entropy``,
        ``noise_error``, ``loss`` (:math:`\mathcal L_{GE}`), ``changed`` (see `tol`),
        and ``step``, ``epoch``, ``phase``, ``dur`` (seconds).

    Notes
    -----
    **Differs from the paper.** (1) The default budget is far below its 500,000
    iterations: enough for tables, not for images; tables take larger steps, and
    training may end early, see `tol`. (2) Tables are scaled, their generator's output
    is linear. (3) All training data give the centres of k-means.
    (4) Networks for colour images, which the paper does not give, extend those for
    grey ones; all images are scaled to [-1, 1], with a tanh at the end of :math:`G`
    (the paper: [0, 1] and a sigmoid). (5) Convolutions for grey images are not padded,
    so :math:`D` and :math:`E` have half of the release's 6.6 million weights.
    (6) Batch norm, which the paper has for Pendigits, also in :math:`D`, is off by
    default, and never in :math:`D`; where :math:`E` has it, the data make its averages,
    as codes of data are read (the release's uses each batch's own statistics).
    (7) The points of the gradient penalty lie at a place of their own between each pair
    of samples; the release draws one for a batch. (8) Fashion-MNIST has 40 dimensions
    of noise there.

    The published figures are the best of five runs, and called accuracy, are purity:
    .95 for MNIST, where the ten runs of the authors' release have .910 (standard
    deviation .040).

    References
    ----------
    .. [1] S. Mukherjee, H. Asnani, E. Lin, S. Kannan, "ClusterGAN: Latent Space
       Clustering in Generative Adversarial Networks", AAAI 2019.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import ClusterGAN
    >>> X, _ = make_blobs(60, centers=[[-9, -9], [0, 0], [9, 9]], random_state=0)
    >>> model = ClusterGAN(n_clusters=3, max_epochs=50, random_state=0).fit(X)
    >>> model.predict(X).shape, model.transform(X).shape
    ((60,), (60, 5))
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
        "sigma": [Interval(Real, 0, None, closed="left")],
        "beta_n": [Interval(Real, 0, None, closed="left")],
        "beta_c": [Interval(Real, 0, None, closed="left")],
        "gp_weight": [Interval(Real, 0, None, closed="left")],
        "gp_center": [Interval(Real, 0, None, closed="left")],
        "learning_rate": [
            Interval(Real, 0, None, closed="neither"),
            StrOptions({"auto"}),
        ],
        "n_critic": [Interval(Integral, 1, None, closed="left")],
        "batch_norm": ["boolean"],
        "assign": [StrOptions({"argmax", "kmeans"})],
    }

    _read_later: tuple[str, ...] = ("sigma",)
    _settles_in = "gan"

    def __init__(
        self,
        n_clusters=8,
        *,
        encoder=None,
        hidden_layer_sizes=(256, 256),
        generator_layer_sizes=(256, 256),
        critic_layer_sizes=(256, 256),
        n_noise="auto",
        sigma=0.1,
        beta_n=10.0,
        beta_c=10.0,
        gp_weight=10.0,
        gp_center=1.0,
        n_critic=5,
        batch_norm=False,
        assign="kmeans",
        batch_size=64,
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

    # -- networks ---------------------------------------------------------------------

    def _describe(self, input_shape):
        self._check_sides(input_shape)
        self._check_pixels(input_shape)
        return {
            "input_shape": tuple(input_shape),
            "n_clusters": int(self.n_clusters),
            "n_noise": int(self._auto("n_noise", _n_noise(input_shape))),
            "noise_is_read": self._learns_noise(),
            "layers": [[int(n) for n in getattr(self, name)] for name in _LAYERS],
            "batch_norm": bool(self.batch_norm),
            "encoder": self.encoder,
        }

    def _learns_noise(self):
        """Whether the encoder's noise means anything, so that k-means may read it."""
        return self.beta_n > 0

    @staticmethod
    def _networks(
        input_shape, n_clusters, n_noise, noise_is_read, layers, batch_norm, encoder
    ):
        n_code = n_noise + n_clusters
        hidden, generator, critic = layers
        if len(input_shape) == 1:
            d = input_shape[0]
            E = MLPEncoder(d, hidden, n_code, batch_norm=batch_norm)
            G = mlp(n_code, generator, d, batch_norm=batch_norm)
            D = mlp(d, critic, 1)
        else:
            G = ConvGenerator(n_code, input_shape)
            if min(input_shape[1:]) < 32:
                kind = functools.partial(ConvEncoder, batch_norm=False)
            else:
                kind = DeepConvEncoder
            E, D = kind(input_shape, n_code), kind(input_shape, 1)
            D = nn.Sequential(D.body, D.head)
        if encoder is not None:
            E = CustomEncoder(encoder, input_shape, n_code)
        return {
            "encoder": E,
            "generator": G,
            "critic": D,
            "kmeans": Centers(n_clusters, n_code if noise_is_read else n_clusters),
        }

    def _draw_weights(self, name, network, generator):
        normal_(network, generator)

    def _optimizers(self):
        adam = functools.partial(
            torch.optim.Adam, lr=self._rate(), betas=(0.5, 0.9), fused=True
        )
        return {
            "generator_encoder": (adam, ["generator", "encoder"]),
            "critic": (adam, ["critic"]),
        }

    def _rate(self):
        return self._auto("learning_rate", 1e-3 if self._image_shape is None else 1e-4)

    # -- training ---------------------------------------------------------------------

    def _train(self, net):
        edges = prior_edges(None, self.n_clusters, net.device)
        budget = self._auto_budget(net.batches.n_samples, table=10_000)
        self._train_gan(net, functools.partial(self._uniform_code, edges=edges), budget)

    def _train_gan(self, net, code, budget):
        plan = self._schedule(net, self.max_epochs, budget, self.n_critic + 1)
        net.run(functools.partial(self._step, code=code), **plan, phase="gan")

    def _uniform_code(self, net, edges):
        """Draw a minibatch, and one-hot clusters that have nothing to do with it."""
        x = net.draw()
        return x, draw_categories(len(x), edges, net)

    def _step(self, net, code):
        """One iteration: the critic's updates, then generator and encoder (Alg. 1)."""
        G, D = net.generator_, net.critic_
        # G stays as it is until its own update: one pass makes all samples for D.
        batches, codes = zip(*(code(net) for _ in range(self.n_critic)), strict=True)
        with torch.no_grad(), ghost_batches(G, self.n_critic):
            h = torch.cat(codes)
            fakes = G(torch.cat([self._noise(len(h), net), h], 1))
        distances, penalties = [], []
        for x, x_fake in zip(batches, fakes.chunk(self.n_critic), strict=True):
            distance = wasserstein(D, x_fake, x)  # D is low on the data
            penalty = gradient_penalty(
                D, x, x_fake, net.rand(len(x)), center=self.gp_center
            )
            distances.append(distance.detach())
            penalties.append(penalty.detach())
            net.descend("critic", self.gp_weight * penalty - distance)
        x, h = code(net)
        z_n = self._noise(len(x), net)
        x_fake = G(torch.cat([z_n, h], 1))
        losses = self._losses(net, x, h, z_n, x_fake)
        loss = D(x_fake).mean()
        for weight, value in losses.values():
            loss = loss + weight * value
        net.descend("generator_encoder", loss)
        return {
            "loss": loss.detach(),
            "wasserstein": torch.stack(distances).mean(),
            "gradient_penalty": torch.stack(penalties).mean(),
            **{name: value.detach() for name, (_, value) in losses.items()},
        }

    def _losses(self, net, x, h, z_n, x_fake):
        """Losses of generator and encoder beside the critic's, with their weights."""
        E = net.encoder_
        # It is to read data, so its averages are of those, not of generated samples.
        with still_statistics(E):
            losses = self._cycle(E, h, z_n, x_fake, self.beta_c, self.beta_n)
        add_to_statistics(E, x)
        return losses

    def _cycle(self, E, h, z_n, x_fake, beta_c, beta_n):
        """How well the encoder finds category and noise of generated samples."""
        noise, logits = self._code(E, x_fake)
        zero = x_fake.new_zeros(())
        with_noise = beta_n and z_n.shape[1]  # of none the mean would be nan
        return {
            "cross_entropy": (beta_c, entropy_bound(logits, h) if beta_c else zero),
            "noise_error": (beta_n, mse_loss(noise, z_n) if with_noise else zero),
        }

    # -- inference --------------------------------------------------------------------

    def _code(self, E, x):
        """Noise and category logits that the encoder finds in x."""
        n_noise, n_clusters = (self._description[k] for k in ("n_noise", "n_clusters"))
        return E(x)[1].split([n_noise, n_clusters], dim=1)

    def _encode(self, x):
        noise, logits = self._code(self._model["encoder"], x)
        embedding = torch.cat([noise, logits.softmax(1)], 1)
        if self._model["kmeans"].fitted:
            logits = self._model["kmeans"](self._read(embedding))
        return embedding, logits

    def _read(self, embedding):
        """Part of the code that k-means sees: all of it, or what was learned of it."""
        return embedding[:, -self._model["kmeans"].centers.shape[1] :]

    def _complete(self, X):
        if self.assign == "kmeans":
            self._model["kmeans"].fit(self._read(self._embeddings(X)))

    def _noise(self, n, draws):
        n_noise = self._description["n_noise"]
        return self._as_fitted["sigma"] * draws.randn(n, n_noise)

    def _generate(self, category, noise):
        if self._model["kmeans"].fitted:
            # A centre's category is the greatest entry of its categorical part.
            n_clusters = category.shape[1]
            codes = self._model["kmeans"].centers[:, -n_clusters:]
            category = category @ one_hot(codes.argmax(1), n_clusters)
        return self._model["generator"](torch.cat([noise, category], 1))


def _n_noise(input_shape: tuple[int, ...]) -> int:
    """Dimensions of the noise, as published for data of such a shape."""
    if len(input_shape) == 1:
        return int(np.clip(input_shape[0] // 3, 2, 30))
    if input_shape[0] == 1:
        return 30
    return 50 if min(input_shape[1:]) < 96 else 100
