"""Pictures of what was found (needs matplotlib)."""

from skdeepcluster.plotting.clusters import plot_clusters
from skdeepcluster.plotting.displays import (
    NumberOfClustersDisplay,
    TrainingCurvesDisplay,
)

__all__ = ["NumberOfClustersDisplay", "TrainingCurvesDisplay", "plot_clusters"]
