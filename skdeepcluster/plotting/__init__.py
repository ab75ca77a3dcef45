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
from skdeepcluster.plotting.members import (
    EmbeddingDisplay,
    InterpolationDisplay,
    MembersDisplay,
)

__all__ = [
    "ClusterConfusionDisplay",
    "ClusterSizesDisplay",
    "EmbeddingDisplay",
    "InterpolationDisplay",
    "MembersDisplay",
    "NumberOfClustersDisplay",
    "SamplesDisplay",
    "SilhouetteDisplay",
    "TrainingCurvesDisplay",
    "plot_clusters",
]
