"""One file per paper."""

from skdeepcluster.methods.augmented_gan import AugmentedGANClustering
from skdeepcluster.methods.autoencoder_kmeans import AutoencoderKMeans
from skdeepcluster.methods.dccs import DCCS
from skdeepcluster.methods.dec import DEC
from skdeepcluster.methods.idec import IDEC
from skdeepcluster.methods.simi_clustergan import SIMIClusterGAN
from skdeepcluster.methods.spectralnet import SpectralNet
from skdeepcluster.methods.udc import UDC
from skdeepcluster.methods.vade import VaDE
from skdeepcluster.methods.variational_clustering import VariationalClustering

# By the name that command lines and benchmarks have for them.
METHODS = {
    "augmented_gan": AugmentedGANClustering,
    "ae_kmeans": AutoencoderKMeans,
    "dccs": DCCS,
    "dec": DEC,
    "idec": IDEC,
    "simi_clustergan": SIMIClusterGAN,
    "spectralnet": SpectralNet,
    "udc": UDC,
    "vade": VaDE,
    "vc": VariationalClustering,
}

__all__ = [
    "DCCS",
    "DEC",
    "IDEC",
    "METHODS",
    "UDC",
    "AugmentedGANClustering",
    "AutoencoderKMeans",
    "SIMIClusterGAN",
    "SpectralNet",
    "VaDE",
    "VariationalClustering",
]
