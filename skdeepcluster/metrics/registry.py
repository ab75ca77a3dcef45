"""Scorers by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skdeepcluster.metrics.adaptive import AdaptiveScorer
from skdeepcluster.metrics.scorers import (
    InternalScorer,
    ModularityScorer,
    StabilityScorer,
    information_scorer,
    own_scorer,
)

silhouette_scorer = InternalScorer("silhouette")
calinski_harabasz_scorer = InternalScorer("calinski_harabasz")
davies_bouldin_scorer = InternalScorer("davies_bouldin")
modularity_scorer = ModularityScorer()
stability_scorer = StabilityScorer()
ace_scorer = AdaptiveScorer()

_SCORERS: dict[str, Any] = {
    "silhouette": silhouette_scorer,
    "calinski_harabasz": calinski_harabasz_scorer,
    "davies_bouldin": davies_bouldin_scorer,
    "modularity": modularity_scorer,
    "spectral_silhouette": InternalScorer("silhouette", "spectral"),
    "ace": ace_scorer,
    "stability": stability_scorer,
    "prediction_strength": StabilityScorer("prediction_strength"),
    "information": information_scorer,
    "own": own_scorer,
}


def get_scorer(name: str) -> Callable:
    """Return a scorer by its name.

    Parameters
    ----------
    name : {"silhouette", "calinski_harabasz", "davies_bouldin", "modularity", \
"spectral_silhouette", "ace", "stability", "prediction_strength", "information", "own"}

    Returns
    -------
    callable
        ``scorer(estimator, X, y=None)``.

    Raises
    ------
    ValueError
        If there is none of this name.

    Examples
    --------
    >>> from skdeepcluster.metrics import get_scorer
    >>> get_scorer("silhouette")
    InternalScorer('silhouette', space='reference', sample_size=2000)
    """
    if name not in _SCORERS:
        raise ValueError(f"There is no scorer {name!r}; there are {[*_SCORERS]}.")
    return _SCORERS[name]
