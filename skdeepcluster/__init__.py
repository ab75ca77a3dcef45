"""Deep clustering as scikit-learn estimators."""

from skdeepcluster._version import __version__
from skdeepcluster.methods import DCCS

__all__ = ["DCCS", "__version__"]
