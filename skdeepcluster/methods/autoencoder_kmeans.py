"""K-means on the code of an autoencoder: the baseline of deep clustering."""

from __future__ import annotations

from numbers import Real

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch.nn.functional import mse_loss

from skdeepcluster.autoencoding import PRETRAINING, AutoencoderClusterer
from skdeepcluster.docstrings import documented
from skdeepcluster.losses import gaussian_kl
from skdeepcluster.networks import Centers


@documented
class AutoencoderKMeans(AutoencoderClusterer):
    r"""K-means on the code of an autoencoder.

    An encoder :math:`f` and a decoder :math:`g` learn to reconstruct the data [1]_,

    .. math::
        \mathcal L=\mathbb E\,\lVert x-g(f(\tilde x))\rVert^2/d,

    with :math:`\tilde x=x`, or a copy of which entries are set to zero [2]_; or as a
    variational autoencoder [3]_ with unit variance,

    .. math::
        \mathcal L=\tfrac1d\,\mathbb E\big[\tfrac12\lVert x-g(z)\rVert^2
        +\mathrm{KL}\big(q(z|x)\parallel\mathcal N(0,I)\big)\big].

    K-means then finds the clusters of the codes :math:`f(x)`.

    Parameters
    ----------
    %(n_clusters)s
    %(autoencoder parameters)s
    kind : {"plain", "denoising", "variational"}, default="plain"
        What is reconstructed from what. The code of a variational one is its mean.
    corruption : float, default=0.2
        Share of the entries that are set to zero, for ``kind="denoising"``; columns
        have mean 0, pixels lie in [0, 1].
    batch_size : int, default=256
        Rows of a minibatch; incomplete ones are dropped.
    optimizer : {"adam", "sgd"}, default="adam"
        "sgd": with momentum .9, as published for MNIST; see Notes.
    learning_rate : float or "auto", default="auto"
        Step size. "auto": 1e-3 of Adam; of "sgd" 1 for images, as published, .1 for
        tables.
    max_epochs : int or "auto", default="auto"
        Passes over the data. "auto": a budget of 4 steps per row, at least 500, at most
        3,000 for tables, 10,000 for images.
    tol : float, default=0.0
        Not used: the training has a fixed length.
    n_iter_no_change : int, default=1
        Not used either.
    %(shared parameters)s

    Attributes
    ----------
    %(shared attributes)s
    history_ : dict of ndarray of shape (n_epochs,)
        Per epoch, the means of ``loss``, and ``step``, ``epoch``, ``phase``, ``dur``
        (seconds).

    Notes
    -----
    **Differs from the papers.** (1) All layers are trained at once, by Adam unless told
    otherwise; stacked autoencoders are trained layer by layer, those of the published
    figures of MNIST at once by SGD. (2) The default budget is a fraction of their 300
    passes. (3) Tables have layers of (500, 500).

    What makes the difference, on all 70,000 images of MNIST, whose published accuracies
    are .81 to .88 (k-means of the code; one seed, bf16): the first weights, and then
    length. Weights of linear layers on images are uniform within
    :math:`\pm1/\sqrt{n_{in}}`, as published: Adam has .76, .81, .85 after 2,184, 4,368,
    7,098 steps. From Xavier's normal weights it has .76, .78, .78, and stays there (.79
    after 24,843 steps), with the smaller reconstruction error. The published
    ``optimizer="sgd"`` is slower, and has .65, .71, .80, .90 after 2,184, 4,368, 8,736,
    27,300 steps (100 of the published 300 passes).

    Tables have Xavier-normal weights with Adam; ``optimizer="sgd"`` has the uniform
    ones there, too.

    References
    ----------
    .. [1] G. E. Hinton, R. R. Salakhutdinov, "Reducing the Dimensionality of Data with
       Neural Networks", Science, 2006.
    .. [2] P. Vincent, H. Larochelle, I. Lajoie, Y. Bengio, P.-A. Manzagol, "Stacked
       Denoising Autoencoders", Journal of Machine Learning Research, 2010.
    .. [3] D. P. Kingma, M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import AutoencoderKMeans
    >>> X, _ = make_blobs(60, centers=[[-9, -9], [0, 0], [9, 9]], random_state=0)
    >>> params = {"hidden_layer_sizes": (32,), "n_latent": 2, "max_epochs": 50}
    >>> model = AutoencoderKMeans(3, **params, random_state=0).fit(X)
    >>> model.predict(X).shape, model.transform(X).shape
    ((60,), (60, 2))
    """

    _before = ""

    _parameter_constraints: dict = {
        **AutoencoderClusterer._parameter_constraints,
        "optimizer": PRETRAINING["pretrain_optimizer"],
        "learning_rate": PRETRAINING["pretrain_learning_rate"],
        "kind": [StrOptions({"plain", "denoising", "variational"})],
        "corruption": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(
        self,
        n_clusters=8,
        *,
        encoder=None,
        hidden_layer_sizes="auto",
        n_latent=10,
        convolutional=False,
        kind="plain",
        corruption=0.2,
        batch_size=256,
        optimizer="adam",
        learning_rate="auto",
        max_epochs="auto",
        tol=0.0,
        n_iter_no_change=1,
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

    def _n_out(self):
        return self.n_latent * (2 if self.kind == "variational" else 1)

    @staticmethod
    def _centers(n_clusters, n_latent):
        return Centers(n_clusters, n_latent)

    def _optimizers(self):
        return {"autoencoder": (self._pretrainer(), ["encoder", "decoder"])}

    # -- training ---------------------------------------------------------------------

    def _train(self, net):
        self._learn_code(net)

    def _learn_code(self, net):
        step = {
            "plain": self._reconstruction_step,
            "denoising": self._denoising_step,
            "variational": self._variational_step,
        }[self.kind]
        self._pretrain(net, self.max_epochs, step)

    def _denoising_step(self, net):
        """Reconstruct whole samples from damaged ones."""
        E, D, x = net.encoder_, net.decoder_, net.draw()
        kept = net.rand(*x.shape) >= self.corruption
        loss = mse_loss(D(E(x * kept)[1]), x)
        return {"loss": net.descend("autoencoder", loss)}

    def _variational_step(self, net):
        """Reconstruct samples from draws of their codes."""
        x = net.draw()
        mean, log_variance, z = self._draw_code(net, x)
        rec = (x - net.decoder_(z)).flatten(1).square().sum(1) / 2
        ones = torch.ones_like(mean)
        kl = gaussian_kl(mean, log_variance.exp(), torch.zeros_like(mean), ones)
        loss = (rec + kl).mean() / x[0].numel()
        return {"loss": net.descend("autoencoder", loss)}
