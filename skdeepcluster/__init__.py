"""Deep clustering as scikit-learn estimators."""

from skdeepcluster._version import __version__
from skdeepcluster.methods import DCCS, VariationalClustering

__all__ = ["DCCS", "VariationalClustering", "__version__"]
