"""Steps per second of each method, made one by one, captured, and compiled."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.in_turn import seconds_to_fit
from benchmarks.run import in_own_process
from skdeepcluster.methods import METHODS

# Shapes of the data; what is in them does not matter for the time of a step.
SHAPES = {
    "table": (5_000, 50),
    "mnist": (10_000, 28, 28),
    "cifar10": (10_000, 32, 32, 3),
}
_K = 10
_EPOCHS = 6
_PHASES = ("", "prior_", "gan_", "pretrain_")

# Of an iteration at the papers' settings, per method and phase: floating-point
# operations in 1e9, kernels, optimizer steps.
FLOORS = {
    ("mnist", "augmented_gan", "gan"): (9.0, 228, 2),
    ("mnist", "augmented_gan", "heads"): (110, 833, 1),
    ("mnist", "udc", "fit"): (418, 1_060, 10),
    ("mnist", "simi_clustergan", "prior"): (8.6, 136, 1),
    ("mnist", "simi_clustergan", "gan"): (85, 1_116, 7),
    ("mnist", "vc", "fit"): (715, 514, 1),
    ("mnist", "dccs", "fit"): (15.3, 637, 5),
    ("cifar10", "augmented_gan", "gan"): (151, 273, 2),
    ("cifar10", "augmented_gan", "heads"): (105, 833, 1),
    ("cifar10", "udc", "fit"): (493, 1_063, 10),
    ("cifar10", "simi_clustergan", "gan"): (230, 1_375, 7),
    ("cifar10", "vc", "fit"): (815, 548, 1),
    ("cifar10", "dccs", "fit"): (903, 960, 5),
}
# Of an H100 (SXM): operations per second by precision; seconds of a kernel in a graph.
_PEAK = {"float32": 60e12, "tf32": 400e12, "bf16": 790e12}
_KERNEL = 2e-6


def floor(data: str, method: str, phase: str, precision: str) -> float:
    """Least seconds of an iteration on an H100: of launches, or of arithmetic."""
    gflop, n_kernels, n_updates = FLOORS[data, method, phase]
    launches = (n_kernels + 2 * n_updates) * _KERNEL
    return max(launches, 1e9 * gflop / _PEAK[precision])


def _modes(device: str) -> dict[str, dict]:
    modes: dict[str, dict] = {"eager": {"graph": False}}
    if device == "cuda":
        modes["graph"] = {"graph": True}
        modes["graph, bf16"] = {"graph": True, "precision": "bf16"}
        modes["graph, compiled"] = {"graph": True, "compile": True}
    modes["compiled"] = {"graph": False, "compile": True}
    return modes


def data_like(name: str) -> np.ndarray:
    """Random data of a shape."""
    rng = np.random.default_rng(0)
    shape = SHAPES[name]
    if len(shape) == 2:
        return rng.normal(size=shape).astype(np.float32)
    return rng.integers(0, 256, shape).astype(np.uint8)


def short(method: str, device: str, epochs: int, **params):
    """Model of few epochs in every phase."""
    kind = METHODS[method]
    names = {f"{phase}max_epochs" for phase in _PHASES} & set(kind().get_params())
    params = {**params, **dict.fromkeys(names, epochs)}
    return kind(_K, tol=0, random_state=0, device=device, **params)


def _pace(method: str, data: str, device: str, params: dict) -> list[tuple]:
    """(phase, steps per second, mebibytes) of each phase of a short fit."""
    model = short(method, device, _EPOCHS, **params)
    seconds_to_fit(model, data_like(data))
    history = model.history_
    paces = np.diff(history["step"], prepend=0) / history["dur"]
    memory = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else None
    rows = []
    for phase in dict.fromkeys(history["phase"]):
        # The first epochs compile, choose algorithms, capture.
        inside = paces[history["phase"] == phase][2:]
        rows.append((phase, float(np.median(inside)), memory))
    return rows


def compare(data: str = "table", device: str = "cpu", methods=tuple(METHODS)) -> str:
    """Fit each method in each mode, each in a process of its own; a table."""
    lines = [
        "| method | phase | mode | steps per second | times eager | "
        "times the floor | GPU memory, MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for method in methods:
        eager: dict[str, float] = {}
        for mode, params in _modes(device).items():
            try:
                rows = in_own_process(_pace, method, data, device, params)
            except Exception as error:
                lines.append(f"| {method} | | {mode} | {type(error).__name__} | | | |")
                continue
            for phase, pace, memory in rows:
                eager.setdefault(phase, pace)
                above = ""
                if device == "cuda" and (data, method, phase) in FLOORS:
                    precision = params.get("precision", "tf32")
                    above = f"{1 / pace / floor(data, method, phase, precision):.1f}"
                used = "" if memory is None else f"{memory:.0f}"
                lines.append(
                    f"| {method} | {phase} | {mode} | {pace:.1f} | "
                    f"{pace / eager[phase]:.2f} | {above} | {used} |"
                )
    return "\n".join(lines)


def _kernels(method: str, data: str) -> float:
    """Kernels per iteration of a fit of an epoch a phase, made one by one."""
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as seen:
        model = short(method, "cuda", 1, graph=False).fit(data_like(data))
    on_gpu = torch.autograd.DeviceType.CUDA
    events = seen.key_averages()
    return sum(e.count for e in events if e.device_type == on_gpu) / model.n_iter_


def kernels(data: str, device: str) -> str:
    """Kernels of an iteration, beside the count that the floor is made of."""
    if device != "cuda":
        return "Only a CUDA device has kernels to be counted."
    lines = ["| method | kernels an iteration | planned |", "|---|---|---|"]
    for method in METHODS:
        planned = [
            f"{phase}: {n}"
            for (of, name, phase), (_, n, _) in FLOORS.items()
            if (of, name) == (data, method)
        ]
        counted = in_own_process(_kernels, method, data)
        lines.append(f"| {method} | {counted:.0f} | {', '.join(planned)} |")
    return "\n".join(lines)


def side_by_side(data: str, device: str, n_init: int = 8) -> str:
    """Seconds of one fit, and of `n_init` fits at once."""
    lines = [
        f"| method | one fit, s | {n_init} at once, s | ratio |",
        "|---|---|---|---|",
    ]
    X = data_like(data)
    for method in METHODS:
        model = short(method, device, _EPOCHS)
        seconds_to_fit(model, X)  # warms up
        one = seconds_to_fit(model, X)
        several = seconds_to_fit(model.set_params(n_init=n_init), X)
        lines.append(f"| {method} | {one:.1f} | {several:.1f} | {several / one:.2f} |")
    return "\n".join(lines)
