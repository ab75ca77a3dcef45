"""Scores of a clustering, with and without known labels."""

from skdeepcluster.metrics.external import clustering_accuracy, external_scores
from skdeepcluster.metrics.internal import (
    cluster_information,
    internal_scores,
    uniformity_index,
)
from skdeepcluster.metrics.profile import explain_clusters
from skdeepcluster.metrics.scorers import (
    InternalScorer,
    StabilityScorer,
    calinski_harabasz_scorer,
    davies_bouldin_scorer,
    get_scorer,
    information_scorer,
    own_scorer,
    silhouette_scorer,
    stability_scorer,
)

__all__ = [
    "InternalScorer",
    "StabilityScorer",
    "calinski_harabasz_scorer",
    "davies_bouldin_scorer",
    "get_scorer",
    "information_scorer",
    "own_scorer",
    "silhouette_scorer",
    "stability_scorer",
    "cluster_information",
    "clustering_accuracy",
    "explain_clusters",
    "external_scores",
    "internal_scores",
    "uniformity_index",
]
