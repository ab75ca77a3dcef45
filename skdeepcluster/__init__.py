"""Deep clustering as scikit-learn estimators."""

from skdeepcluster._version import __version__
from skdeepcluster.methods import (
    DCCS,
    DEC,
    IDEC,
    UDC,
    AugmentedGANClustering,
    AutoencoderKMeans,
    SIMIClusterGAN,
    SpectralNet,
    VaDE,
    VariationalClustering,
)

__all__ = [
    "DCCS",
    "DEC",
    "IDEC",
    "UDC",
    "AugmentedGANClustering",
    "AutoencoderKMeans",
    "SIMIClusterGAN",
    "SpectralNet",
    "VaDE",
    "VariationalClustering",
    "__version__",
]
