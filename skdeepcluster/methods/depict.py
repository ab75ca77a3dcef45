"""DEPICT: deep embedded regularised clustering (Ghasedi Dizaji 2017)."""

from __future__ import annotations

import functools
from numbers import Real

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn
from torch.nn.functional import mse_loss

from skdeepcluster.autoencoding import TargetClusterer
from skdeepcluster.docstrings import documented
from skdeepcluster.generative import one_hot
from skdeepcluster.losses import entropy_bound
from skdeepcluster.networks import (
    CustomEncoder,
    LadderDecoder,
    LadderEncoder,
    LinearAssignment,
    damaged,
)


@documented
class DEPICT(TargetClusterer):
    r"""Deep embedded regularised clustering.

    A softmax on the code :math:`z=f(x)` of an autoencoder gives assignments
    :math:`p_{ik}`. They learn from their own sharpened target, seen through a damaged
    encoder :math:`\tilde f` (dropout of its input and hidden layers), while the
    autoencoder goes on to reconstruct the input and each hidden layer [1]_:

    .. math::
        q_{ik} &\propto p_{ik}^2\big/\textstyle\sum_ip_{ik} \\
        \mathcal L &= -\mathbb E\sum_kq_{ik}\log\tilde p_{ik}
        +\sum_l\lambda_l\,\mathbb E\lVert z^l-\hat z^l\rVert^2/d_l

    with :math:`p`, :math:`q` and the layers :math:`z^l` (:math:`z^0=x`) of the clean
    encoder, and :math:`\tilde p` and the decoder's :math:`\hat z^l` of the damaged one;
    :math:`\lambda_0=1`. The target is that of the whole data set.

    Parameters
    ----------
    %(n_clusters)s
    encoder : nn.Module or callable, default=None
        Own encoder: a module (copied, never trained in place) that maps a batch of
        shape (n, n_features) or (n, channels, height, width) to features (n, ...), or
        a factory called with the shape of one input. The code is a linear layer and
        tanh on top; only its input is damaged and reconstructed.
    hidden_layer_sizes : tuple of int or "auto", default="auto"
        Hidden linear layers from the input to the code, with LeakyReLU(0.01); the
        decoder mirrors them. "auto": (500, 500), for images (500, 500, 2000).
    n_latent : int, default=10
        Width of the code, which lies between -1 and 1; as many as clusters in the
        paper.
    convolutional : bool or "auto", default="auto"
        The paper's two convolutions of stride 2 with 50 channels in place of the
        linear layers. "auto": for images.
    dropout : float, default=0.1
        Rate at which values of the input and of hidden layers are dropped.
    layer_weight : float, default=0.1
        Weight :math:`\lambda_l` of the hidden layers' reconstructions.
    init : {"kmeans", "agglomerative"}, default="kmeans"
        What finds the clusters in the code that the softmax begins with: k-means, or
        rows that are joined by the paths of a graph of 20 neighbours, which takes a
        minute for 70,000 rows. The authors' release has k-means for MNIST, FRGC,
        YouTube Faces and CMU-PIE, paths for USPS and MNIST's test set.
    update_interval : int or "auto", default="auto"
        Steps between two updates of the target. "auto": a pass over the data, but from
        30 to 140.
    batch_size : int, default=100
        Rows of a minibatch; incomplete ones are dropped.
    %(pretraining parameters)s
    learning_rate : float, default=1e-4
        Step size of Adam after the pretraining.
    max_epochs : int or "auto", default="auto"
        Passes over the data after the pretraining, and after a tenth as many steps that
        teach the softmax the first clusters. "auto": a budget of 4 steps per row,
        at least 150, at most 2,000 for tables, 20,000 for images.
    tol : float, default=0.0001
        Stop when at most this share of all labels changed between two updates of the
        target; 0 never stops. A pass changes few of them, for many passes.
    %(shared parameters)s

    Attributes
    ----------
    %(shared attributes)s
    history_ : dict of ndarray of shape (n_epochs,)
        Per epoch, the means of ``loss``, ``reconstruction`` (of all layers, weighted)
        and ``cross_entropy`` (both in the phases "softmax" and "clustering"),
        ``changed`` (see `tol`), and ``step``, ``epoch``, ``phase``, ``dur`` (seconds).
        An epoch of the phase "clustering" is an update interval.

    Notes
    -----
    **Differs from the paper.** (1) The target squares the assignments, as the authors'
    release does; the paper divides by the square root of the frequency and does not
    square. (2) The softmax begins as that of Gaussians around the first clusters'
    centres, and so surer than the release's, of centres of unit length without a bias.
    K-means has 20 starts; the release 40. ``init="agglomerative"`` follows paths to the
    second order; the release has all of them, with a hundredth of the weight for each
    further edge. It may leave a few far rows as a cluster of their own, or several
    such. (3) The clean layers are constants for the decoder. (4) Training has fixed
    lengths, or ends when labels stay; the release ends its phases by a validation set
    and when the assignments change by less than 1e-7, refreshes its target once per
    pass, and pretrains with a step size of 1e-4, and goes on from the weights that did
    best on that set. One Adam, with its moments, serves the softmax's phase and the
    clusters'; the release has one each. The code is as wide as there are clusters in
    the paper. (5) Reconstructions of images begin at the mean image, by a bias of each
    pixel. Without it what all images share (most of MNIST is black, -1) drives the code
    into the ends of its tanh within a hundred steps, where all images have the same
    code, still after 7,000 steps of 1e-3. (6) The release does not damage the last
    hidden layer. (7) Tables, of which the paper has none, get linear layers; those, on
    images too, have a linear output in place of tanh.

    The start decides: on USPS ``init="agglomerative"`` has accuracies of .97, .97 and
    .76 (published: .964), k-means .75 (one seed); on the first 10,000 images of MNIST,
    after 30 passes of pretraining, .96, .95 and .87, k-means .71 to .78. Not so where
    paths join what differs: on Pendigits it has .46 to .50, k-means .72. Compare fits
    of one start by their `score`, as `n_init` does of images (of tables by modularity);
    it does not tell which start is better.

    The share of labels that a pass changes, at the published step of 1e-4, is small
    from the start and falls slowly (.1 % on USPS as a table), and the paper has up to
    4,000 passes: on tables clusters go on to change for longer than the budgets here.

    References
    ----------
    .. [1] K. Ghasedi Dizaji, A. Herandi, C. Deng, W. Cai, H. Huang, "Deep Clustering
       via Joint Convolutional Autoencoder Embedding and Relative Entropy Minimization",
       ICCV 2017.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import DEPICT
    >>> X, _ = make_blobs(60, centers=[[-9, -9], [0, 0], [9, 9]], random_state=0)
    >>> model = DEPICT(3, hidden_layer_sizes=(32,), n_latent=3, random_state=0).fit(X)
    >>> model.predict(X).shape, model.transform(X).shape
    ((60,), (60, 3))
    """

    _parameter_constraints: dict = {
        **TargetClusterer._parameter_constraints,
        "convolutional": ["boolean", StrOptions({"auto"})],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "layer_weight": [Interval(Real, 0, None, closed="left")],
        "init": [StrOptions({"kmeans", "agglomerative"})],
    }

    _autoencoder = "ladder"
    _pixel_range = (-1.0, 1.0)  # of the decoder's tanh

    def __init__(
        self,
        n_clusters=8,
        *,
        encoder=None,
        hidden_layer_sizes="auto",
        n_latent=10,
        convolutional="auto",
        dropout=0.1,
        layer_weight=0.1,
        init="kmeans",
        update_interval="auto",
        batch_size=100,
        pretrain_optimizer="adam",
        pretrain_learning_rate="auto",
        pretrain_max_epochs="auto",
        learning_rate=1e-4,
        max_epochs="auto",
        tol=0.0001,
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

    # -- networks ---------------------------------------------------------------------

    def _describe(self, input_shape):
        return {**super()._describe(input_shape), "init": self.init}

    @classmethod
    def _networks(
        cls,
        input_shape,
        n_clusters,
        n_latent,
        hidden,
        convolutional,
        encoder,
        init,
        **_,
    ):
        ladder = LadderEncoder(input_shape, None if convolutional else hidden, n_latent)
        # Where convolutions are not refused, pixels lie in [-1, 1].
        D = LadderDecoder(ladder.shapes, n_latent, input_shape, bounded=convolutional)
        E: nn.Module = ladder
        if encoder is not None:
            E = CustomEncoder(encoder, input_shape, n_latent)
            E.head = nn.Sequential(E.head, nn.Tanh())
        return {
            "encoder": E,
            "decoder": D,
            "centers": cls._centers(n_clusters, n_latent, init),
        }

    @staticmethod
    def _centers(n_clusters, n_latent, init):
        return LinearAssignment(n_clusters, n_latent, init)

    def _optimizers(self):
        after = self._adam(self.learning_rate)
        return {
            "autoencoder": (
                self._pretrainer(),
                ["encoder", "decoder"],
            ),
            "clustering": (after, ["encoder", "decoder", "centers"]),
        }

    # -- training ---------------------------------------------------------------------

    def _pretrain(self, net, *args, **kwargs):
        if self._image_shape is not None:
            batches = net.batches
            total = sum(x.sum(0) for x in batches.in_order(1_024))
            net.decoder_.begin_at(total / batches.n_samples)
        super()._pretrain(net, *args, **kwargs)

    def _begin(self, net):
        """Teach the softmax the clusters that are found in the code, see `init`."""
        labels = self._place_centers(net)
        target = one_hot(torch.from_numpy(labels).to(net.device), self.n_clusters)
        budget = self._auto_budget(net.batches.n_samples)
        plan = self._schedule(net, self.max_epochs, budget)
        plan["n_steps"] = max(1, plan["n_steps"] // 10)
        net.run(functools.partial(self._step, target=target), **plan, phase="softmax")

    def _reconstruction_step(self, net):
        """Update encoder and decoder by the reconstruction of all layers."""
        reconstruction, _ = self._reconstruct(net, net.draw())
        return {"loss": net.descend("autoencoder", reconstruction)}

    def _step(self, net, target):
        """One update towards the target (eqs. 3 and 9)."""
        reconstruction, z = self._reconstruct(net, net.draw())
        logits, target = net.centers_(z), net.batches.of_batch(target)
        cross_entropy = entropy_bound(logits, target)
        return {
            "loss": net.descend("clustering", cross_entropy + reconstruction),
            "reconstruction": reconstruction.detach(),
            "cross_entropy": cross_entropy.detach(),
        }

    def _reconstruct(self, net, x):
        """Errors of the layers' reconstructions from the damaged code, and the code."""
        E, D = net.encoder_, net.decoder_
        if isinstance(E, LadderEncoder):
            with torch.no_grad():
                clean, _ = E(x)
            _, z = E(x, damaged(E.shapes, len(x), self.dropout, net))
        else:
            (mask,) = damaged([x.shape[1:]], len(x), self.dropout, net)
            clean, (_, z) = [], E(x * mask)
        image, *layers = D(z)
        error = mse_loss(image, x)
        for layer, its in zip(clean, layers, strict=False):
            error = error + self.layer_weight * mse_loss(its, layer)
        return error, z
