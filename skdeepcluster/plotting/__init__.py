"""Pictures of what was found (needs matplotlib)."""

from skdeepcluster.plotting.clusters import plot_clusters
from skdeepcluster.plotting.displays import (
    NumberOfClustersDisplay,
    TrainingCurvesDisplay,
)
from skdeepcluster.plotting.found import (
    ClusterConfusionDisplay,
    ClusterSizesDisplay,
    SamplesDisplay,
    SilhouetteDisplay,
)

__all__ = [
    "ClusterConfusionDisplay",
    "ClusterSizesDisplay",
    "NumberOfClustersDisplay",
    "SamplesDisplay",
    "SilhouetteDisplay",
    "TrainingCurvesDisplay",
    "plot_clusters",
]
