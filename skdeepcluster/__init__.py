"""Deep clustering as scikit-learn estimators."""

from skdeepcluster._version import __version__
from skdeepcluster.methods import (
    DCCS,
    UDC,
    AugmentedGANClustering,
    SIMIClusterGAN,
    VariationalClustering,
)

__all__ = [
    "DCCS",
    "UDC",
    "AugmentedGANClustering",
    "SIMIClusterGAN",
    "VariationalClustering",
    "__version__",
]
