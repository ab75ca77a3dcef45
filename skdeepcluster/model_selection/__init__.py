"""Choosing without labels."""

from skdeepcluster.model_selection.compare import compare
from skdeepcluster.model_selection.monitor import UnsupervisedMonitor
from skdeepcluster.model_selection.number import estimate_n_clusters
from skdeepcluster.model_selection.splits import FullData

__all__ = ["FullData", "UnsupervisedMonitor", "compare", "estimate_n_clusters"]
