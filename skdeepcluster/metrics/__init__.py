"""Scores of a clustering, with and without known labels."""

from skdeepcluster.metrics.external import clustering_accuracy, external_scores
from skdeepcluster.metrics.internal import (
    cluster_information,
    internal_scores,
    uniformity_index,
)

__all__ = [
    "cluster_information",
    "clustering_accuracy",
    "external_scores",
    "internal_scores",
    "uniformity_index",
]
