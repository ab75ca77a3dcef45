"""Deep clustering as scikit-learn estimators."""

from skdeepcluster._version import __version__
from skdeepcluster.methods import DCCS, AugmentedGANClustering

__all__ = ["DCCS", "AugmentedGANClustering", "__version__"]
