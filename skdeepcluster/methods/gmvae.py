"""GMVAE: a Gaussian mixture variational autoencoder (Dilokthanakul 2016)."""

from __future__ import annotations

import functools
import math
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn
from torch.nn.functional import softplus

from skdeepcluster.autoencoding import LikelihoodMixin
from skdeepcluster.base import DeepClusterer
from skdeepcluster.docstrings import documented
from skdeepcluster.generative import GenerativeMixin, draw_gaussian, one_hot
from skdeepcluster.losses import categorical_entropy, gaussian_log_likelihood
from skdeepcluster.networks import CustomEncoder, FlatDecoder, FlatEncoder


@documented
class GMVAE(LikelihoodMixin, GenerativeMixin, DeepClusterer):
    r"""Gaussian mixture variational autoencoder.

    A cluster :math:`y`, uniform over :math:`K`, has a Gaussian :math:`p(z|y)` in the
    code, from which a decoder makes samples. Networks give each sample its clusters
    :math:`q(y|x)` and its code :math:`q(z|x,y)`; all ascend

    .. math::
        \mathrm{ELBO}(x)=\mathbb E\big[\log p(x|z)
        -\log q(z|x,y)+\log p(z|y)\big]+H(q(y|x))-\log K

    with one draw of :math:`z`, and of :math:`y` by the Gumbel softmax: a point inside
    the simplex, nearer to its corners the lower the temperature [1]_ [2]_.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters :math:`K`.
    encoder : nn.Module or callable, default=None
        Own body of :math:`q(y|x)`: a module (copied, never trained in place) that maps
        a batch of shape (n, n_features) or (n, channels, height, width) to features
        (n, ...), or a factory called with the shape of one input. A linear head is put
        on top.
    hidden_layer_sizes : tuple of int or "auto", default="auto"
        Hidden layers of both encoders, with ReLU; the decoder has them in reverse.
        "auto": (512, 512) for images, which are read as rows, (256, 256) for tables.
    n_latent : int or "auto", default="auto"
        Dimensions of :math:`z`; "auto": 64 for images, half of the columns for tables,
        between 2 and 10.
    likelihood : {"auto", "bernoulli", "gaussian"}, default="auto"
        :math:`p(x|z)`: Bernoulli for pixels in [0, 1]; Gaussian of variance 1/2, which
        makes it the squared error. "auto": Bernoulli for grey images, else Gaussian.
    temperature : tuple of float, default=(1.0, 0.5)
        Temperature of the Gumbel softmax at the beginning, and from the middle of the
        training on; between them it falls geometrically.
    batch_size : int, default=64
        Rows of a minibatch; incomplete ones are dropped.
    learning_rate : float, default=1e-3
        Step size of Adam.
    max_epochs : int or "auto", default="auto"
        Passes over the data. "auto": a budget of 4 steps per row, at least 500, at most
        4,000 for tables, 20,000 for images.
    tol : float, default=0.001
        Stop when at most this share of 1,000 followed samples changed their cluster
        within `n_iter_no_change` epochs, and 500 iterations; 0 never stops.
    n_iter_no_change : int, default=20
        See `tol`.
    %(shared parameters)s

    Attributes
    ----------
    %(shared attributes)s
    history_ : dict of ndarray of shape (n_epochs,)
        Per epoch, the means of ``loss`` (minus the bound, in nats), ``reconstruction``
        (:math:`\log p(x|z)`), ``kl_code``, ``kl_cluster``, ``changed`` (see `tol`), and
        ``step``, ``epoch``, ``phase``, ``dur`` (seconds).

    Notes
    -----
    `transform` gives the mean of :math:`q(z|x,y)` with the most probable cluster.

    **Differs from the paper.** (1) This is the simpler variant of [2]_: clusters have a
    network of their own, :math:`q(y|x)`, and no further code :math:`w`; there are no
    "free bits". (2) Variances are exponentials in :math:`q(z|x,y)`, softplus in
    :math:`p(z|y)`; [2]_ has softplus in both. (3) Tables have narrower layers; they and
    colour images have a Gaussian likelihood. (4) The default budget is a fraction of
    the 100 passes over MNIST in [2]_, and training may end early, see `tol`, then at a
    temperature above its last.

    Nothing in the bound asks for clusters: where the code alone describes the data, few
    clusters or mixed ones cost little, and runs differ much (three far blobs, 90 rows
    in all, are told apart with an adjusted Rand index of .44, .62, .97, 1, 1 and 1 by
    six seeds; after 3,000 steps in place of 500, with ``tol=0``, the worst two have .93
    and 1). Use `n_init`, or train longer.

    References
    ----------
    .. [1] N. Dilokthanakul, P. A. M. Mediano, M. Garnelo, M. C. H. Lee, H. Salimbeni,
       K. Arulkumaran, M. Shanahan, "Deep Unsupervised Clustering with Gaussian Mixture
       Variational Autoencoders", arXiv:1611.02648, 2016.
    .. [2] J. Arias, "Gaussian Mixture Variational Autoencoder",
       https://github.com/jariasf/GMVAE, 2018.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import GMVAE
    >>> X, _ = make_blobs(60, centers=[[-9, -9], [0, 0], [9, 9]], random_state=0)
    >>> model = GMVAE(3, hidden_layer_sizes=(32,), random_state=0).fit(X)
    >>> model.predict(X).shape, model.transform(X).shape
    ((60,), (60, 2))
    >>> model.sample(4, cluster=0)[0].shape
    (4, 2)
    """

    _parameter_constraints: dict = {
        **DeepClusterer._parameter_constraints,
        **LikelihoodMixin._parameter_constraints,
        "hidden_layer_sizes": [tuple, list, StrOptions({"auto"})],
        "n_latent": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "temperature": [tuple, list],
    }

    _settles_in = "fit"

    def __init__(
        self,
        n_clusters=8,
        *,
        encoder=None,
        hidden_layer_sizes="auto",
        n_latent="auto",
        likelihood="auto",
        temperature=(1.0, 0.5),
        batch_size=64,
        learning_rate=1e-3,
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
        self._check_layers("hidden_layer_sizes")
        ends = self.temperature
        numbers = len(ends) == 2 and all(isinstance(end, Real) for end in ends)
        if not numbers or not 0 < ends[1] <= ends[0]:
            raise ValueError(
                "temperature must be (first, last) with 0 < last <= first; got "
                f"{ends!r}."
            )

    # -- networks ---------------------------------------------------------------------

    def _describe(self, input_shape):
        self._check_likelihood(input_shape)
        is_table = len(input_shape) == 1
        n_latent = int(np.clip(input_shape[0] // 2, 2, 10)) if is_table else 64
        hidden = (256, 256) if is_table else (512, 512)
        return {
            "input_shape": tuple(input_shape),
            "n_clusters": int(self.n_clusters),
            "n_latent": int(self._auto("n_latent", n_latent)),
            "hidden": [int(n) for n in self._auto("hidden_layer_sizes", hidden)],
            "encoder": self.encoder,
            "logits": self._is_bernoulli(input_shape),
        }

    @staticmethod
    def _networks(input_shape, n_clusters, n_latent, hidden, encoder, logits):
        E: nn.Module
        if encoder is None:
            E = FlatEncoder(input_shape, hidden, n_clusters)
        else:
            E = CustomEncoder(encoder, input_shape, n_clusters)
        both = (math.prod(input_shape) + n_clusters,)
        return {
            "encoder": E,
            "posterior": FlatEncoder(both, hidden, 2 * n_latent),
            "prior": nn.Linear(n_clusters, 2 * n_latent),
            "decoder": FlatDecoder(n_latent, hidden[::-1], input_shape),
        }

    def _optimizers(self):
        adam = functools.partial(torch.optim.Adam, lr=self.learning_rate, fused=True)
        return {"all": (adam, ["encoder", "posterior", "prior", "decoder"])}

    # -- training ---------------------------------------------------------------------

    def _train(self, net):
        n = net.batches.n_samples
        budget = self._auto_budget(n, table=4_000, least=500)
        net.run(self._step, **self._schedule(net, self.max_epochs, budget))

    def _step(self, net):
        """One update of all networks by the bound."""
        x = net.draw()
        log_q = net.encoder_(x)[1].log_softmax(1)
        y = self._gumbel_softmax(net, log_q)
        mean, log_variance = self._posterior(x, y)
        z = draw_gaussian(mean, log_variance, net)
        log_q_z = gaussian_log_likelihood(z, mean, log_variance.exp())
        log_p_z = gaussian_log_likelihood(z, *self._prior(y))
        rec = self._log_likelihood(x, z).mean()
        kl_code = (log_q_z - log_p_z).mean()
        kl_cluster = math.log(self.n_clusters) - categorical_entropy(log_q).mean()
        return {
            "loss": net.descend("all", kl_code + kl_cluster - rec),
            "reconstruction": rec.detach(),
            "kl_code": kl_code.detach(),
            "kl_cluster": kl_cluster.detach(),
        }

    def _gumbel_softmax(self, net, log_q):
        """Draw y, between the corners of the simplex."""
        first, last = self.temperature
        temperature = first * (last / first) ** (2 * net.progress).clamp(max=1)
        u = net.rand(*log_q.shape).clamp(min=1e-20)
        gumbel = -(-u.log()).clamp(min=1e-20).log()
        return ((log_q + gumbel) / temperature).softmax(1)

    def _posterior(self, x, y):
        """Mean and logarithmic variance of q(z|x,y)."""
        joined = torch.cat([x.flatten(1), y], 1)
        return self._model["posterior"](joined)[1].chunk(2, dim=1)

    def _prior(self, y):
        """Mean and variance of p(z|y)."""
        mean, variance = self._model["prior"](y).chunk(2, dim=1)
        return mean, softplus(variance)

    def _own_criterion(self, X):
        """How good a fit is among fits of the same data; higher is better.

        It is the mean of the evidence lower bound over the last tenth of the epochs.
        """
        return -self._late_mean("loss")

    # -- inference --------------------------------------------------------------------

    def _encode(self, x):
        logits = self._model["encoder"](x)[1]
        y = one_hot(logits.argmax(1), logits.shape[1])
        return self._posterior(x, y)[0], logits

    def _noise(self, n, draws):
        return draws.randn(n, self._description["n_latent"])

    def _generate(self, category, noise):
        mean, variance = self._prior(category)
        return self._mean_row(mean + variance.sqrt() * noise)
