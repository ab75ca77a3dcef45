"""Scores of a clustering, with and without known labels."""

from skdeepcluster.metrics.external import clustering_accuracy
from skdeepcluster.metrics.internal import cluster_information

__all__ = ["cluster_information", "clustering_accuracy"]
