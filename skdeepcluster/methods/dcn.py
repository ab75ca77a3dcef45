"""DCN: deep clustering network, k-means-friendly spaces (Yang 2017)."""

from __future__ import annotations

from numbers import Real

from sklearn.utils._param_validation import Interval, StrOptions
from torch.nn.functional import mse_loss

from skdeepcluster.autoencoding import PretrainedClusterer
from skdeepcluster.docstrings import documented
from skdeepcluster.generative import one_hot
from skdeepcluster.networks import RunningCenters


@documented
class DCN(PretrainedClusterer):
    r"""Deep clustering network: a code in which k-means finds its clusters.

    An autoencoder :math:`g\circ f` is trained, k-means places centres
    :math:`\mu_c` in its code, and then, minibatch by minibatch, the networks descend

    .. math::
        \mathcal L=\mathbb E\Big[\lVert x-g(f(x))\rVert^2
        +\tfrac\lambda2\lVert f(x)-\mu_{s(x)}\rVert^2\Big]/d

    with the nearest centres :math:`s(x)` as they are, and each centre moves towards the
    samples that are assigned to it [1]_,

    .. math:: \mu_c\leftarrow(1-\tfrac1{n_c})\,\mu_c+\tfrac1{n_c}f(x),

    :math:`n_c` being their number so far, from 100 on.

    Parameters
    ----------
    %(n_clusters)s
    %(autoencoder parameters)s
    batch_norm : bool, default=True
        Batch norm in the linear layers, and one size for the whole code. Without that
        the code may shrink, which makes distances small and brings no clusters.
    lambda_c : float or "auto", default="auto"
        Weight :math:`\lambda` of the distances to centres, in a code of variance 1, of
        the reconstruction of scaled samples. "auto": 40 for images, 4 for tables: the
        weights .05 and .5 of the reconstruction in the authors' release for MNIST and
        Pendigits, whose data and code are scaled otherwise. Without `batch_norm` the
        code has a variance of its own, which the weight is to be chosen for.
    batch_size : int, default=256
        Rows of a minibatch; incomplete ones are dropped.
    %(pretraining parameters)s
    learning_rate : float, default=1e-3
        Step size of Adam after the pretraining.
    max_epochs : int or "auto", default="auto"
        Passes over the data after the pretraining. "auto": a budget of 4 steps per row,
        at least 150, at most 2,000 for tables, 20,000 for images.
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
        Per epoch, the means of ``loss``, ``reconstruction``, ``distance`` (squared, to
        the nearest centre, over :math:`d`), ``changed`` (see `tol`), and ``step``,
        ``epoch``, ``phase``, ``dur`` (seconds).

    Notes
    -----
    **Differs from the paper.** (1) Adam, or at least all layers at once, in place of
    layer-wise denoising, and of SGD. (2) The nearest centre is that of the sample's
    code in the step itself, and centres move by these codes; in the paper the
    assignment is the one of the pass before, and centres move by the codes after the
    update. (3) Centres really move: in the authors' first release the step ``1/count``
    of integers is 0. (4) Layers are those of the other autoencoders here, not the
    2000-1000-500-500-250-50 of raw MNIST and the 50-16-10 of Pendigits. (5) The paper
    has batch norm in every layer; of the code, all columns together are brought to a
    mean variance of 1, as batch norm of each makes noise in what is hardly used as
    large as the clusters. The authors' second release, for MNIST with the layers that
    images have here, has no batch norm and equal weights (``batch_norm=False,
    lambda_c=2``), and places the centres by k-means again every ten passes. (6) Budgets
    are smaller, see above, and training may end early, see `tol`; batches are larger
    (128 and 20 in the paper).

    What the pretraining does to the code is told in the notes of
    :class:`AutoencoderKMeans`, whose optimizers may be set here too. Nothing in the
    loss keeps clusters apart or even: a larger `lambda_c` closes ranks sooner, around
    centres that may be wrong, and clusters may run empty (on USPS weights of .4, 2, 4
    and 40 all ended below k-means in the code that they began with).

    References
    ----------
    .. [1] B. Yang, X. Fu, N. D. Sidiropoulos, M. Hong, "Towards K-means-friendly
       Spaces: Simultaneous Deep Learning and Clustering", ICML 2017.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import DCN
    >>> X, _ = make_blobs(60, centers=[[-9, -9], [0, 0], [9, 9]], random_state=0)
    >>> model = DCN(3, hidden_layer_sizes=(32,), n_latent=2, random_state=0).fit(X)
    >>> model.predict(X).shape, model.transform(X).shape
    ((60,), (60, 2))
    """

    _parameter_constraints: dict = {
        **PretrainedClusterer._parameter_constraints,
        "batch_norm": ["boolean"],
        "lambda_c": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
    }

    _settles_in = "clustering"

    def __init__(
        self,
        n_clusters=8,
        *,
        encoder=None,
        hidden_layer_sizes="auto",
        n_latent=10,
        convolutional=False,
        batch_norm=True,
        lambda_c="auto",
        batch_size=256,
        pretrain_optimizer="adam",
        pretrain_learning_rate="auto",
        pretrain_max_epochs="auto",
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

    @staticmethod
    def _centers(n_clusters, n_latent):
        return RunningCenters(n_clusters, n_latent)

    def _optimizers(self):
        before = self._pretrainer()
        after = self._adam(self.learning_rate)
        networks = ["encoder", "decoder"]
        return {"autoencoder": (before, networks), "clustering": (after, networks)}

    def _train(self, net):
        self._learn_code(net)
        self._place_centers(net)
        budget = self._auto_budget(net.batches.n_samples)
        plan = self._schedule(net, self.max_epochs, budget)
        net.run(self._step, **plan, phase="clustering")

    def _step(self, net):
        """One update of the networks, then of the centres (Algorithm 1)."""
        x, C = net.draw(), net.centers_
        z = self._code(x)
        s = one_hot(C.nearest(z), self.n_clusters)
        rec = mse_loss(net.decoder_(z), x)
        distance = (z - s @ C.centers).square().sum(1).mean() / x[0].numel()
        loss = net.descend("clustering", rec + self._lambda_c() / 2 * distance)
        C.move(z.detach(), s)
        return {
            "loss": loss,
            "reconstruction": rec.detach(),
            "distance": distance.detach(),
        }

    def _complete(self, X):
        super()._complete(X)
        self._model["centers"].measure(self._embeddings(X))

    def _lambda_c(self):
        return self._auto("lambda_c", 4.0 if self._image_shape is None else 40.0)

    def _own_criterion(self, X):
        """How good a fit is among fits of the same data; higher is better.

        It is minus the loss over the last tenth of the epochs; minus infinity where
        only the autoencoder has been trained, or that failed.
        """
        return -self._late_mean("loss", "clustering")
