"""SpectralNet: spectral clustering by a network (Shaham 2018)."""

from __future__ import annotations

import functools
import math
from numbers import Integral

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions

from skdeepcluster.autoencoding import PretrainedClusterer
from skdeepcluster.base import DeepClusterer
from skdeepcluster.docstrings import documented
from skdeepcluster.engine import if_stopped
from skdeepcluster.losses import (
    contrastive,
    laplacian_form,
    laplacian_residual,
    nearest_others,
    neighbour_affinity,
)
from skdeepcluster.networks import (
    Centers,
    CodeScaling,
    CustomEncoder,
    FlatEncoder,
    Orthogonalisation,
    autoencoder,
)

# Neighbours of a row that the siamese network takes for its like.
_ALIKE = 2

# Rows at most among which they are looked for: their distances are as many as squares.
_SEARCHED = 50_000

# Loss per output and neighbour that is none: eigenvalues of 0, each for a part of the
# graph that has no edge to others, are approached for ever.
_NONE = 1e-4

_UNTRAINED = (
    "Training ended before the spectral phase: the map, and so the clusters, are "
    "untrained."
)


@documented
class SpectralNet(PretrainedClusterer):
    r"""SpectralNet: spectral clustering by a network, which new rows can be given to.

    Spectral clustering runs k-means on the bottom eigenvectors of a graph's Laplacian.
    Here a network learns a map :math:`F` whose outputs span them [1]_. On minibatches
    of :math:`m` rows, with affinities :math:`W` between near neighbours,

    .. math::
        \mathcal L=\frac1{2m}\sum_{ij}W_{ij}\lVert y_i-y_j\rVert^2
        \qquad\text{subject to}\quad Y^\top Y=mI.

    :math:`y=F(x)=R^{-\top}\tilde F(x)`: the last layer is made of a network's outputs
    :math:`\tilde Y` on a minibatch of its own, with
    :math:`\tilde Y^\top\tilde Y=m R^\top R`, and has no gradient. The affinity is a
    Gaussian between the nearest neighbours of a minibatch, whose distances are
    those of the inputs, of an autoencoder's code, or of a siamese network that has
    learned to map neighbours to near points, and random pairs to a distance of 1:

    .. math::
        W=\tfrac12(A+A^\top),\qquad
        A_{ij}=\mathbf 1[j\in N_k(i)]\,e^{-d_{ij}^2/2\sigma^2}

    In the end :math:`R` is that of all rows, and k-means finds the clusters of
    :math:`F(x)`.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters, and of outputs of the map.
    encoder : nn.Module or callable, default=None
        Own encoder: a module (copied, never trained in place) that maps a batch of
        shape (n, n_features) or (n, channels, height, width) to features (n, ...), or
        a factory called with the shape of one input. The code, or for
        ``affinity="input"`` the map's outputs, are a linear layer on top.
    hidden_layer_sizes : tuple of int or "auto", default="auto"
        Hidden layers of the map, and of the siamese network, with ReLU. "auto": (1024,
        1024, 512) for images, as published, which are read as rows; (512, 512) for
        tables, where the widest layers would take most of the time.
    affinity : {"auto", "input", "code"}, default="auto"
        What neighbours are looked for in, and what the map reads: the input, or the
        code of an autoencoder, centred and divided by one number. "auto": the code of
        images, where distances of pixels say little; the input of tables, whose columns
        are few or made to be compared.
    siamese : bool or "auto", default="auto"
        Whether distances are those of a siamese network, trained for as long as an
        autoencoder, by Adam with the same step size, or 1e-3 where that is one of
        "sgd". "auto": for images.
    n_neighbors : int or "auto", default="auto"
        Neighbours :math:`k` of a row within its minibatch. "auto": 3 for images, as
        published; 10 for tables, where as few would fall apart in a small graph.
    scale_neighbor : int or "auto", default="auto"
        :math:`\sigma` is the median distance to this neighbour. "auto": 2 for images,
        5 for tables.
    autoencoder_layer_sizes : tuple of int or "auto", default="auto"
        Hidden layers from the input to the code, with ReLU; the decoder mirrors them.
        "auto": (500, 500, 2000) for images, (500, 500) for tables.
    n_latent : int, default=10
        Width of the code, and of the siamese network's output.
    convolutional : bool, default=False
        An autoencoder of strided convolutions in place of linear layers, for images of
        any size.
    batch_size : int, default=1024
        Rows of a minibatch; incomplete ones are dropped. It should hold neighbours of
        its members: the more clusters, the larger.
    pretrain_batch_size : int, default=256
        The same for autoencoder and siamese network.
    %(pretraining parameters)s
    learning_rate : float, default=1e-3
        Step size of Adam in the spectral phase.
    max_epochs : int or "auto", default="auto"
        Passes over the data in the spectral phase; a step takes two minibatches (at
        least one step a pass).
        "auto": a budget of 4 steps per row, at least 500, at most 2,000 for tables,
        20,000 for images.
    tol : float, default=0.01
        Stop when the loss, averaged over 20 epochs, has not fallen by this share within
        `n_iter_no_change` epochs; 0 never stops.
    n_iter_no_change : int, default=30
        See `tol`.
    %(shared parameters)s

    Attributes
    ----------
    %(shared attributes)s
    history_ : dict of ndarray of shape (n_epochs,)
        Per epoch, the mean of ``loss`` (in the phase "pretraining" of the
        reconstruction, in "siamese" of the pairs, in "spectral" :math:`\mathcal L`,
        which is a sum of eigenvalues of :math:`\mathrm{diag}(\sum_jW_{ij})-W`), and
        ``step``, ``epoch``, ``phase``, ``dur`` (seconds).

    Notes
    -----
    The last layer makes columns orthonormal over all training rows, so `transform`
    gives :math:`Y` with :math:`Y^\top Y=nI` there. A constant is in the span of its
    columns, as it has no loss.

    **Differs from the paper.** (1) The gradient. With :math:`R` held, that of
    :math:`\mathcal L` also shrinks :math:`\tilde Y`, the more the larger an eigenvalue,
    until its columns are alike and :math:`R` is singular, unless the step size falls in
    time. Here the outputs move along :math:`-(LY-Y\Lambda)R` with
    :math:`\Lambda=\tfrac1mY^\top LY`: the part of the gradient that keeps
    :math:`Y^\top Y=mI`, as a change of :math:`Y`. The solutions are the same. (2) The
    outputs before the last layer are linear, not tanh, which can end saturated. (3) A
    constant step size, and an end by `tol`, in place of a tenth of it after stale
    epochs. (4) A Cholesky factor, in float64 where the device has it, in place of QR:
    the same up to signs, and to a ridge of 1e-10 of the trace. (5) The last layer in
    the end is that of all rows. (6) The loss is over 2m, not :math:`m^2`. A row is not
    its own neighbour. (7) Pairs of the siamese network come from at most 50,000 rows; a
    random pair may be one of neighbours; half of its loss is taken. (8) The code is
    scaled. The siamese network is always trained by Adam. (9) Budgets are smaller, see
    above. (10) Tables have layers, neighbours and distances of their own, see the
    parameters.

    References
    ----------
    .. [1] U. Shaham, K. Stanton, H. Li, B. Nadler, R. Basri, Y. Kluger, "SpectralNet:
       Spectral Clustering using Deep Neural Networks", ICLR 2018.

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from skdeepcluster import SpectralNet
    >>> X, _ = make_moons(100, noise=0.05, random_state=0)
    >>> params = {"hidden_layer_sizes": (32,), "max_epochs": 50}
    >>> model = SpectralNet(2, **params, tol=0, random_state=0).fit(X)
    >>> model.predict(X).shape, model.transform(X).shape
    ((100,), (100, 2))
    """

    _parameter_constraints: dict = {
        **PretrainedClusterer._parameter_constraints,
        # Its outputs are the eigenvectors of that many clusters.
        "n_clusters": DeepClusterer._parameter_constraints["n_clusters"],
        "affinity": [StrOptions({"auto", "input", "code"})],
        "siamese": ["boolean", StrOptions({"auto"})],
        "n_neighbors": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "scale_neighbor": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "autoencoder_layer_sizes": [tuple, list, StrOptions({"auto"})],
        "pretrain_batch_size": [Interval(Integral, 2, None, closed="left")],
    }

    _widths = "autoencoder_layer_sizes"
    _monitor = "loss"
    _converges_in = "spectral"

    def __init__(
        self,
        n_clusters=8,
        *,
        encoder=None,
        hidden_layer_sizes="auto",
        affinity="auto",
        siamese="auto",
        n_neighbors="auto",
        scale_neighbor="auto",
        autoencoder_layer_sizes="auto",
        n_latent=10,
        convolutional=False,
        batch_size=1024,
        pretrain_batch_size=256,
        pretrain_optimizer="adam",
        pretrain_learning_rate="auto",
        pretrain_max_epochs="auto",
        learning_rate=1e-3,
        max_epochs="auto",
        tol=0.01,
        n_iter_no_change=30,
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
        self._check_layers("hidden_layer_sizes")
        if self.batch_size < self.n_clusters:
            raise ValueError(
                f"batch_size={self.batch_size} should be >= n_clusters="
                f"{self.n_clusters}: no fewer rows have so many orthogonal outputs."
            )

    # -- networks ---------------------------------------------------------------------

    def _describe(self, input_shape):
        is_table = len(input_shape) == 1
        reads_code = self._auto("affinity", "input" if is_table else "code") == "code"
        if self.convolutional and not is_table and not reads_code:
            raise ValueError("convolutional=True needs affinity='code'.")
        if self._pretrained is not None and not reads_code:
            raise ValueError("pretrained needs affinity='code'.")
        layers = (512, 512) if is_table else (1_024, 1_024, 512)
        return {
            **super()._describe(input_shape),
            "layers": [int(n) for n in self._auto("hidden_layer_sizes", layers)],
            "reads_code": reads_code,
            "siamese": bool(self._auto("siamese", not is_table)),
        }

    @classmethod
    def _networks(
        cls,
        input_shape,
        n_clusters,
        n_latent,
        hidden,
        convolutional,
        encoder,
        layers,
        reads_code,
        siamese,
        **_,
    ):
        networks = {}
        if reads_code:
            E, D = autoencoder(input_shape, hidden, n_latent, convolutional, encoder)
            networks |= {"encoder": E, "decoder": D, "scaled": CodeScaling(n_latent)}
            input_shape, encoder = (n_latent,), None
        if siamese:
            networks["siamese"] = FlatEncoder(input_shape, layers, n_latent)
        if encoder is None:
            F = FlatEncoder(input_shape, layers, n_clusters)
        else:
            F = CustomEncoder(encoder, input_shape, n_clusters)
        return {
            **networks,
            "map": F,
            "orthogonal": Orthogonalisation(n_clusters),
            "centers": cls._centers(n_clusters, n_clusters),
        }

    @staticmethod
    def _centers(n_clusters, n_latent):
        return Centers(n_clusters, n_latent)

    def _optimizers(self):
        optimizers = {"spectral": (self._adam(self.learning_rate), ["map"])}
        if self._description["reads_code"]:
            optimizers["autoencoder"] = (self._pretrainer(), ["encoder", "decoder"])
        if self._description["siamese"]:
            # That of "sgd" is hundreds of times too large for Adam.
            rate = 1e-3
            if not self._has_sgd():
                rate = self._auto("pretrain_learning_rate", rate)
            optimizers["siamese"] = (self._adam(rate), ["siamese"])
        return optimizers

    def _batch_size(self):
        return self.pretrain_batch_size

    # -- training ---------------------------------------------------------------------

    def _train(self, net):
        codes = None
        with if_stopped(_UNTRAINED):
            if self._description["reads_code"]:
                self._learn_code(net)
                codes = self._codes(net)
                net.scaled_.fit(codes)
                codes = net.scaled_(codes)
            if self._description["siamese"]:
                step = functools.partial(self._siamese_step, **self._pairs(net, codes))
                self._pretrain(net, self.pretrain_max_epochs, step, phase="siamese")
        net.batches.resize(self.batch_size)
        budget = self._auto_budget(net.batches.n_samples, least=500)
        plan = self._schedule(net, self.max_epochs, budget, draws=2)
        places = None if codes is None else self._places(codes)
        step = functools.partial(self._step, codes=codes, places=places)
        net.run(step, **plan, phase="spectral")

    def _pairs(self, net, codes):
        """Rows for the siamese network, and the nearest neighbours of each."""
        n = net.batches.n_samples
        m = min(n, _SEARCHED)
        if codes is None:
            rows = net.batches.sample(m).flatten(1)
        else:
            rows = codes[net.randperm(n)[:m]]
        return {"rows": rows, "neighbours": nearest_others(rows, _ALIKE)[1]}

    def _siamese_step(self, net, rows, neighbours):
        """Update the siamese network: neighbours are near, random pairs far."""
        n, m = net.batches.batch_size, len(rows)
        i = (net.rand(n) * m).long()
        j = neighbours[i, (net.rand(n) * neighbours.shape[1]).long()]
        other = (i + 1 + (net.rand(n) * (m - 1)).long()) % m
        z, z_near, z_far = net.siamese_(rows[torch.cat([i, j, other])])[1].chunk(3)
        near = (z - z_near).square().sum(1)
        far = (z - z_far).square().sum(1)
        return {"loss": net.descend("siamese", contrastive(near, far))}

    @torch.no_grad()
    def _places(self, codes):
        """Points between which distances of these codes are measured."""
        return torch.cat([self._place(z) for z in codes.split(1_024)])

    def _place(self, z):
        if self._description["siamese"]:
            return self._model["siamese"](z)[1]
        return z.flatten(1)

    def _step(self, net, codes, places):
        """Algorithm 1: an orthogonalisation step, then a gradient step."""
        F, R = net.map_, net.orthogonal_
        with torch.no_grad():
            R.fit(F(self._read(net, codes))[1])
        z = self._read(net, codes)
        outputs = F(z)[1]
        with torch.no_grad():
            place = self._place(z) if places is None else net.batches.of_batch(places)
            W = neighbour_affinity(place, *self._neighbours())
            y = R.orthonormal(outputs)
            loss = laplacian_form(W, y)
            slope = R.back(laplacian_residual(W, y))
        net.descend("spectral", (outputs * slope).sum())
        return {"loss": loss}

    @staticmethod
    def _read(net, codes):
        """Draw a minibatch of what the map reads."""
        return net.draw() if codes is None else net.batches.draw_from(codes)

    def _neighbours(self):
        """Neighbours of a row, and the one that tells the scale."""
        is_table = self._image_shape is None
        return (
            self._auto("n_neighbors", 10 if is_table else 3),
            self._auto("scale_neighbor", 5 if is_table else 2),
        )

    def _own_criterion(self, X):
        """How good a fit is among fits of the same data; higher is better.

        It is the mutual information between rows and clusters, see `score`; minus
        infinity where training ended before the spectral phase, or failed.
        """
        if math.isinf(self._late_mean("loss", "spectral")):
            return -math.inf
        return super()._own_criterion(X)

    def _not_converged(self, net):
        reason = super()._not_converged(net)
        none = _NONE * self._neighbours()[0] * self.n_clusters
        return "" if reason and net.history[-1]["loss"] < none else reason

    def _complete(self, X):
        """Make the outputs of all rows orthonormal, and place the centres."""
        R = self._model["orthogonal"]
        R.forget()
        gram = sum(y.T.astype(np.float64) @ y for y, _ in self._infer(X)) / len(X)
        R.set(torch.from_numpy(gram))
        super()._complete(X)

    # -- inference --------------------------------------------------------------------

    def _code(self, x):
        return self._model["scaled"](super()._code(x))

    def _embed(self, x):
        z = self._code(x) if self._description["reads_code"] else x
        return self._model["orthogonal"].orthonormal(self._model["map"](z)[1])
