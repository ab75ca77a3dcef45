"""Deep clustering as scikit-learn estimators."""

from skdeepcluster._version import __version__
from skdeepcluster.methods import DCCS, UDC, SIMIClusterGAN, VariationalClustering

__all__ = ["DCCS", "UDC", "SIMIClusterGAN", "VariationalClustering", "__version__"]
