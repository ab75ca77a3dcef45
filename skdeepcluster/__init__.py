"""Deep clustering as scikit-learn estimators."""

from skdeepcluster._version import __version__
from skdeepcluster.methods import (
    DCCS,
    DCN,
    DEC,
    DEPICT,
    GMVAE,
    IDEC,
    IIC,
    IMSAT,
    UDC,
    AugmentedGANClustering,
    AutoencoderKMeans,
    ClusterGAN,
    SIMIClusterGAN,
    SpectralNet,
    VaDE,
    VariationalClustering,
)

__all__ = [
    "GMVAE",
    "DEPICT",
    "DCN",
    "IMSAT",
    "ClusterGAN",
    "DCCS",
    "DEC",
    "IDEC",
    "IIC",
    "UDC",
    "AugmentedGANClustering",
    "AutoencoderKMeans",
    "SIMIClusterGAN",
    "SpectralNet",
    "VaDE",
    "VariationalClustering",
    "__version__",
]
