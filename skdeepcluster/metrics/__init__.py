"""Scores of a clustering, with and without known labels."""

from skdeepcluster.metrics.adaptive import AdaptiveScorer, ace_scores
from skdeepcluster.metrics.external import clustering_accuracy, external_scores
from skdeepcluster.metrics.internal import (
    cluster_information,
    internal_scores,
    uniformity_index,
)
from skdeepcluster.metrics.profile import explain_clusters
from skdeepcluster.metrics.registry import (
    ace_scorer,
    calinski_harabasz_scorer,
    davies_bouldin_scorer,
    get_scorer,
    modularity_scorer,
    silhouette_scorer,
    stability_scorer,
)
from skdeepcluster.metrics.scorers import (
    InternalScorer,
    ModularityScorer,
    StabilityScorer,
    information_scorer,
    own_scorer,
)

__all__ = [
    "AdaptiveScorer",
    "InternalScorer",
    "ModularityScorer",
    "StabilityScorer",
    "ace_scorer",
    "ace_scores",
    "calinski_harabasz_scorer",
    "cluster_information",
    "clustering_accuracy",
    "davies_bouldin_scorer",
    "explain_clusters",
    "external_scores",
    "get_scorer",
    "information_scorer",
    "internal_scores",
    "modularity_scorer",
    "own_scorer",
    "silhouette_scorer",
    "stability_scorer",
    "uniformity_index",
]
