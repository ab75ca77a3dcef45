"""The one skorch ``NeuralNet``: named networks, named optimizers, phases, updates."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, EpochTimer, PrintLog

from skdeepcluster.engine.data import Batches
from skdeepcluster.engine.draws import Draws
from skdeepcluster.engine.graph import steps_of
from skdeepcluster.engine.precision import Precision, compiled
from skdeepcluster.engine.runtime import threads_for, wait_for

Step = Callable[["Net"], Mapping[str, torch.Tensor]]

# Steps between two looks for moments that have faded, and what counts as that. At a
# decay of .9 a step the one takes 175 steps to the first denormal number.
_LOOK = 100
_FADED = 1e-30


class FitStopped(Exception):
    """The fit ends here, in whatever phase; what was trained so far is used."""


@contextmanager
def if_stopped(consequence: str) -> Iterator[None]:
    """Add to the message of a fit that is stopped here what that means for it."""
    try:
        yield
    except FitStopped as stop:
        raise FitStopped(f"{stop} {consequence}".strip()) from stop


class Net(NeuralNet, Draws):
    """Networks and optimizers under their own names, trained step by step.

    A *step* is one box of a paper's algorithm: a function of the net that draws
    minibatches (`draw`), updates one optimizer's parameters at a time (`descend`) and
    returns its losses as device scalars. A *phase* (`run`) repeats a step. Random
    numbers come from `Draws`.

    Network ``"critic"`` is the attribute ``critic_``, its optimizer
    ``critic_optimizer_``; ``optimizer_`` is the first one, where skorch's callbacks
    (such as ``LRScheduler``) look for it.

    Parameters
    ----------
    networks : dict of str to nn.Module
    optimizers : dict of str to (callable, list of str)
        For each optimizer, a factory called with the parameters, and the names of the
        networks that it trains.
    batches : Batches
    generator : torch.Generator
        On the device; every random draw of a step comes from it.
    device : torch.device
    callbacks : list of skorch callbacks, default=None
    verbose : int, default=0
        Prints a row of losses per epoch where positive.
    graph : bool, default=False
        Capture a step and replay it, where that is possible.
    precision : {"float32", "tf32", "bf16"}, default="float32"
        Of the passes of all networks but the exact ones.
    compile : bool or dict, default=False
        Pass all networks but the exact ones through ``torch.compile``, with these
        arguments. (It knows no second derivatives.)
    exact : tuple of str, default=("critic",)
        Networks and optimizers that stay in float32, and as they are.
    """

    def __init__(
        self,
        networks: dict[str, torch.nn.Module],
        optimizers: dict[str, tuple[Callable, list[str]]],
        batches: Batches,
        *,
        generator: torch.Generator,
        device: torch.device,
        callbacks: list | None = None,
        verbose: int = 0,
        graph: bool = False,
        precision: str = "float32",
        compile: bool | Mapping[str, Any] = False,
        exact: tuple[str, ...] = ("critic",),
    ):
        self.networks = networks
        self.optimizers = optimizers
        self.batches = batches
        self.generator = generator
        NeuralNet.__init__(
            self,
            module=None,
            criterion=None,
            train_split=None,
            callbacks=callbacks,
            device=device,
            verbose=verbose,
        )
        self.graph = graph
        self.exact = exact
        self.compiling = compile
        self._precision = Precision(precision, self._inexact(), device)
        self.identify: Callable[[], str] = str
        self.phase: str | None = None
        self.converged_: bool | None = None
        self.sound_ = True
        self.n_steps = 0
        self._planned = 1
        self._steps_done = torch.zeros((), device=device)
        self._made = 0
        self._good: dict[str, torch.Tensor] = {}

    @functools.cached_property
    def identity(self) -> str:
        """What tells one course of training from another; see `ResumableCheckpoint`.

        Looked for where it is asked for: it is a digest of data and weights.
        """
        return self.identify()

    # -- skorch's hooks: what is trained, and by what ---------------------------------

    @property
    def _default_callbacks(self):
        printer = [("print_log", PrintLog())] if self.verbose else []
        return [("epoch_timer", EpochTimer()), *printer]

    def initialize_criterion(self):
        """Losses belong to the steps."""
        return self

    def initialize_module(self):
        """Register each network as ``<name>_``."""
        for name, network in self.networks.items():
            setattr(self, f"{name}_", network)
        return self

    def initialize_optimizer(self, triggered_directly=None):
        """Register each optimizer as ``<name>_optimizer_``."""
        self._trained = {}
        for name, (factory, trained) in self.optimizers.items():
            named = [
                (f"{part}.{key}", parameter)
                for part in trained
                for key, parameter in getattr(self, f"{part}_").named_parameters()
                if parameter.requires_grad  # a user's encoder may have frozen layers
            ]
            self._trained[name] = named
            optimizer = factory([parameter for _, parameter in named])
            setattr(self, f"{name}_optimizer_", optimizer)
        self._keep_on_device()
        return self

    def _keep_on_device(self):
        """Let a GPU read the step size where a captured step finds it again."""
        if self.device.type != "cuda":
            return
        for name in self.optimizers:
            for group in getattr(self, f"{name}_optimizer_").param_groups:
                if "capturable" in group:  # Adam's step; SGD counts none
                    group["capturable"] = True
                group["lr"] = torch.tensor(float(group["lr"]), device=self.device)

    def _inexact(self) -> list[torch.nn.Module]:
        """Networks that may be compiled, or computed in a lower precision."""
        return [net for name, net in self.networks.items() if name not in self.exact]

    def initialize(self):
        """Build everything, and keep the first state as the last good one."""
        super().initialize()
        overridden = [
            {
                hook
                for hook in ("on_batch_begin", "on_batch_end", "on_grad_computed")
                if getattr(type(callback), hook, None) is not getattr(Callback, hook)
            }
            for _, callback in self.callbacks_
        ]
        hooks = set().union(*overridden)
        # Rows of history per batch and calls per update cost more than a small step,
        # so they are made only for a callback that asks for them.
        self._per_batch = bool(hooks & {"on_batch_begin", "on_batch_end"})
        self._per_update = "on_grad_computed" in hooks
        self.calls_back_in_steps = bool(hooks)
        self.keep_good()
        return self

    @property
    def optimizer_(self):
        """The first optimizer, under the name that skorch's callbacks know."""
        return getattr(self, f"{next(iter(self.optimizers))}_optimizer_")

    # -- the two verbs, and what a step may ask for -----------------------------------

    def run(
        self, step: Step, *, n_steps: int, steps_per_epoch: int, phase: str = "fit"
    ) -> None:
        """Train one phase: repeat `step`, one row of history per epoch.

        Losses stay on the device until the epoch ends; their means are then read at
        once. A phase also ends when a callback sets ``converged_``.

        Parameters
        ----------
        step : callable
            Takes the net, returns a dict of scalars on the device.
        n_steps : int
            Steps of the phase; `progress` goes from 0 to 1 over them.
        steps_per_epoch : int
            Steps of an epoch (the last one may be shorter).
        phase : str, default="fit"
            Its name in the history.

        Raises
        ------
        FitStopped
            If a callback asked for the end, or a loss stopped being finite (the last
            good state is restored then).
        """
        self.phase, self.converged_ = phase, None
        self._planned = n_steps
        self._steps_done.zero_()
        self._set_training(True)
        for _, callback in self.callbacks_:
            if isinstance(callback, PrintLog):
                callback.initialize()  # each phase has its own columns and heading
        self.notify("on_train_begin", X=None, y=None)
        try:
            # More than none if a callback has resumed the phase: see `load_snapshot`.
            done = self._made = int(self._steps_done)
            with (
                threads_for(self.work_of_a_pass, self.device),
                compiled(self._inexact(), self.compiling),
            ):
                self._run(step, n_steps - done, steps_per_epoch)
        finally:
            self.notify("on_train_end", X=None, y=None)

    @property
    def work_of_a_pass(self) -> int:
        """Multiply-adds of one pass of a minibatch: lower bound, one per weight."""
        networks = self.networks.values()
        n_weights = sum(p.numel() for net in networks for p in net.parameters())
        return n_weights * self.batches.batch_size

    def _run(self, step: Step, left: int, steps_per_epoch: int) -> None:
        sums_of = steps_of(self, functools.partial(self._one, step))
        while left > 0 and not self.converged_:
            n = min(steps_per_epoch, left)
            left -= n
            self.notify("on_epoch_begin", dataset_train=self.batches)
            means = self._epoch(sums_of, n)
            self.n_steps += n
            # One row for all batches of the epoch: some callbacks look for the last.
            self.history.new_batch()
            self.history.record_batch("train_batch_size", self.batches.batch_size)
            self.history.record("phase", self.phase)
            self.history.record("step", self.n_steps)
            for name, value in means.items():
                self.history.record(name, value)
            reason = self._check_finite(means)
            self.sound_ = not reason
            self.notify("on_epoch_end", dataset_train=self.batches)
            if reason:
                raise FitStopped(reason)

    def descend(self, name: str, loss: torch.Tensor) -> torch.Tensor:
        """Make one update of the optimizer `name`; no other parameter gets a gradient.

        Returns the loss, detached.
        """
        named = self._trained[name]
        for _, parameter in named:
            parameter.grad = None
        with self._precision.backward(exact=name in self.exact):
            loss.backward(inputs=[parameter for _, parameter in named])
        if self._per_update:
            self.notify("on_grad_computed", named_parameters=named, training=True)
        getattr(self, f"{name}_optimizer_").step()
        return loss.detach()

    def draw(self) -> torch.Tensor:
        """Return a fresh minibatch, scaled, on the device."""
        return self.batches.draw()

    @property
    def progress(self) -> torch.Tensor:
        """Share of the phase's steps that are done, a scalar on the device."""
        return self._steps_done / self._planned

    @property
    def finished(self) -> bool:
        """Whether the phase has made all of its steps, or has converged."""
        return bool(self.converged_) or int(self._steps_done) >= self._planned

    # -- state ------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """All that the rest of the training depends on, at the end of an epoch.

        Weights, optimizers, generators, the order of the batches, steps and history;
        the tensors are live. With `load_snapshot`, in a net made from the same
        parameters and data, training goes on as if it had never ended.
        """
        on_gpu = self.device.type == "cuda"
        return {
            "networks": self.state(),
            "optimizers": {
                name: getattr(self, f"{name}_optimizer_").state_dict()
                for name in self.optimizers
            },
            "batches": self.batches.state_dict(),
            "generator": self.generator.get_state(),
            # Of dropout, and of layers that know no other generator.
            "global": torch.get_rng_state(),
            "global_gpu": torch.cuda.get_rng_state(self.device) if on_gpu else None,
            "steps_of_phase": int(self._steps_done),
            "n_steps": self.n_steps,
            "converged": self.converged_,
            # As text: a callback may have recorded any kind of number.
            "history": json.dumps(self.history.to_list(), default=float),
        }

    @torch.no_grad()
    def load_snapshot(self, saved: dict[str, Any]) -> None:
        """Go on where `snapshot` was taken; within ``on_train_begin`` of its phase."""
        for key, value in self.state().items():
            value.copy_(saved["networks"][key])
        for name, state in saved["optimizers"].items():
            getattr(self, f"{name}_optimizer_").load_state_dict(state)
        self._keep_on_device()
        self.batches.load_state_dict(saved["batches"])
        self.generator.set_state(saved["generator"].cpu())
        torch.set_rng_state(saved["global"].cpu())
        if saved["global_gpu"] is not None:
            torch.cuda.set_rng_state(saved["global_gpu"].cpu(), self.device)
        self._steps_done.fill_(saved["steps_of_phase"])
        self.n_steps, self.converged_ = saved["n_steps"], saved["converged"]
        self.history[:] = json.loads(saved["history"])
        self.keep_good()

    def state(self) -> dict[str, torch.Tensor]:
        """All parameters and buffers, by name; the tensors are live."""
        return {
            f"{name}.{key}": value
            for name in self.networks
            for key, value in getattr(self, f"{name}_").state_dict().items()
        }

    @torch.no_grad()
    def restore(self) -> None:
        """Go back to the last state of which everything was finite."""
        for key, value in self.state().items():
            value.copy_(self._good[key])

    @torch.no_grad()
    def keep_good(self) -> None:
        """Keep this state, as one of which everything is finite."""
        state = self.state()
        if not self._good:
            self._good = {key: value.clone() for key, value in state.items()}
        else:
            for key, value in state.items():
                self._good[key].copy_(value)

    def settle(self) -> None:
        """Go back to the last good state if this one is not finite."""
        if not self._is_finite():
            self.restore()

    def _is_finite(self) -> bool:
        sums = [value.sum() for value in self.state().values()]
        return bool(torch.stack([total.float() for total in sums]).isfinite().all())

    def _check_finite(self, means: dict[str, float]) -> str:
        """Keep this state if all is finite, else restore the last one and say why."""
        bad = ", ".join(k for k, v in means.items() if not math.isfinite(v))
        if not bad and self._is_finite():
            self.keep_good()
            return ""
        self.restore()
        return (
            f"{bad or 'a network'} was no longer finite after {self.n_steps} steps; "
            "the last good state was kept. Lower learning_rate, or look for extreme "
            "values in X."
        )

    def _epoch(self, sums_of: Callable, n_steps: int) -> dict[str, float]:
        """Make the steps; return their mean losses, with one read from the device."""
        with self._precision.steps():
            sums = sums_of(n_steps)
        means = torch.stack(list(sums.values())) / n_steps
        wait_for(self.device)
        return dict(zip(sums, means.tolist(), strict=True))

    def _one(self, step: Step) -> Mapping[str, torch.Tensor]:
        if not self._per_batch:
            losses = step(self)
        else:
            self.notify("on_batch_begin", batch=None, training=True)
            losses = step(self)
            self.notify("on_batch_end", batch=None, training=True, **losses)
        self._steps_done.add_(1)
        self._made += 1  # counted on the host, as a captured step reads nothing there
        if self.device.type == "cpu" and self._made % _LOOK == 0:
            self._let_fade()
        return losses

    @torch.no_grad()
    def _let_fade(self) -> None:
        """Let moments that are next to nothing be 0.

        Those of weights that get no gradient any more (of units that died) decay into
        denormal numbers and stay there, where a processor's arithmetic takes ten times
        as long: after 800 steps Adam took half of an image autoencoder's time.
        """
        for name in self.optimizers:
            for state in getattr(self, f"{name}_optimizer_").state.values():
                for value in state.values():
                    if isinstance(value, torch.Tensor):  # SGD may have None
                        value.masked_fill_(value.abs() < _FADED, 0)

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        """Start a phase (skorch's hook)."""

    def notify(self, method_name, **cb_kwargs):
        """Call a hook of all callbacks, then stop if one of them asked for it."""
        getattr(self, method_name)(self, **cb_kwargs)
        stop = None
        for _, callback in self.callbacks_:
            try:
                getattr(callback, method_name)(self, **cb_kwargs)
            except FitStopped as asked:
                stop = asked
            except KeyboardInterrupt:
                # skorch's early stopping ends a fit this way; a person's Ctrl-C
                # must go on.
                if not isinstance(callback, EarlyStopping):
                    raise
                stop = FitStopped("")
        if stop is not None:
            raise stop
