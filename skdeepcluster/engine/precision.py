"""Precision of matrix products and convolutions in training, and compiled networks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

_torch: Any = torch.backends

# Where torch keeps what float32 products may be rounded to, of a GPU and of a CPU.
_GPU = _torch.cuda.matmul, _torch.cudnn.conv
_CPU = _torch.mkldnn.matmul, _torch.mkldnn.conv


def resolve_precision(precision: str, device: torch.device) -> str:
    """Return "float32", "tf32" or "bf16".

    Parameters
    ----------
    precision : {"auto", "float32", "tf32", "bf16"}
        "auto" is "tf32" on a CUDA device, else "float32".
    device : torch.device

    Raises
    ------
    ValueError
        If it is "tf32" and the device has no such numbers.
    """
    if precision == "auto":
        return "tf32" if device.type == "cuda" else "float32"
    if precision == "tf32" and device.type != "cuda":
        raise ValueError(
            f"precision='tf32' needs a CUDA device; the device is {str(device)!r}. Use "
            "'auto', 'float32' or 'bf16'."
        )
    return precision


@contextmanager
def rounding(to: str) -> Iterator[None]:
    """Let float32 products be computed as "ieee" or "tf32"; put the setting back."""
    before = [backend.fp32_precision for backend in (*_GPU, *_CPU)]
    try:
        for backend in _GPU:
            backend.fp32_precision = to
        for backend in _CPU:
            backend.fp32_precision = "ieee"
        yield
    finally:
        for backend, value in zip((*_GPU, *_CPU), before, strict=True):
            backend.fp32_precision = value


class Precision:
    """Passes of some networks in a lower precision; everything else is in float32.

    A network of those gets float32 and returns float32. Losses, penalties and the
    networks left out (a critic, whose penalty is a second derivative) never see
    anything else.

    Parameters
    ----------
    name : {"float32", "tf32", "bf16"}
    networks : iterable of nn.Module
        Those that may be computed in it.
    device : torch.device
    """

    def __init__(self, name: str, networks: Iterable[nn.Module], device: torch.device):
        self.name = name
        self.networks = list(networks)
        self.device = device

    @contextmanager
    def steps(self) -> Iterator[None]:
        """For as long as steps are made: float32, but for the passes."""
        with ExitStack() as stack:
            stack.enter_context(rounding("ieee"))
            if self.name != "float32":
                for network in self.networks:
                    stack.enter_context(self._in_passes(network))
            yield

    @contextmanager
    def backward(self, exact: bool) -> Iterator[None]:
        """For the gradient of a loss; of a pass in bf16 it is in bf16 by itself."""
        if exact or self.name != "tf32":
            yield
            return
        with rounding("tf32"):
            yield

    @contextmanager
    def _in_passes(self, network: nn.Module) -> Iterator[None]:
        """Let each forward pass of a network be in this precision."""
        entered: list[Any] = []

        def enter(module, args):
            lower: Any = (
                torch.autocast(self.device.type, torch.bfloat16)
                if self.name == "bf16"
                else rounding("tf32")
            )
            lower.__enter__()
            entered.append(lower)

        def leave(module, args, out):
            entered.pop().__exit__(None, None, None)
            return _as_float32(out)

        hooks = [
            network.register_forward_pre_hook(enter),
            # Also where the pass fails: the setting must not stay.
            network.register_forward_hook(leave, always_call=True),
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def _as_float32(out):
    """Tensors of a network's output, however nested, in float32."""
    if isinstance(out, torch.Tensor):
        return out.float() if out.dtype == torch.bfloat16 else out
    if isinstance(out, tuple | list):
        return type(out)(_as_float32(part) for part in out)
    return out


@contextmanager
def compiled(
    networks: Iterable[nn.Module], options: bool | Mapping[str, Any]
) -> Iterator[None]:
    """Let networks be compiled by torch while they train.

    Parameters
    ----------
    networks : iterable of nn.Module
    options : bool or mapping
        False leaves them as they are; a mapping holds arguments of ``torch.compile``.
    """
    if options is False:
        yield
        return
    arguments = {} if options is True else dict(options)
    compile_: Callable = functools.partial(torch.compile, **arguments)
    networks = list(networks)
    for network in networks:
        # Of the instance: names of weights and hooks stay what they are.
        network.forward = compile_(network.forward)
    try:
        yield
    finally:
        for network in networks:
            del network.forward
