"""IIC: invariant information clustering (Ji 2019)."""

from __future__ import annotations

import functools
from numbers import Integral, Real

import torch
from sklearn.utils._param_validation import Interval, StrOptions

from skdeepcluster import augment
from skdeepcluster.base import DeepClusterer
from skdeepcluster.docstrings import documented
from skdeepcluster.losses import iic_loss
from skdeepcluster.multihead import MultiHeadMixin
from skdeepcluster.networks import (
    ClusterHeads,
    CustomTrunk,
    Trunk,
    kaiming_normal_,
    normal_,
    still_statistics,
)


@documented
class IIC(MultiHeadMixin, DeepClusterer):
    r"""Invariant information clustering.

    A network gives a sample :math:`x` and a random transformation :math:`Tx` of it a
    cluster each, and learns to make the one tell as much as it can of the other: the
    mutual information of the two is high if the clusters are sure, equally large, and
    not changed by :math:`T` [1]_. Over a minibatch, with softmax outputs :math:`p`,

    .. math::
        \mathcal L=-\sum_{cc'}P_{cc'}\log\frac{P_{cc'}}{P_cP_{c'}},\qquad
        P=\tfrac12(A+A^\top),\quad A=\frac1n\sum_ip(x_i)\,p(Tx_i)^\top

    A trunk has heads of two kinds, several of each, and is trained by the mean loss of
    the heads of one kind at a time: those with :math:`k` outputs, one of which will be
    the clustering, and others with more outputs, which make the trunk see detail. The
    head with the lowest loss at the end is read; labels play no part.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters :math:`k`.
    encoder : nn.Module or callable, default=None
        Own trunk: a module (copied, never trained in place) that maps a batch of
        shape (n, n_features) or (n, channels, height, width) to features (n, ...), or
        a factory called with the shape of one input. Pixels are given to it in [0, 1].
        By default an MLP for tables, convolutions for images, see
        ``networks.Trunk``.
    hidden_layer_sizes : tuple of int, default=(512, 512)
        Layers of the trunk, for tables.
    n_heads : int, default=5
        Heads of either kind.
    n_over_clusters : int or "auto", default="auto"
        Outputs of the heads of the second kind. "auto": 5 times `n_clusters`, as
        published for MNIST.
    n_cluster_updates : int, default=2
        Updates by the heads that cluster per update by the others: 2 as published for
        MNIST and CIFAR-10; 1 for its other data.
    n_views : int or "auto", default="auto"
        Transformations of each sample of a minibatch. "auto": 5 for images, as
        published for MNIST (CIFAR-10: 3), 1 for tables.
    augmentation : str or callable, default="auto"
        :math:`T`. "crop", for images: rotations and flips as below, a random resized
        crop, brightness and contrast. "noise", for tables: noise and swapped entries. A
        callable maps a scaled batch to an augmented one. "auto": "crop" for images,
        "noise" for tables.
    rotation : float or "auto", default="auto"
        For "crop": largest angle, in degrees, either way. "auto": 25 for grey images,
        as published for MNIST, 0 for colour.
    horizontal_flip : bool or "auto", default="auto"
        For "crop": whether images are mirrored; "auto": those of 32 pixels and more.
    noise : tuple of float, default=(0.1, 0.3)
        For "noise": range of its size, in standard deviations of a column.
    swap : tuple of float, default=(0.1, 0.2)
        For "noise": range of the share of entries taken from other rows.
    batch_size : int, default=140
        Rows of a minibatch; incomplete ones are dropped. It should hold all
        clusters. The pairs of an update are `n_views` times as many: 700, as published
        for MNIST.
    learning_rate : float or "auto", default="auto"
        Step size of Adam. "auto": 1e-4 for images, as published, 1e-3 for tables.
    max_epochs : int or "auto", default="auto"
        Passes over the data, each batch used for one update (at least one iteration,
        which takes ``n_cluster_updates + 1`` batches); the release's for MNIST, 3200 of
        the heads of the second kind and 6400 of the others, are 9600 here. "auto": a
        budget of iterations: 4 per row, at least 150 and at most
        2,000 for tables, 20,000 for images. An epoch is then at most a hundredth of the
        budget, but at least 20 iterations.
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
        Per epoch, the means of ``loss`` and ``over_loss`` (of the heads that cluster
        and of the others, in nats; at best minus the logarithm of their outputs),
        ``changed`` (see `tol`), and ``step``, ``epoch``, ``phase``, ``dur`` (seconds).

    Notes
    -----
    `transform` gives the trunk's features. While the heads are trained the first of
    them is read; the one with the lowest loss, averaged over the last epoch with
    weights that fall exponentially, is read from the end on.

    The weights of the trunk begin at Kaiming's normal ones, those of the heads at
    normal ones with a standard deviation of .01, both as in the authors' release.

    **Differs from the paper.** (1) The two kinds of heads alternate by iteration, one
    update by the over-clustering heads and then `n_cluster_updates` by the others, each
    on a minibatch of its own; the paper's alternate by epoch. One Adam trains all, as
    in the release, but heads rest while the others are trained; the release moves them
    on by their momentum. (2) A sample is coded once for its `n_views` transformations,
    which are coded together, apart from it, as in the release; averages of batch norm
    are of the samples alone, as predictions are. (3) Crops are of 40 to 100 percent of
    the area, samples themselves are whole; the release's for MNIST are of 16, 20 or 24
    pixels of 28, against 20, for CIFAR-10 of 20 of 32, also of the samples, and every
    other image is rotated, where here each is. (4) Hue and saturation are left as they
    are. (5) The trunk for colour images is a pre-activation residual network of fewer
    blocks than ResNet-34; predictions use averages of batch norm, the release's those
    of each batch. (6) The head is chosen by its running loss in training; the release
    chooses by labels, or by the loss over all data. (7) Training may end when
    assignments settle, see `tol`. (8) Tables, which the paper does not treat, get an
    MLP, noise and swapped entries, one view and a larger step, as only thousands of
    iterations are affordable without a GPU. (9) The default budget is far shorter than
    the paper's.

    References
    ----------
    .. [1] X. Ji, J. F. Henriques, A. Vedaldi, "Invariant Information Clustering for
       Unsupervised Image Classification and Segmentation", ICCV 2019.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepcluster import IIC
    >>> X, _ = make_blobs(60, centers=[[-9, -9], [0, 0], [9, 9]], random_state=0)
    >>> model = IIC(3, hidden_layer_sizes=(32,), random_state=0).fit(X)
    >>> model.predict(X).shape, model.transform(X).shape
    ((60,), (60, 32))
    """

    _parameter_constraints: dict = {
        **DeepClusterer._parameter_constraints,
        "hidden_layer_sizes": [tuple, list],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "n_over_clusters": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "n_cluster_updates": [Interval(Integral, 1, None, closed="left")],
        "n_views": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "augmentation": [StrOptions({"auto", "crop", "noise"}), callable],
        "rotation": [Interval(Real, 0, 180, closed="both"), StrOptions({"auto"})],
        "horizontal_flip": ["boolean", StrOptions({"auto"})],
        "noise": [tuple, list],
        "swap": [tuple, list],
        "learning_rate": [
            Interval(Real, 0, None, closed="neither"),
            StrOptions({"auto"}),
        ],
    }

    _pixel_range = (0.0, 1.0)
    _settles_in = "fit"

    def __init__(
        self,
        n_clusters=8,
        *,
        encoder=None,
        hidden_layer_sizes=(512, 512),
        n_heads=5,
        n_over_clusters="auto",
        n_cluster_updates=2,
        n_views="auto",
        augmentation="auto",
        rotation="auto",
        horizontal_flip="auto",
        noise=(0.1, 0.3),
        swap=(0.1, 0.2),
        batch_size=140,
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
        self._check_layers("hidden_layer_sizes")
        self._check_range("noise")
        self._check_range("swap", most=1)

    # -- networks ---------------------------------------------------------------------

    def _describe(self, input_shape):
        self._check_views(self._augmentation_kind(), input_shape)
        if self.encoder is None:
            self._check_sides(input_shape, least=8)
        n_over = self._auto("n_over_clusters", 5 * self.n_clusters)
        return {
            "input_shape": tuple(input_shape),
            "hidden": [int(n) for n in self.hidden_layer_sizes],
            "encoder": self.encoder,
            "n_heads": int(self.n_heads),
            "n_outputs": [int(self.n_clusters), int(n_over)],
        }

    @staticmethod
    def _networks(input_shape, hidden, encoder, n_heads, n_outputs):
        if encoder is None:
            E = Trunk(input_shape, hidden)
        else:
            E = CustomTrunk(encoder, input_shape)
        heads, over = (
            ClusterHeads(E.n_features, (), [(n_heads, k)]) for k in n_outputs
        )
        return {"encoder": E, "heads": heads, "over_heads": over}

    def _draw_weights(self, name, network, generator):
        if name == "encoder":
            kaiming_normal_(network, generator)
        else:
            normal_(network, generator, 0.01)

    def _optimizers(self):
        rate = self._auto("learning_rate", 1e-3 if self._image_shape is None else 1e-4)
        adam = functools.partial(torch.optim.Adam, lr=rate, fused=True)
        return {"all": (adam, ["encoder", "heads", "over_heads"])}

    # -- training ---------------------------------------------------------------------

    def _train(self, net):
        budget = self._auto_budget(net.batches.n_samples)
        plan = self._schedule(net, self.max_epochs, budget, self.n_cluster_updates + 1)
        n_updates = plan["steps_per_epoch"] * self.n_cluster_updates
        net.run(functools.partial(self._step, weight=1 / n_updates), **plan)

    def _step(self, net, weight):
        """One update by the over-clustering heads, some by those that cluster."""
        over = self._update(net, net.over_heads_)
        losses = []
        for _ in range(self.n_cluster_updates):
            losses.append(self._update(net, net.heads_))
            net.heads_.follow(losses[-1], weight)
        return {"loss": torch.stack(losses).mean(), "over_loss": over.mean()}

    def _update(self, net, heads):
        """Train trunk and heads by the mean of these heads' losses (eq. 3)."""
        E, x = net.encoder_, net.draw()
        p = self._probabilities(heads, E(x))
        # Samples as they are make the averages of batch norm: such are predicted.
        with still_statistics(E):
            views = self._probabilities(heads, E(self._augment(x, net)))
        # The joint is linear in the views' assignments: their mean stands for them.
        losses = iic_loss(p, views.unflatten(0, (-1, len(x))).mean(0))
        # The other heads have no gradient; Adam then leaves them, and their state.
        net.descend("all", losses.mean())
        return losses.detach()

    @staticmethod
    def _probabilities(heads, features):
        """Probabilities (n, n_heads, n_clusters)."""
        _, [logits] = heads(features)
        return logits.softmax(-1)

    def _augment(self, x, net):
        """Views T(x) of a scaled batch, one augmented copy after the other."""
        x = torch.cat([x] * self._n_views())
        if callable(self.augmentation):
            return self.augmentation(x)
        if self._augmentation_kind() == "crop":
            return self._crop(x, net)
        noise, swap = tuple(self.noise), tuple(self.swap)
        return augment.corrupt(x, net, self._scaling.std, noise, swap)

    def _n_views(self):
        return self._auto("n_views", 1 if self._image_shape is None else 5)

    def _augmentation_kind(self):
        return self._auto(
            "augmentation", "noise" if self._image_shape is None else "crop"
        )

    def _crop(self, x, net):
        degrees = self._auto("rotation", 25.0 if x.shape[1] == 1 else 0.0)
        if degrees:
            x = augment.random_affine(x, net, degrees=degrees)
        x = augment.random_resized_crop(x, net)
        if self._auto("horizontal_flip", min(x.shape[2:]) >= 32):
            x = augment.horizontal_flip(x, net)
        return augment.colour_jitter(x, net)

    # -- inference --------------------------------------------------------------------

    def _encode(self, x):
        features, heads = self._model["encoder"](x), self._model["heads"]
        _, [logits] = heads(features)
        return features, heads.read(logits)
