"""The scikit-learn contract of every deep clusterer, once."""

from __future__ import annotations

import copy
import functools
import hashlib
import math
import warnings
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any, cast

import numpy as np
import torch
from scipy import sparse
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data
from torch import nn

from skdeepcluster.docstrings import documented
from skdeepcluster.engine import (
    Convergence,
    FitStopped,
    Net,
    Settled,
    chunks,
    inference,
    make_batches,
    on_own_stream,
    one_training_at_a_time,
    resolve_device,
    resolve_graph,
    resolve_precision,
    seeded,
)
from skdeepcluster.engine.callbacks import (
    CallbackSupportMixin,
    SklearnCallbacks,
    with_callbacks,
)
from skdeepcluster.metrics import cluster_information, modularity_scorer
from skdeepcluster.networks import CustomEncoder, Scaling, xavier_normal_
from skdeepcluster.restarts import fit_several, infer_members

# Kept as they are given; anything else becomes the first, which loses least.
_DTYPES = [np.float64, np.float32, np.uint8, np.bool_]
_DTYPES += [np.int8, np.int16, np.int32, np.int64, np.uint16, np.uint32, np.uint64]

# Samples whose assignments are followed through the training.
_FOLLOWED = 1_000

# What a fit sets, beside what it learns of the input's shape.
_FITTED = ["labels_", "n_clusters_", "cluster_centers_", "history_", "n_iter_"]
_FITTED += ["_model", "_kept", "_n_embedding", "_embedded_centers", "init_scores_"]
_FITTED += ["_members", "_own_kept", "consensus_agreement_"]

# Frames that scikit-learn's callbacks put between the caller and `fit`.
_WRAPPED = int(hasattr(CallbackSupportMixin, "set_callbacks"))


class DeepClusterer(
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    ClusterMixin,
    BaseEstimator,
    metaclass=ABCMeta,
):
    """Base of all deep clusterers: everything but the algorithm.

    A method adds its parameters and these four things:

    - `_describe`, the sizes of its networks as plain values, and `_networks`, which
      builds them from these;
    - `_optimizers`, by name;
    - `_train`, its phases, each of them a step repeated by the net;
    - `_encode`, the embedding and the logits of a batch.
    """

    # Parameters that every method has.
    _parameter_constraints: dict = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "encoder": [nn.Module, callable, None],
        "image_shape": [tuple, list, None],
        "scale": [StrOptions({"auto", "standard", "common", "minmax"}), None],
        "transform_to": [StrOptions({"embedding", "distance", "proba"})],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "max_epochs": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "consensus": ["boolean"],
        "n_jobs": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Integral, None, -1, closed="right"),
            None,
        ],
        "device": [str, torch.device],
        "graph": ["boolean", StrOptions({"auto"})],
        "precision": [StrOptions({"auto", "float32", "tf32", "bf16"})],
        "compile": ["boolean", dict],
        "callbacks": [list, tuple, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    n_clusters: Any

    # Least and greatest value of the rows as they are scaled, until networks are built.
    _span: tuple[float, float]
    # The history's quantity that falls until the method has converged, if any.
    _monitor: str | None = None
    # The phase that ends so; None: any.
    _converges_in: str | None = None
    # The phase that ends when assignments no longer change, if any.
    _settles_in: str | None = None
    # Attributes that hold what `fit` is given beside X, while it runs.
    _given: tuple[str, ...] = ()
    # Parameters that a fitted model goes on reading, by `_as_fitted`: as they were in
    # the fit, whatever is set later.
    _read_later: tuple[str, ...] = ()
    # What pixels are scaled to by ``scale="auto"``.
    _pixel_range = (-1.0, 1.0)

    # -- what a method adds -----------------------------------------------------------

    @abstractmethod
    def _describe(self, input_shape: tuple[int, ...]) -> dict[str, Any]:
        """Return the keywords of `_networks`, every "auto" resolved."""

    @staticmethod
    @abstractmethod
    def _networks(**description) -> dict[str, nn.Module]:
        """Build the networks; with the same keywords, the same shapes."""

    @abstractmethod
    def _optimizers(self) -> dict[str, tuple[Callable, list[str]]]:
        """Return, per optimizer, its factory and the networks that it trains."""

    @abstractmethod
    def _train(self, net: Net) -> None:
        """Run the phases."""

    @abstractmethod
    def _encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return embedding and cluster logits of a scaled batch, with `_model`."""

    def _check_params(self) -> None:
        """Raise what one parameter's own constraint cannot see."""

    def _draw_weights(
        self, name: str, network: nn.Module, generator: torch.Generator
    ) -> None:
        """Draw the first weights of a network; Xavier-normal by default."""
        xavier_normal_(network, generator)

    def _learn_scaling(self, X: np.ndarray) -> Scaling:
        """Return the scaling of the network's input."""
        return Scaling.fit(X, self.scale, self._image_shape, self._pixel_range)

    def _further_data(self) -> list[np.ndarray]:
        """What else a fit depends on."""
        return []

    def _complete(self, X: np.ndarray) -> None:
        """Fit what is fitted once, on what the networks have learned."""

    def _own_criterion(self, X) -> float:
        """How good a fit is among fits of the same data; higher is better.

        It is the mutual information between rows and clusters, see `score`.
        """
        return self.score(X)

    def _init_score(self, X) -> float:
        """How good a fit is among fits of the same data; higher is better.

        Of images, the method's own criterion. Of a table, where that is finite, the
        modularity of the clusters among nearest neighbours: measured, it tells the
        good run for every method, which their own criteria do not.
        """
        own = self._own_criterion(X)
        if self._image_shape is not None or not math.isfinite(own):
            return own
        rows = self._check_X(X, fitting=False)
        score = modularity_scorer.of_labels(rows, self.labels_)
        return -0.5 if isinstance(score, str) else score

    def _late_mean(self, name: str, phase: str | None = None) -> float:
        """Mean over the last tenth of a phase's epochs, or of all.

        Infinite where there are none, or where the last was no longer finite.
        """
        values = self.history_.get(name, np.empty(0))
        if phase is not None:
            values = values[self.history_["phase"] == phase]
        if not len(values) or not math.isfinite(values[-1]):
            return math.inf
        return float(values[-max(1, len(values) // 10) :].mean())

    def _batch_size(self) -> int:
        """Rows of a minibatch that the net begins with; a phase may resize it."""
        return self.batch_size

    # -- parameters -------------------------------------------------------------------

    def _store(self, given: dict[str, Any]) -> None:
        """Store the constructor's arguments, its ``locals()``, as they are."""
        for name in self._get_param_names():
            setattr(self, name, given[name])

    def _auto(self, name: str, otherwise: Any) -> Any:
        """Value of a parameter, or what "auto" stands for."""
        value = getattr(self, name)
        return otherwise if isinstance(value, str) and value == "auto" else value

    def _auto_budget(
        self, n_samples: int, table=2_000, images=20_000, least=150
    ) -> int:
        """Steps that ``max_epochs="auto"`` stands for: four per row, within limits."""
        most = table if self._image_shape is None else images
        return int(np.clip(4 * n_samples, least, most))

    def _wrong_kind(self, name: str, value: Any) -> ValueError:
        """Return what to raise where a value is for the other kind of data."""
        kind = "images; set image_shape" if self._image_shape is None else "tables"
        return ValueError(f"{name}={value!r} is for {kind}.")

    def _check_sides(self, input_shape: tuple[int, ...], least: int = 4) -> None:
        """Raise if images are too small for the method's own networks."""
        if len(input_shape) > 1 and min(input_shape[1:]) < least:
            raise ValueError(
                f"Images must be at least {least} pixels high and wide; got "
                f"{input_shape[1]} x {input_shape[2]}."
            )

    def _check_pixels(
        self, input_shape: tuple[int, ...], why="generated images have", other=""
    ) -> None:
        """Raise if `scale` leaves the range of pixels that a method needs."""
        least, most = self._pixel_range
        if self.scale is None:
            low, high = (np.float32(v) for v in self._span)  # as networks see them
            fits = bool(least <= low <= high <= most)
        else:
            fits = self.scale in ("auto", "minmax")
        if fits or len(input_shape) == 1:
            return
        raise ValueError(
            f"scale={self.scale!r} leaves the range [{least:g}, {most:g}] that {why}; "
            f"use 'minmax'{other}."
        )

    def _check_views(self, kind: Any, input_shape: tuple[int, ...]) -> None:
        """Raise if a kind of augmentation is for other data, or other pixels."""
        is_table = len(input_shape) == 1
        if kind in (("crop",) if is_table else ("noise", "noise+vat")):
            raise self._wrong_kind("augmentation", self.augmentation)
        if kind == "crop":
            why = "brightness and contrast need"
            self._check_pixels(input_shape, why, ", or another augmentation")

    def _check_layers(self, *names: str) -> None:
        """Raise if one of these parameters does not hold widths of layers."""
        for name in names:
            sizes = getattr(self, name)
            if isinstance(sizes, str):  # "auto"
                continue
            if not all(isinstance(n, Integral) and int(n) > 0 for n in sizes):
                raise ValueError(f"{name} must be positive integers; got {sizes!r}.")

    def _check_range(self, name: str, most: float = math.inf) -> None:
        """Raise unless a parameter is a range of numbers from 0 on, up to `most`."""
        given = getattr(self, name)
        numbers = len(given) == 2 and all(isinstance(n, Real) for n in given)
        if not numbers or not 0 <= given[0] <= given[1] <= most or given[1] == math.inf:
            raise ValueError(
                f"{name} must be a range (low, high) with 0 <= low <= high"
                f"{'' if most == math.inf else f' <= {most}'}; got {given!r}."
            )

    def _check_prior(self) -> None:
        """Raise if `cluster_prior` does not hold a proportion per cluster."""
        if self.cluster_prior is None:
            return
        prior = np.asarray(self.cluster_prior, dtype=float)
        positive = (prior > 0) & np.isfinite(prior)
        if prior.shape != (self.n_clusters,) or not positive.all():
            raise ValueError(
                f"cluster_prior must hold n_clusters={self.n_clusters} positive "
                f"proportions; got {self.cluster_prior!r}."
            )

    # -- fit --------------------------------------------------------------------------

    @with_callbacks
    @documented
    def fit(self, X, y=None):
        """Learn the clusters of X.

        Parameters
        ----------
        %(X and y)s
        %(fit)s
        """
        return self._fit(X, y)

    def _fit(self, X, y):
        """Fit; apart from `fit` for methods whose own takes more arguments."""
        self._validate_params()
        if self.n_init == 1 and self.consensus:
            raise ValueError("consensus=True needs several fits: n_init > 1.")
        with self._counted(X):
            fit = (
                self._fit_once
                if self.n_init == 1
                else functools.partial(fit_several, self)
            )
            reason = fit(X, y)
            empty = self._empty_clusters()
        if hasattr(self, "_callback_fit_ctx"):
            self._callback_fit_ctx.call_on_fit_task_end(estimator=self, X=X, y=y)
        # Last: where warnings are errors, the estimator is fitted all the same.
        _warn(reason)
        _warn(empty)
        return self

    @contextmanager
    def _holding(self, *given) -> Iterator[None]:
        """Hold what `fit` is given beside X, as `_given` names it, while it runs."""
        self.__dict__.update(zip(self._given, given, strict=True))
        try:
            yield
        finally:
            for name in self._given:
                del self.__dict__[name]

    @contextmanager
    def _counted(self, X) -> Iterator[None]:
        """Put a number in the place of ``n_clusters="auto"`` while a fit lasts."""
        if self.n_clusters != "auto":
            yield
            return
        try:
            self.n_clusters = self._count_clusters(X)
            yield
        finally:
            self.n_clusters = "auto"

    def _count_clusters(self, X) -> int:
        """Number that ``n_clusters="auto"`` stands for, where a method allows it."""
        raise NotImplementedError

    def _fit_once(self, X, y) -> str:
        """Fit; return what is to be warned of."""
        device, seed = self._device(), self._seed()
        with one_training_at_a_time(), on_own_stream(device), seeded(seed, device):
            given = X
            X, self._description, networks = self._accept(X)
            try:
                net = self._make_net(X, networks, device, seed)
            except BaseException:
                self._forget()
                raise
            try:
                self._report_to_sklearn(net, given, y)
                self._train(net)
            except FitStopped as stop:
                reason = str(stop)
            except KeyboardInterrupt:
                net.settle()
                self._finish(X, net)
                raise
            except BaseException:
                self._forget()  # half a model would pass for a fitted one
                raise
            else:
                reason = self._not_converged(net)
            self._finish(X, net)
        return reason

    def _accept(self, X) -> tuple[np.ndarray, dict[str, Any], dict[str, nn.Module]]:
        """Check all that can be wrong, then drop an earlier fit.

        Returns rows, sizes of the networks, and the networks.
        """
        self._check_params()
        self._check_callbacks()
        with _kept_if_refused(self):
            X = self._check_X(X, fitting=True)
            if len(X) < self.n_clusters:
                raise ValueError(
                    f"n_samples={len(X)} should be >= n_clusters={self.n_clusters}."
                )
            self._span = self._check_span(X)
            description = self._describe(self._input_shape())
            del self._span
            networks = self._networks(**description)
        self._forget()
        self._as_fitted = {
            name: copy.deepcopy(getattr(self, name)) for name in self._read_later
        }
        return X, description, networks

    def _check_span(self, X: np.ndarray) -> tuple[float, float]:
        """Raise where float32 is too narrow; return the least and greatest value.

        They are not looked for, and are 0, where nothing depends on them.
        """
        is_float = X.dtype.kind == "f"
        if not is_float and self.scale is not None:
            return 0.0, 0.0
        low, high = float(X.min()), float(X.max())
        if is_float and max(-low, high) > torch.finfo(torch.float32).max / 2:
            raise ValueError(
                "X holds values too large for float32, in which networks compute."
            )
        return low, high

    # -- state of a fit ---------------------------------------------------------------

    @staticmethod
    def _of_a_fit() -> list[str]:
        """Names of what a fit sets, beside what it learns of the input's shape."""
        return _FITTED

    def _forget(self) -> None:
        """Drop what an earlier fit has left."""
        for name in _FITTED:
            self.__dict__.pop(name, None)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_model")

    def _device(self) -> torch.device:
        """Device to train on, once all that depends on it is known to be possible."""
        device = resolve_device(self.device)
        resolve_graph(self.graph, device)
        resolve_precision(self.precision, device)
        return device

    def _seed(self) -> int:
        """Draw a seed; without a random_state, one that leaves numpy's state alone."""
        if self.random_state is None:
            return int(np.random.SeedSequence().generate_state(1)[0] // 2)
        return check_random_state(self.random_state).randint(2**31 - 1)

    def _check_callbacks(self) -> None:
        for callback in self.callbacks or ():
            callback = callback[1] if isinstance(callback, tuple) else callback
            if not hasattr(callback, "on_epoch_end"):
                raise TypeError(
                    "callbacks must be skorch callbacks (instances of "
                    f"skorch.callbacks.Callback); got {callback!r}. scikit-learn's own "
                    "callbacks are given to set_callbacks."
                )
            if hasattr(callback, "check_params"):
                callback.check_params()

    def _make_net(
        self, X: np.ndarray, networks: dict, device: torch.device, seed: int
    ) -> Net:
        """Learn the scaling, initialise, and put all on the device."""
        generator = torch.Generator(device).manual_seed(seed)
        scaling = self._learn_scaling(X)
        self._scale_state = scaling.arguments()
        init = torch.Generator().manual_seed(seed)
        for name, network in networks.items():
            # A user's encoder keeps the weights that it came with.
            own = isinstance(network, CustomEncoder)
            ours = cast(nn.Module, network.head if own else network)
            self._draw_weights(name, ours, init)
        model = nn.ModuleDict({"scaling": scaling, **networks}).to(device)
        batches = make_batches(X, self._batch_size(), scaling, generator, device)
        net = Net(
            networks,
            self._optimizers(),
            batches,
            generator=generator,
            device=device,
            callbacks=self._all_callbacks(X),
            verbose=int(self.verbose),
            graph=resolve_graph(self.graph, device),
            precision=resolve_precision(self.precision, device),
            compile=self.compile,
        )
        net.identify = functools.partial(self._identity, X, device, seed)
        net.initialize()
        # From here on a copy of the estimator can predict, for a callback that asks:
        # with all clusters, as nobody knows yet which will be empty.
        self._model = model.eval()
        self._chunk = _rows_per_chunk(X.shape[1], device)
        self._kept = np.arange(self.n_clusters)
        self.n_clusters_ = int(self.n_clusters)
        embedding, _ = next(self._infer(X[:1]))
        self._n_embedding = embedding.shape[1]
        return net

    def _identity(self, X: np.ndarray, device: torch.device, seed: int) -> str:
        """Digest of what the course of a fit depends on: parameters, data, seed."""
        apart = ["callbacks", "verbose", "device", "random_state"]
        apart += ["n_init", "consensus", "n_jobs"]
        apart += ["graph", "compile"]  # the same course, but for rounding
        params = {
            name: name_of(value)
            for name, value in self.get_params(deep=False).items()
            if name not in apart
        }
        about = type(self).__name__, params, X.shape, X.dtype.str, device.type, seed
        digest = hashlib.sha256()
        for data in (X, *self._further_data()):
            digest.update(data[:: max(1, len(data) // _FOLLOWED)].tobytes())
        for value in self._scale_state.values():  # which all rows have made
            # Not to the last digits, which are the processor's.
            digest.update((np.float32(value).view(np.int32) >> 8).tobytes())
        encoder = self.get_params(deep=False).get("encoder")
        if isinstance(encoder, nn.Module):
            for weights in encoder.state_dict().values():
                own = weights.detach().cpu().reshape(-1).view(torch.uint8)
                digest.update(own.numpy().tobytes())
        digest.update(repr(about).encode())
        return digest.hexdigest()

    def _all_callbacks(self, X: np.ndarray) -> list:
        ours: list[tuple[str, Any]] = []
        if self._monitor is not None:
            converged = Convergence(
                self._monitor,
                self.tol,
                self.n_iter_no_change,
                phase=self._converges_in,
            )
            ours.append(("convergence", converged))
        if self._settles_in is not None:
            # The same rows each time, evenly spaced.
            rows = X[np.unique(np.linspace(0, len(X) - 1, _FOLLOWED).astype(int))]
            assign = functools.partial(self._assign, rows)
            args = assign, self._settles_in, self.tol, self.n_iter_no_change
            ours.append(("settled", Settled(*args)))
        return [*ours, *(self.callbacks or ())]

    def _assign(self, X: np.ndarray) -> np.ndarray:
        """Clusters of rows amid a training, which goes on in the mode that it was."""
        modes = {module: module.training for module in self._model.modules()}
        self._model.eval()
        clusters = [logits.argmax(1) for _, logits in self._infer(X)]
        for module, training in modes.items():
            module.training = training
        return np.concatenate(clusters)

    def _report_to_sklearn(self, net: Net, X, y) -> None:
        """Let scikit-learn's callbacks follow the epochs, where it has any."""
        if not hasattr(self, "_init_callback_context"):
            return
        context = self._init_callback_context(max_subtasks=None)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        if getattr(self, "_skl_callbacks", None):
            progress = functools.partial(_progress, net)
            bridge = SklearnCallbacks(context, self, X, y, progress)
            net.callbacks_.append(("sklearn", bridge))

    def _schedule(
        self, net: Net, max_epochs: int | str, budget: int, draws: int = 1
    ) -> dict[str, int]:
        """Steps of a phase and of an epoch, as keywords of ``net.run``.

        Parameters
        ----------
        net : Net
        max_epochs : int or "auto"
            Epochs of the phase; a step uses `draws` minibatches of it.
        budget : int
            Steps that "auto" stands for.
        draws : int, default=1
        """
        epoch = max(1, len(net.batches) // draws)
        if max_epochs == "auto":
            # Not a row of history per step, however small the data, nor a single row
            # for the whole budget, however large.
            epoch = int(np.clip(epoch, 20, max(20, budget // 100)))
            return {"n_steps": budget, "steps_per_epoch": epoch}
        return {"n_steps": int(max_epochs) * epoch, "steps_per_epoch": epoch}

    def _not_converged(self, net: Net) -> str:
        """Say so, if the monitored loss still fell when the steps ended."""
        if net.converged_ is not False or not self.tol:
            return ""
        if self._monitor is None:
            changed = net.history[-1]["changed"]
            if not changed > 10 * self.tol:  # or nan: too short a run to tell
                return ""
            return (
                f"{type(self).__name__} had not converged after {net.n_steps} steps: "
                f"{changed:.1%} of the samples changed their cluster "
                f"{self._compared()}. Raise max_epochs."
            )
        rows = [row for row in net.history if row["phase"] == net.phase]
        fall = _fall([row[self._monitor] for row in rows])
        if fall <= 10 * self.tol:
            return ""
        return (
            f"{type(self).__name__} had not converged after {net.n_steps} steps: "
            f"{self._monitor} fell by {fall:.0%} over the last quarter of them. Raise "
            "max_epochs."
        )

    def _compared(self) -> str:
        """Say between what assignments are compared, to see whether they settle."""
        return f"over the last {self.n_iter_no_change} epochs"

    def _empty_clusters(self) -> str:
        """Say so, if clusters had to be dropped."""
        n_empty = self.n_clusters - self.n_clusters_
        if not n_empty:
            return ""
        return (
            f"{n_empty} of n_clusters={self.n_clusters} clusters are empty and were "
            "dropped. Train longer (max_epochs), lower learning_rate if losses jump, "
            "or ask for fewer clusters: X may hold too few different rows."
        )

    def _finish(self, X: np.ndarray, net: Net) -> None:
        """Set the fitted attributes from the trained networks, all of them or none."""
        try:
            self._model.eval()
            self._complete(X)
            for name, value in _progress(net).items():
                setattr(self, name, value)
            self._find_clusters(X)
        except BaseException:
            self._forget()
            raise

    def _find_clusters(self, X: np.ndarray) -> None:
        """Set labels and centres, without clusters that are empty."""
        raw = np.empty(len(X), dtype=np.int64)
        sums, done = np.zeros((self.n_clusters, 1)), 0
        for embedding, logits in self._infer_finite(X):
            part = logits.argmax(1)
            raw[done : done + len(part)] = part
            sums = sums + _one_hot(part, self.n_clusters).T @ embedding
            done += len(part)
        self._kept, self.labels_ = np.unique(raw, return_inverse=True)
        self.labels_ = self.labels_.astype(np.int64, copy=False)
        self.n_clusters_ = len(self._kept)
        counts = np.bincount(self.labels_)[:, None]
        self._embedded_centers = (sums[self._kept] / counts).astype(np.float32)
        self.cluster_centers_ = self._means_of_rows(X, counts)

    def _means_of_rows(self, X: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Mean input of each cluster, in the shape and units of the input."""
        sums = np.zeros((self.n_clusters_, X.shape[1]))
        size = max(1, 2**21 // X.shape[1])
        for labels, rows in zip(
            chunks(self.labels_, size), chunks(X, size), strict=True
        ):
            sums += _one_hot(labels, self.n_clusters_).T @ rows
        centers = (sums / counts).astype(np.result_type(X.dtype, np.float32))
        return centers.reshape(len(centers), *self._shape_of_a_row())

    def _shape_of_a_row(self) -> tuple[int, ...]:
        """Shape of one sample as it was given to `fit`."""
        return self._row_shape or (self.n_features_in_,)

    # -- input ------------------------------------------------------------------------

    def _check_X(self, X, *, fitting: bool) -> np.ndarray:
        """Validate; return 2-D rows, without a copy where the input allows it."""
        if isinstance(X, list | tuple):
            X = np.asarray(X)
        shape: tuple[int, ...] = tuple(getattr(X, "shape", ()))
        if fitting:
            self._image_shape, self._row_shape = self._image_shape_of(shape)
        elif len(shape) > 2 or (self._image_shape and len(shape) == 2):
            self._check_same_images(shape)
        if len(shape) > 2:
            X = np.asarray(X).reshape(shape[0], math.prod(shape[1:]))
        if getattr(X, "dtype", None) == np.float16:
            X = np.asarray(X, dtype=np.float32)
        X = validate_data(
            self,
            X,
            reset=fitting,
            dtype=_DTYPES,
            ensure_min_samples=2 if fitting else 1,
        )
        if fitting and self._image_shape and math.prod(self._image_shape) != X.shape[1]:
            raise ValueError(
                f"image_shape={self.image_shape} has {math.prod(self._image_shape)} "
                f"values, but X has {X.shape[1]} features."
            )
        return X if X.dtype.isnative else X.astype(X.dtype.newbyteorder("="))

    def _image_shape_of(self, shape):
        """Return (height, width, channels) or None, and the shape of a row of X."""
        asked = self.image_shape
        if asked is not None:
            valid = len(asked) in (2, 3) and all(
                isinstance(side, Integral) and side > 0 for side in asked
            )
            if not valid:
                raise ValueError(
                    "image_shape must be (height, width) or (height, width, channels) "
                    f"in pixels; got {asked!r}."
                )
        if len(shape) in (3, 4):
            own = tuple(shape[1:])
            if len(own) == 3 and own[0] in (1, 3) and own[2] > 4 and own[1] > 4:
                raise ValueError(
                    f"X of shape {shape} has channels first; images are (n_samples, "
                    "height, width, channels): use np.moveaxis(X, 1, -1)."
                )
            if asked is not None and _three(own) != _three(asked):
                raise ValueError(
                    f"image_shape={asked} does not match the images in X, which are of "
                    f"shape {own}."
                )
            return _three(own), own
        if len(shape) > 4:
            raise ValueError(
                "X must be a table (n_samples, n_features) or images (n_samples, "
                f"height, width[, channels]); got {len(shape)} dimensions."
            )
        if asked is not None:
            return _three(asked), ()
        return None, ()

    def _check_same_images(self, shape) -> None:
        """Images at predict must be those of fit; flattened rows are theirs too."""
        if self._image_shape is None:
            raise ValueError(
                f"X has {len(shape)} dimensions, but {type(self).__name__} was fitted "
                "on a table (n_samples, n_features)."
            )
        if len(shape) > 2 and _three(shape[1:]) != self._image_shape:
            raise ValueError(
                f"X has images of shape {tuple(shape[1:])}, but {type(self).__name__} "
                f"was fitted on images of shape {self._image_shape} (height, width, "
                "channels)."
            )

    def _input_shape(self) -> tuple[int, ...]:
        """Shape of what a network reads: (n_features,) or (channels, height, width)."""
        if self._image_shape is None:
            return (self.n_features_in_,)
        height, width, channels = self._image_shape
        return channels, height, width

    # -- inference --------------------------------------------------------------------

    def _infer(self, X: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield embedding and logits, chunk by chunk, as float32."""
        if hasattr(self, "_members"):
            return infer_members(self, X)
        return self._infer_alone(X)

    def _infer_alone(self, X: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield embedding and logits of this fit, whatever consensus it is part of.

        Every chunk has the same number of rows, the last one is filled up: matrix
        products round differently for different heights, and a row's result must not
        depend on what else is predicted with it.
        """
        scaling = self._scaling
        buffer = np.zeros((self._chunk, X.shape[1]), dtype=X.dtype)
        for rows in chunks(X, self._chunk):
            n = len(rows)
            buffer[:n] = rows
            device = scaling.factor.device
            with inference(device):
                x = scaling(scaling.centre(buffer).to(device))
                embedding, logits = self._encode(x)
            yield embedding[:n].cpu().numpy(), logits[:n].cpu().numpy()

    def _infer_finite(self, X: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield embedding and logits from which clusters can be read: not nan.

        Raises
        ------
        ValueError
            If rows are so far from those of the fit that float32 overflows.
        """
        for embedding, logits in self._infer(X):
            if not np.isfinite(logits[:, self._kept].max(1)).all():
                raise ValueError(
                    "X holds rows for which the networks return no finite numbers: "
                    "values far beyond those that the model was fitted to, or infinite "
                    "ones out of a user's encoder."
                )
            yield embedding, logits

    def _embeddings(self, X: np.ndarray) -> np.ndarray:
        """Embedding of all rows, whatever else there is of a model so far."""
        return np.concatenate([embedding for embedding, _ in self._infer(X)])

    def _gather(self, X, n_columns: int, read: Callable) -> np.ndarray:
        """Validate X and fill an array with what `read` makes of each chunk."""
        X = self._check_X(X, fitting=False)
        out = np.empty((len(X), n_columns), dtype=np.float32)
        done = 0
        for chunk in self._infer_finite(X):
            part = read(*chunk)
            out[done : done + len(part)] = part
            done += len(part)
        return out

    def _proba(self, embedding, logits, kept=None):
        logits = logits[:, self._kept if kept is None else kept]
        p = np.exp(logits - logits.max(1, keepdims=True))
        return p / p.sum(1, keepdims=True)

    def predict(self, X):
        """Cluster of each row: the most probable one.

        Parameters
        ----------
        X : array-like, shaped as in `fit`

        Returns
        -------
        labels : ndarray of shape (n_samples,), int64
            On the training data, equal to ``labels_``.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not valid, or not shaped as the training data.
        """
        check_is_fitted(self)
        X = self._check_X(X, fitting=False)
        labels = [
            logits[:, self._kept].argmax(1) for _, logits in self._infer_finite(X)
        ]
        return np.concatenate(labels).astype(np.int64, copy=False)

    def predict_proba(self, X):
        """Probability of each cluster for each row.

        Parameters
        ----------
        X : array-like, shaped as in `fit`

        Returns
        -------
        probabilities : ndarray of shape (n_samples, ``n_clusters_``), float32
            Rows sum to one.
        """
        check_is_fitted(self)
        return self._gather(X, self.n_clusters_, self._proba)

    def transform(self, X):
        """Learned representation of each row, as `transform_to` says.

        Parameters
        ----------
        X : array-like, shaped as in `fit`

        Returns
        -------
        T : ndarray, float32
            ``"embedding"``: of shape (n_samples, n_embedding), the network's code.
            ``"distance"``: of shape (n_samples, ``n_clusters_``), Euclidean distance to
            the mean code of each cluster. ``"proba"``: as `predict_proba`.
        """
        check_is_fitted(self)
        self._validate_params()  # transform_to may have been set since
        read = {
            "embedding": lambda embedding, logits: embedding,
            "distance": lambda embedding, logits: _distances(
                embedding, self._embedded_centers
            ),
            "proba": self._proba,
        }[self.transform_to]
        return self._gather(X, self._n_features_out, read)

    def score(self, X, y=None):
        """Mutual information between the rows of X and their clusters, in nats.

        High where every row has one sure cluster and the clusters are of similar size;
        see :func:`skdeepcluster.metrics.cluster_information`.

        Parameters
        ----------
        X : array-like, shaped as in `fit`
        y : ignored

        Returns
        -------
        float
        """
        return cluster_information(self.predict_proba(X))

    @property
    def _n_features_out(self) -> int:
        embedding = self.transform_to == "embedding"
        return self._n_embedding if embedding else self.n_clusters_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.input_tags.three_d_array = True
        return tags

    # -- state ------------------------------------------------------------------------

    @property
    def _scaling(self) -> Scaling:
        """Scaling of the last fit, on the device."""
        return cast(Scaling, self._model["scaling"])

    def _build(self) -> nn.ModuleDict:
        """Scaling and networks of the last fit, without their weights."""
        networks = self._networks(**self._description)
        scaling = Scaling(**self._scale_state, image_shape=self._image_shape)
        return nn.ModuleDict({"scaling": scaling, **networks})

    def _build_shell(self) -> nn.ModuleDict:
        """Build networks whose weights will be overwritten."""
        if self._description.get("encoder") is None:
            # Without drawing weights, so without a global generator.
            with torch.device("meta"):
                return self._build()
        # A user's module may hold more than its state; it is built as in fit.
        with one_training_at_a_time(), seeded(0, torch.device("cpu")):
            return self._build()

    def __getstate__(self):
        """State without tensors: weights as numpy arrays, callbacks as before a fit."""
        state = dict(super().__getstate__())
        if state.get("callbacks"):
            callbacks = state["callbacks"]
            state["callbacks"] = type(callbacks)(_before_fit(cb) for cb in callbacks)
        model = state.pop("_model", None)
        if model is not None:
            state["_weights"] = {
                name: value.detach().cpu().numpy()
                for name, value in model.state_dict().items()
            }
        return state

    def __setstate__(self, state):
        """Build the networks again, on the device if this machine has it."""
        state = dict(state)
        weights = state.pop("_weights", None)
        super().__setstate__(state)
        if weights is None:
            return
        try:
            device = resolve_device(self.device)
        except ValueError:
            device = torch.device("cpu")
        model = self._build_shell()
        # Copied: joblib may have mapped a file for reading.
        weights = {k: torch.tensor(v, device="cpu") for k, v in weights.items()}
        # Ours have no memory yet, and their type is torch's default of the moment; a
        # user's module may refer to its weights by other names, so they stay in place.
        ours = self._description.get("encoder") is None
        model.load_state_dict(weights, assign=ours)
        self._model = model.to(device).eval()


@contextmanager
def _kept_if_refused(estimator: DeepClusterer) -> Iterator[None]:
    """Leave an estimator as it was, also a fitted one, if its input is refused."""
    before = estimator.__dict__.copy()
    try:
        yield
    except BaseException:
        estimator.__dict__ = before
        raise


def _warn(message: str) -> None:
    """Warn of `message`, if there is one, in the line that called ``fit``."""
    if message:
        warnings.warn(message, ConvergenceWarning, stacklevel=4 + _WRAPPED)


def name_of(value) -> str:
    """Text of a parameter that is the same in another process."""
    if isinstance(value, nn.Module) or not callable(value):
        return repr(value)
    return getattr(value, "__qualname__", type(value).__qualname__)


def _before_fit(callback):
    """Copy of a skorch callback without what a training has left in it."""
    if isinstance(callback, tuple):
        return callback[0], _before_fit(callback[1])
    if isinstance(callback, type):  # of which each training makes its own
        return callback
    plain = copy.copy(callback)
    for name in [name for name in vars(plain) if name.endswith("_")]:
        delattr(plain, name)
    return plain


def _three(shape) -> tuple[int, int, int]:
    """(height, width, channels) of an image's shape; grey ones may lack the last."""
    height, width, *channels = shape
    return int(height), int(width), int(channels[0]) if channels else 1


def _rows_per_chunk(n_features: int, device: torch.device) -> int:
    """Rows that inference takes at once: about 64k values on a CPU, 1M on a GPU."""
    values, most = (2**16, 2**10) if device.type == "cpu" else (2**20, 2**14)
    return int(np.clip(2 ** int(math.log2(max(1, values / n_features))), 32, most))


def _one_hot(labels: np.ndarray, n_clusters: int) -> sparse.csr_array:
    n = len(labels)
    return sparse.csr_array(
        (np.ones(n), labels, np.arange(n + 1)), shape=(n, n_clusters)
    )


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean distances, row by row: no cancellation between large squares."""
    a = a.astype(np.float64)  # nor an overflow of them
    return np.stack([np.linalg.norm(a - center, axis=1) for center in b], axis=1)


def _fall(values: list[float]) -> float:
    """Relative fall over the last quarter: mean of its end against its beginning."""
    tail = np.asarray(values)[-max(2, len(values) // 4) :]
    third = max(1, len(tail) // 3)
    before, after = tail[:third].mean(), tail[-third:].mean()
    return (before - after) / abs(before) if before else 0.0


def _progress(net: Net) -> dict[str, Any]:
    """Fitted attributes that tell how far the training has come.

    The history is given as arrays by name, one entry per epoch; nan where a phase
    lacks a quantity.
    """
    rows = [
        {k: v for k, v in row.items() if k != "batches" and not k.startswith("event_")}
        for row in net.history
        if "step" in row
    ]
    names = dict.fromkeys(name for row in rows for name in row)
    history = {n: np.array([row.get(n, np.nan) for row in rows]) for n in names}
    return {"history_": history, "n_iter_": rows[-1]["step"] if rows else 0}
