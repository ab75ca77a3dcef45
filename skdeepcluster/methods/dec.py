"""DEC: deep embedded clustering (Xie 2016)."""

from __future__ import annotations

import functools
from numbers import Real

import torch
from sklearn.utils._param_validation import Interval
from torch.nn.functional import kl_div

from skdeepcluster.autoencoding import TargetClusterer
from skdeepcluster.docstrings import documented
from skdeepcluster.networks import StudentCenters


@documented
class DEC(TargetClusterer):
    r"""Deep embedded clustering.

    An autoencoder is trained, k-means places centres :math:`\mu_j` in its code
    :math:`z=f(x)`, and the encoder and the centres learn from their own sure
    assignments [1]_:

    .. math::
        q_{ij} &\propto\big(1+\lVert z_i-\mu_j\rVert^2/\alpha\big)^{-(\alpha+1)/2},
        \qquad p_{ij}\propto q_{ij}^2\big/\textstyle\sum_iq_{ij} \\
        \mathcal L &= \mathbb E\,\mathrm{KL}(p_i\parallel q_i)

    The target :math:`P` is that of the whole data set, and stays as it is for
    `update_interval` steps.

    Parameters
    ----------
    %(n_clusters)s
    %(autoencoder parameters)s
    alpha : float, default=1.0
        Degrees of freedom :math:`\alpha`.
    update_interval : int or "auto", default="auto"
        Steps between two updates of the target. "auto": a pass over the data, but from
        30 to 140, as published for small data and for MNIST.
    momentum : float, default=0.9
        Of the stochastic gradient descent.
    batch_size : int, default=256
        Rows of a minibatch; incomplete ones are dropped.
    %(pretraining parameters)s
    learning_rate : float, default=0.01
        Step size after the pretraining.
    max_epochs : int or "auto", default="auto"
        Passes over the data after the pretraining. "auto": a budget of 4 steps per row,
        at least 150, at most 2,000 for tables, 20,000 for images.
    tol : float, default=0.001
        Stop when at most this share of all labels changed between two updates of the
        target; 0 never stops.
    %(shared parameters)s

    Attributes
    ----------
    %(shared attributes)s
    history_ : dict of ndarray of shape (n_epochs,)
        Per epoch, the mean of ``loss`` (the reconstruction's in the phase
        "pretraining", then the divergence), ``changed`` (see `tol`), and ``step``,
        ``epoch``, ``phase``, ``dur`` (seconds). An epoch of the phase "clustering" is
        an update interval.

    Notes
    -----
    **Differs from the paper.** (1) The autoencoder is trained at once, by Adam unless
    told otherwise, not layer by layer with dropout by SGD for 300,000 steps. (2) The
    divergence is the mean over the rows. (3) Rows are drawn in a new order in each
    pass, where a known reimplementation keeps their order. (4) Budgets are smaller, see
    above. (5) A fit whose labels have settled ends with the interval then begun. (6)
    Tables have layers of (500, 500), Xavier-normal first weights unless by SGD, and
    inputs are scaled by `scale`, not to a mean square of 1. (7) The interval follows
    the size of the data, where 140 and 30 are published.

    DEC ends a few points above k-means in the code that it starts from, so that code
    decides: see the notes of :class:`AutoencoderKMeans`. On all of MNIST, with
    ``pretrain_optimizer="sgd"`` and ``pretrain_max_epochs=100``, one fit (bf16) had
    .952, where .84 to .91 is published.

    References
    ----------
    .. [1] J. Xie, R. Girshick, A. Farhadi, "Unsupervised Deep Embedding for Clustering
       Analysis", ICML 2016.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import DEC
    >>> X, _ = make_blobs(60, centers=[[-9, -9], [0, 0], [9, 9]], random_state=0)
    >>> model = DEC(3, hidden_layer_sizes=(32,), n_latent=2, random_state=0).fit(X)
    >>> model.predict(X).shape, model.transform(X).shape
    ((60,), (60, 2))
    """

    _parameter_constraints: dict = {
        **TargetClusterer._parameter_constraints,
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "momentum": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(
        self,
        n_clusters=8,
        *,
        encoder=None,
        hidden_layer_sizes="auto",
        n_latent=10,
        convolutional=False,
        alpha=1.0,
        update_interval="auto",
        momentum=0.9,
        batch_size=256,
        pretrain_optimizer="adam",
        pretrain_learning_rate="auto",
        pretrain_max_epochs="auto",
        learning_rate=0.01,
        max_epochs="auto",
        tol=0.001,
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

    def _describe(self, input_shape):
        return {**super()._describe(input_shape), "alpha": float(self.alpha)}

    @staticmethod
    def _centers(n_clusters, n_latent, alpha):
        return StudentCenters(n_clusters, n_latent, alpha)

    def _optimizers(self):
        sgd = functools.partial(
            torch.optim.SGD, lr=self.learning_rate, momentum=self.momentum, fused=True
        )
        return {
            "autoencoder": (
                self._pretrainer(),
                ["encoder", "decoder"],
            ),
            "clustering": (sgd, ["encoder", "centers"]),
        }

    def _step(self, net, target):
        """One update of encoder and centres (eqs. 4, 5)."""
        z = self._code(net.draw())
        loss = self._divergence(net, z, target)
        return {"loss": net.descend("clustering", loss)}

    @staticmethod
    def _divergence(net, z, target):
        """KL(P || Q) of the batch drawn last, whose code is z (eq. 2)."""
        # Over short rows a softmax takes twice as long as over long columns.
        log_q = net.centers_(z).T.log_softmax(0).T
        return kl_div(log_q, net.batches.of_batch(target), reduction="batchmean")
