"""One file per paper."""

from skdeepcluster.methods.augmented_gan import AugmentedGANClustering
from skdeepcluster.methods.dccs import DCCS
from skdeepcluster.methods.simi_clustergan import SIMIClusterGAN
from skdeepcluster.methods.udc import UDC
from skdeepcluster.methods.variational_clustering import VariationalClustering

__all__ = [
    "DCCS",
    "UDC",
    "AugmentedGANClustering",
    "SIMIClusterGAN",
    "VariationalClustering",
]
