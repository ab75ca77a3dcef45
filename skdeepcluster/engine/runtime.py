"""Device, threads, global state: taken for one training, given back afterwards."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple, TypeVar

import torch

# Two trainings in one process would fight for the same cores (a step takes about
# twenty times longer on an oversubscribed machine), for torch's global generator and
# for its thread setting. Taking turns costs nothing and keeps each of them exact.
_training = threading.RLock()

# Of each thread: how often it holds the lock (`depth`), the global states as its
# training found them (`found`), what tells it to stop (`stop`).
_own = threading.local()

# Devices on which a training does lend its turn, see `wait_for`.
SIDE_BY_SIDE = {"cuda"}

Result = TypeVar("Result")

# Below this many multiply-adds in one pass of a minibatch, waking a second thread
# costs more than it saves.
_SMALL_PASS = 2_000_000


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the device to train on.

    Parameters
    ----------
    device : str or torch.device
        ``"auto"`` takes the first of cuda, mps and cpu that is present.

    Returns
    -------
    torch.device

    Raises
    ------
    ValueError
        If the name is no device, or the device is not present on this machine.
    """
    present: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
        "cpu": lambda: True,
    }
    if device == "auto":
        return torch.device(next(name for name, there in present.items() if there()))
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"device={device!r} is not a device that torch knows. Use 'auto', 'cpu', "
            "'cuda', 'cuda:1' or 'mps'."
        ) from error
    there = present.get(resolved.type, lambda: False)()
    if resolved.type == "cuda" and there:
        there = (resolved.index or 0) < torch.cuda.device_count()
    if not there:
        raise ValueError(
            f"device={device!r} is not available on this machine. Use 'auto' or 'cpu'."
        )
    return resolved


@contextmanager
def one_training_at_a_time() -> Iterator[None]:
    """Wait for any other training of this process; see the note on `_training`."""
    with _training:
        _own.depth = getattr(_own, "depth", 0) + 1
        try:
            yield
        finally:
            _own.depth -= 1


def wait_for(device: torch.device) -> None:
    """Wait until a device has done all work; another training may go on meanwhile.

    A step of small networks leaves most of a GPU idle. So that trainings in several
    threads fill it together, each lets the others go on while it has nothing to do but
    wait. On a CPU there is nothing to wait for.

    Raises
    ------
    KeyboardInterrupt
        If the work that this thread is part of has been interrupted.
    """
    found = getattr(_own, "found", None)
    # A training within another one's callback keeps the turn of both.
    if device.type not in SIDE_BY_SIDE or found is None or _own.depth != 1:
        return
    mine = _global_states(device)
    _set_global_states(device, found)
    _training.release()
    try:
        if device.type == "cuda":
            torch.cuda.current_stream(device).synchronize()
        else:
            time.sleep(0)
    finally:
        _training.acquire()
        _set_global_states(device, mine)
    if getattr(_own, "stop", None) and _own.stop.is_set():
        raise KeyboardInterrupt


def in_training() -> bool:
    """Whether this thread is amid a training, whose callback may ask for another."""
    return getattr(_own, "depth", 0) > 0


def side_by_side(calls: Iterable[Callable[[], Result]], n: int) -> Iterator[Result]:
    """Make calls in `n` threads; yields their results in order.

    An interrupt reaches those that are running at the end of their epochs; what they
    return then is still yielded, and it is raised at last, also if all had just ended.
    """
    stop, interrupted = threading.Event(), False

    def on_its_own(call):
        _own.stop = stop
        return call()

    pool = ThreadPoolExecutor(n)
    try:
        begun = deque(pool.submit(on_its_own, call) for call in calls)
        while begun:
            result = begun.popleft()
            try:
                done = result.result()
            except KeyboardInterrupt:
                if interrupted:
                    raise
                interrupted = True
                stop.set()
                done = result.result()
            yield done
        if interrupted:
            raise KeyboardInterrupt
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


@contextmanager
def on_own_stream(device: torch.device) -> Iterator[None]:
    """Work on the device, on a stream that no other training uses.

    Steps are captured and replayed where they were made one by one: libraries keep
    working memory for each stream, which trainings must not share.
    """
    if device.type != "cuda":
        yield
        return
    with torch.cuda.device(device):
        outside = torch.cuda.current_stream()
        streams = _own.__dict__.setdefault("streams", {})
        key = outside.device, _own.depth
        if key not in streams:  # torch has but few of them
            streams[key] = torch.cuda.Stream()
        stream = streams[key]
        stream.wait_stream(outside)
        try:
            with torch.cuda.stream(stream):
                yield
        finally:
            outside.wait_stream(stream)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators of CPU and `device`; float32, with gradients.

    What is made without a device is on the CPU. All is put back afterwards. The
    generators are for layers and modules that know no other: constructors of torch's
    layers, dropout, a user's own encoder. Everything else draws from the explicit
    generator of its net.
    """
    before = getattr(_own, "found", None)
    found = _own.found = _global_states(device)
    try:
        torch.set_default_dtype(torch.float32)
        # Not torch.manual_seed: it also seeds each GPU there is, now or later.
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            _without_autocast(device),
            _on_cpu_by_default(),
        ):
            yield
    finally:
        _set_global_states(device, found)
        _own.found = before


@contextmanager
def inference(device: torch.device) -> Iterator[None]:
    """Compute without gradients, in float32."""
    with torch.inference_mode(), _without_autocast(device):
        yield


def _without_autocast(device: torch.device) -> AbstractContextManager:
    """Undo `torch.autocast` of the caller, in which torch chooses a type."""
    if not torch.is_autocast_enabled(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def _on_cpu_by_default() -> AbstractContextManager:
    """Undo `torch.set_default_device`; as each call pays for it, only where needed."""
    cpu = torch.device("cpu")
    return nullcontext() if torch.get_default_device() == cpu else cpu


class _GlobalStates(NamedTuple):
    """What torch holds for all threads, and a training has its own of."""

    dtype: torch.dtype
    on_cpu: torch.Tensor
    on_gpu: torch.Tensor | None


def _global_states(device: torch.device) -> _GlobalStates:
    """Default type, and states of the global generators of CPU and device."""
    on_gpu = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return _GlobalStates(torch.get_default_dtype(), torch.get_rng_state(), on_gpu)


def _set_global_states(device: torch.device, states: _GlobalStates) -> None:
    torch.set_default_dtype(states.dtype)
    torch.set_rng_state(states.on_cpu)
    if states.on_gpu is not None:
        torch.cuda.set_rng_state(states.on_gpu, device)


@contextmanager
def threads_for(n_multiply_adds: float, device: torch.device) -> Iterator[None]:
    """Use one CPU thread where a pass is too small to be shared, else all granted.

    What is granted is torch's own setting, which joblib's workers lower for
    themselves. The setting is put back afterwards.
    """
    granted = torch.get_num_threads()
    if device.type != "cpu" or granted == 1 or n_multiply_adds > _SMALL_PASS:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(granted)
