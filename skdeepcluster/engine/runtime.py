"""Device, threads and random state: taken for one training, given back afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

# Two trainings in one process would fight for the same cores (a step takes about
# twenty times longer on an oversubscribed machine), for torch's global generator and
# for its thread setting. Taking turns costs nothing and keeps each of them exact.
_training = threading.RLock()

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
        yield


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators of CPU and `device`, and put them back afterwards.

    For layers and modules that know no other generator: constructors of torch's
    layers, dropout, a user's own encoder. Everything else draws from the explicit
    generator of its net.
    """
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        # Not torch.manual_seed: it also seeds each GPU there is, now or later.
        torch.default_generator.manual_seed(seed)
        for gpu in gpus:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def threads_for(n_multiply_adds: float) -> Iterator[None]:
    """Use one CPU thread where a pass is too small to be shared, else all granted.

    What is granted is torch's own setting, which joblib's workers lower for
    themselves. The setting is put back afterwards.
    """
    granted = torch.get_num_threads()
    if granted == 1 or n_multiply_adds > _SMALL_PASS:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(granted)
