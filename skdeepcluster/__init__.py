"""Deep clustering as scikit-learn estimators."""

from skdeepcluster._version import __version__
from skdeepcluster.methods import (
    DCCS,
    DEC,
    IDEC,
    IIC,
    UDC,
    AugmentedGANClustering,
    AutoencoderKMeans,
    SIMIClusterGAN,
    VaDE,
    VariationalClustering,
)

__all__ = [
    "DCCS",
    "DEC",
    "IDEC",
    "IIC",
    "UDC",
    "AugmentedGANClustering",
    "AutoencoderKMeans",
    "SIMIClusterGAN",
    "VaDE",
    "VariationalClustering",
    "__version__",
]
