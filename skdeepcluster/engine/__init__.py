"""Training: networks, optimizers, minibatches, phases. Knows nothing of clustering."""

from skdeepcluster.engine.callbacks import Convergence, Settled, TimeLimit
from skdeepcluster.engine.data import Batches, ResidentBatches, chunks, make_batches
from skdeepcluster.engine.draws import Draws
from skdeepcluster.engine.graph import resolve_graph
from skdeepcluster.engine.neighbours import NeighbourDistance, neighbour_distance
from skdeepcluster.engine.net import FitStopped, Net, if_stopped
from skdeepcluster.engine.precision import resolve_precision
from skdeepcluster.engine.resume import ResumableCheckpoint
from skdeepcluster.engine.runtime import (
    SIDE_BY_SIDE,
    in_training,
    inference,
    on_own_stream,
    one_training_at_a_time,
    resolve_device,
    seeded,
    side_by_side,
    threads_for,
)

__all__ = [
    "SIDE_BY_SIDE",
    "Batches",
    "Convergence",
    "Draws",
    "FitStopped",
    "NeighbourDistance",
    "Net",
    "ResidentBatches",
    "ResumableCheckpoint",
    "Settled",
    "TimeLimit",
    "chunks",
    "if_stopped",
    "in_training",
    "inference",
    "make_batches",
    "neighbour_distance",
    "on_own_stream",
    "one_training_at_a_time",
    "resolve_device",
    "resolve_graph",
    "resolve_precision",
    "seeded",
    "side_by_side",
    "threads_for",
]
