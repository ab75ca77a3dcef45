"""Pictures of what was found (needs matplotlib)."""

from skdeepcluster.plotting.clusters import plot_clusters

__all__ = ["plot_clusters"]
