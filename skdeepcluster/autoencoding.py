"""What the methods that begin with an autoencoder share."""

from __future__ import annotations

import contextlib
import functools
import math
from abc import abstractmethod
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback
from torch import nn
from torch.nn.functional import mse_loss

from skdeepcluster.base import DeepClusterer, name_of
from skdeepcluster.counting import count_clusters
from skdeepcluster.docstrings import documented
from skdeepcluster.engine import (
    FitStopped,
    on_own_stream,
    one_training_at_a_time,
    seeded,
)
from skdeepcluster.engine.callbacks import with_callbacks
from skdeepcluster.generative import draw_gaussian
from skdeepcluster.losses import (
    bernoulli_log_likelihood,
    gaussian_log_likelihood,
    sharpened,
)
from skdeepcluster.networks import Scaling, autoencoder, fan_in_uniform_

_POSITIVE = Interval(Real, 0, None, closed="neither")

# Of methods whose pretraining is only their beginning.
PRETRAINING: dict = {
    "pretrain_optimizer": [StrOptions({"adam", "sgd"})],
    "pretrain_learning_rate": [_POSITIVE, StrOptions({"auto"})],
    "pretrain_max_epochs": [
        Interval(Integral, 1, None, closed="left"),
        StrOptions({"auto"}),
    ],
}


class AutoencoderClusterer(DeepClusterer):
    """Base of methods that train an autoencoder, and place centres in its code.

    A method adds `_centers`, a module that turns codes into logits, and what follows
    the pretraining, in its `_train`.
    """

    # The parameter that holds the autoencoder's widths.
    _widths = "hidden_layer_sizes"
    # What the parameters of the autoencoder's training begin with.
    _before = "pretrain_"

    _parameter_constraints: dict = {
        **DeepClusterer._parameter_constraints,
        "n_clusters": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "hidden_layer_sizes": [tuple, list, StrOptions({"auto"})],
        "n_latent": [Interval(Integral, 1, None, closed="left")],
        "convolutional": ["boolean"],
    }

    # What kind of autoencoder `_networks` builds.
    _autoencoder = "plain"
    _read_later: tuple[str, ...] = ("scale",)
    # Black is 0, as published: where it is -1, an image is mostly its border.
    _pixel_range = (0.0, 1.0)
    # Whether layers and code are normalised; a parameter where that is a choice.
    batch_norm = False

    def _check_params(self):
        self._check_layers(self._widths)

    # -- networks ---------------------------------------------------------------------

    def _describe(self, input_shape):
        is_table = len(input_shape) == 1
        convolutional = bool(self._auto("convolutional", not is_table))
        if convolutional and is_table:
            raise self._wrong_kind("convolutional", True)
        if convolutional:
            self._check_sides(input_shape)
            self._check_pixels(input_shape)
        hidden = (500, 500) if is_table else (500, 500, 2_000)
        return {
            "input_shape": tuple(input_shape),
            "n_clusters": int(self.n_clusters),
            "n_latent": int(self.n_latent),
            "n_out": int(self._n_out()),
            "hidden": [int(n) for n in self._auto(self._widths, hidden)],
            "convolutional": convolutional,
            "batch_norm": bool(self.batch_norm),
            "encoder": self.encoder,
            "logits": self._decodes_logits(input_shape),
        }

    @classmethod
    def _networks(
        cls,
        input_shape,
        n_clusters,
        n_latent,
        n_out,
        hidden,
        convolutional,
        batch_norm,
        encoder,
        logits,  # what the decoder's outputs mean; it is the same
        **own,
    ):
        E, D = autoencoder(
            input_shape,
            hidden,
            n_latent,
            convolutional,
            encoder,
            n_out,
            batch_norm=batch_norm,
        )
        C = cls._centers(n_clusters, n_latent, **own)
        return {"encoder": E, "decoder": D, "centers": C}

    def _of_autoencoder(self, description: dict[str, Any], scale) -> dict[str, Any]:
        """What has to be the same where its weights are to mean the same."""
        names = ["encoder", "n_latent", "batch_norm", "input_shape", "convolutional"]
        return {
            "autoencoder": self._autoencoder,
            "hidden_layer_sizes": None
            if description["convolutional"]
            else description["hidden"],
            **{name: description[name] for name in names},
            "scale": scale,
        }

    def _n_out(self) -> int:
        """Width of the encoder's output, whose first part is the code."""
        return self.n_latent

    def _decodes_logits(self, input_shape: tuple[int, ...]) -> bool:
        """Whether a sigmoid turns the decoder's outputs into pixels."""
        return False

    @staticmethod
    @abstractmethod
    def _centers(n_clusters: int, n_latent: int, **own) -> nn.Module:
        """Return the module of the centres, with `fit` and `fitted`."""

    def _draw_weights(self, name, network, generator):
        if name == "centers":  # they are placed
            return
        # As published for MNIST. With wider ones a code of images shows fewer clusters.
        images = self._image_shape is not None
        linear = images and not self._description["convolutional"]
        if name in ("encoder", "decoder") and (linear or self._has_sgd()):
            fan_in_uniform_(network, generator)
        else:
            super()._draw_weights(name, network, generator)

    # -- training ---------------------------------------------------------------------

    def _count_clusters(self, X):
        """Learn a code alone, without the user's callbacks, and count its clusters."""
        device, seed, callbacks = self._device(), self._seed(), self.callbacks
        before = self.__dict__.copy()
        self.n_clusters = 1
        with one_training_at_a_time(), on_own_stream(device), seeded(seed, device):
            X, self._description, networks = self._accept(X)
            try:
                self.callbacks = None
                net = self._make_net(X, networks, device, seed)
                with contextlib.suppress(FitStopped):  # the last good state is kept
                    self._learn_code(net)
                codes = self._codes(net).cpu().numpy()
            except KeyboardInterrupt:
                self.__dict__ = before  # an earlier fit, if there was one
                raise
            except BaseException:
                self._forget()
                raise
            finally:
                self.callbacks = callbacks
            self._forget()
        return count_clusters(codes, seed)

    def _learn_code(self, net) -> None:
        """Train the autoencoder, before there are any centres."""
        self._pretrain(net, self.pretrain_max_epochs, self._reconstruction_step)

    def _has_sgd(self) -> bool:
        return getattr(self, f"{self._before}optimizer") == "sgd"

    def _pretrainer(self) -> Callable:
        """Optimizer of the autoencoder alone."""
        rate = f"{self._before}learning_rate"
        if not self._has_sgd():
            return self._adam(self._auto(rate, 1e-3))
        published = 0.1 if self._image_shape is None else 1.0
        rate = self._auto(rate, published)
        return functools.partial(torch.optim.SGD, lr=rate, momentum=0.9, fused=True)

    @staticmethod
    def _adam(rate: float) -> Callable:
        return functools.partial(torch.optim.Adam, lr=rate, fused=True)

    def _pretrain(self, net, max_epochs, step: Callable, phase="pretraining") -> None:
        n = net.batches.n_samples
        budget = self._auto_budget(n, table=3_000, images=10_000, least=500)
        net.run(step, **self._schedule(net, max_epochs, budget), phase=phase)

    def _reconstruction_step(self, net):
        """Update encoder and decoder by the squared error."""
        x = net.draw()
        loss = mse_loss(net.decoder_(net.encoder_(x)[1]), x)
        return {"loss": net.descend("autoencoder", loss)}

    def _code(self, x):
        """Code of a scaled batch."""
        out, n_latent = self._model["encoder"](x)[1], self._description["n_latent"]
        return out if out.shape[1] == n_latent else out[:, :n_latent]

    @staticmethod
    def _draw_code(net, x):
        """Mean and logarithmic variance of q(z|x), and a draw of z."""
        mean, log_variance = net.encoder_(x)[1].chunk(2, dim=1)
        return mean, log_variance, draw_gaussian(mean, log_variance, net)

    @torch.no_grad()
    def _codes(self, net) -> torch.Tensor:
        """Codes of all rows, amid a training."""
        E = net.encoder_
        training = E.training
        E.eval()
        codes = torch.cat([self._code(x) for x in net.batches.in_order(1_024)])
        E.train(training)
        return codes

    def _place_centers(self, net) -> Any:
        """Place the centres in the codes of all rows; return what found them."""
        return net.centers_.fit(self._codes(net).cpu().numpy())

    def _complete(self, X):
        # The end of the one method; of the others, if they are stopped before.
        if not self._model["centers"].fitted:
            self._model["centers"].fit(self._embeddings(X))

    # -- inference --------------------------------------------------------------------

    def _embed(self, x):
        """Where the centres lie, of a scaled batch: its code."""
        return self._code(x)

    def _encode(self, x):
        z, C = self._embed(x), self._model["centers"]
        n_clusters = self._description["n_clusters"]
        return z, C(z) if C.fitted else z.new_zeros(len(z), n_clusters)


class LikelihoodMixin:
    """p(x|z) of a decoder: Bernoulli for grey pixels in [0, 1], else Gaussian.

    The Gaussian's variance is 1/2, which makes it the squared error. The method has a
    parameter `likelihood` ("auto", "bernoulli" or "gaussian"); its description says
    whether the decoder gives "logits", of a Bernoulli.
    """

    _parameter_constraints: dict = {
        "likelihood": [StrOptions({"auto", "bernoulli", "gaussian"})],
    }

    _pixel_range = (0.0, 1.0)

    # Set by DeepClusterer.
    _model: nn.ModuleDict
    _description: dict[str, Any]
    _auto: Callable
    _wrong_kind: Callable
    _check_pixels: Callable

    def _is_bernoulli(self, input_shape: tuple[int, ...]) -> bool:
        grey = len(input_shape) == 3 and input_shape[0] == 1
        return self._auto("likelihood", "bernoulli" if grey else "") == "bernoulli"

    def _check_likelihood(self, input_shape: tuple[int, ...]) -> None:
        """Raise where values are no probabilities."""
        if self._is_bernoulli(input_shape):
            if len(input_shape) == 1:
                raise self._wrong_kind("likelihood", "bernoulli")
            self._check_pixels(input_shape)

    def _log_likelihood(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Log-likelihood of each row, in nats: log p(x|z)."""
        x, out = x.flatten(1), self._model["decoder"](z).flatten(1)
        if self._description["logits"]:
            # Pixels beyond the range that another's autoencoder has brought: of those
            # a Bernoulli has no likelihood, and its formula no bound.
            return bernoulli_log_likelihood(x.clamp(0, 1), out)
        return gaussian_log_likelihood(x, out, torch.full_like(out, 0.5))

    def _mean_row(self, z: torch.Tensor) -> torch.Tensor:
        """Mean of p(x|z)."""
        out = self._model["decoder"](z)
        return out.sigmoid() if self._description["logits"] else out


class Pretrained(NamedTuple):
    """What a fit takes over from a fitted autoencoder."""

    about: dict[str, Any]
    features: np.ndarray | None
    logits: bool
    scaling: dict[str, np.ndarray]
    states: dict[str, dict[str, torch.Tensor]]


class PretrainedClusterer(AutoencoderClusterer):
    """Base of methods that go on from the code of an autoencoder, theirs or another's.

    A method's `_train` begins with `_learn_code`.
    """

    _parameter_constraints: dict = {
        **AutoencoderClusterer._parameter_constraints,
        **PRETRAINING,
    }

    _given = ("_pretrained",)
    _pretrained: Pretrained | None = None

    @with_callbacks
    @documented
    def fit(self, X, y=None, pretrained=None):
        """Learn the clusters of X.

        Parameters
        ----------
        %(X and y)s
        pretrained : estimator, default=None
            Fitted estimator whose autoencoder (and scaling) is taken over, in place of
            a pretraining: such as an :class:`AutoencoderKMeans` with the same layers,
            so that several methods, or several settings, begin with the same code. It
            stays as it is. X must have the units of what it was fitted to.
        %(fit)s
        """
        if pretrained is not None:
            pretrained = self._take_over(pretrained)
        with self._holding(pretrained):
            return self._fit(X, y)

    def _take_over(self, pretrained) -> Pretrained:
        """Check that it has an autoencoder, and return what is needed of it."""
        has_one = isinstance(pretrained, AutoencoderClusterer)
        if has_one:
            check_is_fitted(pretrained)
            has_one = "encoder" in pretrained._model
        if not has_one:
            raise TypeError(
                "pretrained must be a fitted estimator with an autoencoder, such as "
                f"AutoencoderKMeans; got {pretrained!r}."
            )
        description = pretrained._description
        scale = pretrained._as_fitted["scale"]
        about = pretrained._of_autoencoder(description, scale)
        features = getattr(pretrained, "feature_names_in_", None)
        logits = description["logits"]
        networks = {name: pretrained._model[name] for name in ("encoder", "decoder")}
        states = {name: network.state_dict() for name, network in networks.items()}
        return Pretrained(about, features, logits, pretrained._scale_state, states)

    def _describe(self, input_shape):
        description = super()._describe(input_shape)
        if self._pretrained is not None:
            mine = self._of_autoencoder(description, self.scale)
            theirs = self._pretrained.about
            other = [
                f"{self._widths if k == 'hidden_layer_sizes' else k}={theirs[k]!r}, "
                f"not {mine[k]!r}"
                for k in mine
                if name_of(mine[k]) != name_of(theirs[k])
            ]
            if self._pretrained.logits and not description["logits"]:
                other.append("a decoder of logits (likelihood='bernoulli')")
            if other:
                raise ValueError(
                    "pretrained has another autoencoder than this "
                    f"{type(self).__name__}: {', '.join(other)}."
                )
            names = getattr(self, "feature_names_in_", None), self._pretrained.features
            if all(of is not None for of in names) and not np.array_equal(*names):
                i = int(np.argmax(names[0] != names[1]))
                raise ValueError(
                    "X must have the features that pretrained was fitted to, in their "
                    f"order; feature {i} is {names[0][i]!r}, not {names[1][i]!r}."
                )
        return description

    def _learn_scaling(self, X):
        if self._pretrained is None:
            return super()._learn_scaling(X)
        return Scaling(**self._pretrained.scaling, image_shape=self._image_shape)

    def _learn_code(self, net):
        if self._pretrained is None:
            super()._learn_code(net)
            return
        for name, state in self._pretrained.states.items():
            _load_code(self._model[name], state)
        if self._description["logits"] and not self._pretrained.logits:
            # The tangent of the logit at 1/2, so that images stay about what they are.
            self._model["decoder"].rescale(4.0, -2.0)
        net.keep_good()

    def _further_data(self):
        if self._pretrained is None:
            return []
        scaling, states = self._pretrained.scaling, self._pretrained.states
        weights = [v for state in states.values() for v in state.values()]
        return [*scaling.values(), *(v.cpu().numpy().ravel() for v in weights)]


def _load_code(network: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Load a state; outputs beside the code, which come last, may be more or fewer."""
    state = dict(state)
    for name, mine in network.state_dict().items():
        its = state.get(name)
        if name.startswith("head.") and its is not None and mine.ndim:
            if mine.shape[1:] == its.shape[1:]:
                n = min(len(mine), len(its))
                state[name] = torch.cat([its[:n], mine[n:]])
    network.load_state_dict(state)


class TargetClusterer(PretrainedClusterer):
    """Base of methods that sharpen their own assignments: DEC and what follows it.

    A method adds its `_step`, which is given the target of all rows.
    """

    _parameter_constraints: dict = {
        **PretrainedClusterer._parameter_constraints,
        "update_interval": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
    }

    def _train(self, net):
        self._learn_code(net)
        self._begin(net)
        self._sharpen(net)

    def _begin(self, net) -> None:
        """Find the first assignments, once the autoencoder is trained."""
        self._place_centers(net)

    def _sharpen(self, net) -> None:
        """Run the phase in which assignments are their own, sharpened, target."""
        n = net.batches.n_samples
        target = torch.full((n, self.n_clusters), 1 / self.n_clusters)
        target = target.to(net.device)
        assign = functools.partial(self._assign_all, net)
        # Before the user's callbacks: a checkpoint puts its state back.
        net.callbacks_.insert(1, ("target", TargetRefresh(assign, target, self.tol)))
        plan = self._schedule(net, self.max_epochs, self._auto_budget(n))
        interval = int(np.clip(len(net.batches), 30, 140))
        plan["steps_per_epoch"] = int(self._auto("update_interval", interval))
        step = functools.partial(self._step, target=target)
        net.run(step, **plan, phase="clustering")

    @abstractmethod
    def _step(self, net, target):
        """One update towards the target, of shape (n_samples, n_clusters)."""

    def _assign_all(self, net) -> torch.Tensor:
        """Assignments q of all rows."""
        with torch.no_grad():
            # Over rows of ten a softmax takes ten times as long as over long columns.
            columns = net.centers_(self._codes(net)).T.contiguous()
            return columns.softmax(0).T.contiguous()

    def _own_criterion(self, X):
        """How good a fit is among fits of the same data; higher is better.

        It is the mutual information between rows and clusters, see `score`; minus
        infinity where only the autoencoder has been trained, or that failed.
        """
        if math.isinf(self._late_mean("loss", "clustering")):
            return -math.inf
        return super()._own_criterion(X)

    def _compared(self):
        return "between the last two updates of the target"


class TargetRefresh(Callback):
    """Compute the target of all rows before each epoch; end when labels stay.

    Parameters
    ----------
    assign : callable
        Returns assignments of all rows, shape (n_samples, n_clusters).
    target : tensor of shape (n_samples, n_clusters)
        Written in place, where a captured step reads it.
    tol : float
        The phase ends, with the coming epoch, when at most this share of the labels has
        changed since the epoch before; 0 never ends it.
    """

    def __init__(
        self, assign: Callable[[], torch.Tensor], target: torch.Tensor, tol: float
    ):
        self.assign = assign
        self.target = target
        self.tol = tol

    def on_train_begin(self, net, **kwargs):
        """Forget the phase before."""
        self.before_: torch.Tensor | None = None
        net.converged_ = False

    def state_dict(self) -> dict[str, Any]:
        """Labels at the last refresh."""
        return {"before": self.before_}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        before = state["before"]
        self.before_ = None if before is None else before.to(self.target.device)

    def on_epoch_begin(self, net, **kwargs):
        """Refresh the target, and compare."""
        q = self.assign()
        self.target.copy_(sharpened(q))
        labels, self.changed_ = q.argmax(1), float("nan")
        if self.before_ is not None:
            self.changed_ = float((labels != self.before_).float().mean())
        self.before_ = labels
        net.converged_ = self.tol > 0 and self.changed_ <= self.tol

    def on_epoch_end(self, net, **kwargs):
        """Write down the share."""
        net.history.record("changed", self.changed_)
