"""Steps made one by one, or captured once as a whole and replayed (CUDA graphs)."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import torch

from skdeepcluster.engine.data import ResidentBatches

if TYPE_CHECKING:
    from skdeepcluster.engine.net import Net

Losses = Mapping[str, torch.Tensor]

_log = logging.getLogger("skdeepcluster")

# Steps that are made one by one before the capture: they create what lives longer than
# a step (an optimizer's averages) and let libraries choose their algorithms.
_COLD = 3

# Steps whose losses wait on the device, one by one, before they are added up there.
_BLOCK = 256

# Steps of one replay. A launch takes the host and the device some 10 microseconds, the
# shortest step some 300.
_UNROLLED = 4


class CudaGraph:
    """Work on the device, recorded without being done; `replay` does it.

    Parameters
    ----------
    work : callable
        Without arguments; its tensors stay where they are.
    generator : torch.Generator
        That it draws from; each replay draws on, as the work itself would.
    beside : CudaGraph, default=None
        Another one, whose memory may be used: the two are never replayed at once, and
        neither needs what the other has left there.
    """

    def __init__(
        self,
        work: Callable[[], None],
        generator: torch.Generator,
        beside: CudaGraph | None = None,
    ):
        self._graph = torch.cuda.CUDAGraph()
        self._graph.register_generator_state(generator)
        stream = torch.cuda.current_stream()
        # Other threads may use the device meanwhile, see `wait_for`. The outer context
        # gives the stream back also where a capture breaks, which the inner does not.
        with (
            torch.cuda.stream(stream),
            torch.cuda.graph(
                self._graph,
                pool=None if beside is None else beside._graph.pool(),
                stream=stream,
                capture_error_mode="thread_local",
            ),
        ):
            work()

    def replay(self) -> None:
        """Do the work; returns before it is done."""
        self._graph.replay()


# How a device's work is captured; a device that is not here has no graphs.
CAPTURE: dict[str, Callable[..., Any]] = {"cuda": CudaGraph}


def resolve_graph(graph: bool | str, device: torch.device) -> bool:
    """Return whether to capture steps: "auto" is where a device has graphs.

    Raises
    ------
    ValueError
        If it is True and the device has none.
    """
    has_graphs = device.type in CAPTURE
    if graph is True and not has_graphs:
        raise ValueError(
            f"graph=True needs a CUDA device; the device is {str(device)!r}. Use "
            "'auto' or False."
        )
    return has_graphs if graph == "auto" else bool(graph)


def why_not(net: Net) -> str:
    """Why steps of a net cannot be captured; empty if they can."""
    if net.calls_back_in_steps:
        return "a callback asks for every batch or update"
    if not isinstance(net.batches, ResidentBatches):
        return "the data do not fit on the device"
    return ""


def steps_of(net: Net, one: Callable[[], Losses]) -> Callable[[int], Losses]:
    """Return what makes so many steps, and the sums of their losses."""
    reason = why_not(net) if net.graph else ""
    if net.graph and not reason:
        return Captured(net, one).sums
    if reason:
        _tell(net, reason)
    return functools.partial(one_by_one, one)


def _tell(net: Net, reason: object) -> None:
    _log.info("The steps of phase %r are not captured: %s", net.phase, reason)


def one_by_one(one: Callable[[], Losses], n_steps: int) -> dict[str, torch.Tensor]:
    """Make steps; return the sums of their losses, without a word to the host."""
    total: torch.Tensor | None = None
    for start in range(0, n_steps, _BLOCK):
        rows = [one() for _ in range(min(_BLOCK, n_steps - start))]
        columns = [torch.stack([row[name] for row in rows]) for name in rows[0]]
        part = torch.stack(columns).sum(1)
        total = part if total is None else total + part
    assert total is not None  # there is at least one step
    return dict(zip(rows[0], total, strict=True))


class Captured:
    """The steps of a phase: a few one by one, then captured, then replayed.

    A replay changes the same memory as the step itself would, with the same random
    numbers. Where the capture fails, the steps go on one by one.

    Parameters
    ----------
    net : Net
    one : callable
        Makes one step; returns its losses, scalars on the device.
    """

    def __init__(self, net: Net, one: Callable[[], Losses]):
        self.net = net
        self.batches = cast(ResidentBatches, net.batches)
        self.one = one
        self.cold = _COLD
        self.n_draws = 0
        # By the steps of a replay, the most first; None where it failed.
        self.graphs: dict[int, Any] | None = {}

    def sums(self, n_steps: int) -> dict[str, torch.Tensor]:
        """Make the steps; return the sums of their losses."""
        cold = min(n_steps, self.cold)
        parts = [self._cold(cold)] if cold else []
        if n_steps > cold:
            if self.graphs == {}:
                self._capture()
            rest = n_steps - cold
            parts.append(self._replay(rest) if self.graphs else self._plain(rest))
        return {
            name: torch.stack([part[name] for part in parts]).sum(0)
            for name in parts[0]
        }

    def _plain(self, n_steps: int) -> dict[str, torch.Tensor]:
        return one_by_one(self.one, n_steps)

    def _cold(self, n_steps: int) -> dict[str, torch.Tensor]:
        """Make steps before there is a graph; count their batches."""
        batches = self.batches
        before = batches.n_drawn
        sums = self._plain(n_steps)
        self.n_draws = (batches.n_drawn - before) // n_steps
        self.cold -= n_steps
        self.names = list(sums)
        return sums

    def _capture(self) -> None:
        net, batches = self.net, self.batches
        # Added up in float64: a replay has no place for each step's losses.
        self.total = torch.zeros(
            len(self.names), dtype=torch.float64, device=net.device
        )
        batches.reserve(_UNROLLED * self.n_draws)
        self.graphs = {}
        capture, graph = CAPTURE[net.device.type], None
        try:
            for size in (_UNROLLED, 1):
                batches.have(size * self.n_draws)
                with _undone(net, batches):
                    work = functools.partial(self._work, size)
                    graph = capture(work, net.generator, graph)
                self.graphs[size] = graph
        except RuntimeError as error:
            _tell(net, error)
            self.graphs = None

    def _work(self, n_steps: int) -> None:
        for _ in range(n_steps):
            self.total += torch.stack(list(self.one().values()))

    def _replay(self, n_steps: int) -> dict[str, torch.Tensor]:
        assert self.graphs
        batches = self.batches
        self.total.zero_()
        for size, graph in self.graphs.items():
            for _ in range(n_steps // size):
                batches.have(size * self.n_draws)
                graph.replay()
                batches.passed(size * self.n_draws)
            n_steps %= size
        return dict(zip(self.names, self.total.to(torch.float32), strict=True))


@contextmanager
def _undone(net: Net, batches: ResidentBatches) -> Iterator[None]:
    """Put back what the host has done while steps were captured, which made none."""
    counts = batches.left, batches.n_drawn
    own = net.generator.get_state()
    on_gpu = net.device.type == "cuda"
    others = torch.cuda.get_rng_state(net.device) if on_gpu else None
    try:
        yield
    except RuntimeError:
        # One that took part in a broken capture may be of no more use.
        net.generator = batches.generator = torch.Generator(net.device)
        net.generator.set_state(own)
        if others is not None:
            torch.cuda.set_rng_state(others, net.device)
        raise
    finally:
        batches.left, batches.n_drawn = counts
        for name in net.optimizers:
            getattr(net, f"{name}_optimizer_").zero_grad()
