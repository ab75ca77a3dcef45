"""One file per paper."""

from skdeepcluster.methods.augmented_gan import AugmentedGANClustering
from skdeepcluster.methods.autoencoder_kmeans import AutoencoderKMeans
from skdeepcluster.methods.clustergan import ClusterGAN
from skdeepcluster.methods.dccs import DCCS
from skdeepcluster.methods.dcn import DCN
from skdeepcluster.methods.dec import DEC
from skdeepcluster.methods.depict import DEPICT
from skdeepcluster.methods.gmvae import GMVAE
from skdeepcluster.methods.idec import IDEC
from skdeepcluster.methods.iic import IIC
from skdeepcluster.methods.imsat import IMSAT
from skdeepcluster.methods.simi_clustergan import SIMIClusterGAN
from skdeepcluster.methods.spectralnet import SpectralNet
from skdeepcluster.methods.udc import UDC
from skdeepcluster.methods.vade import VaDE
from skdeepcluster.methods.variational_clustering import VariationalClustering

# By the name that command lines and benchmarks have for them.
METHODS = {
    "gmvae": GMVAE,
    "depict": DEPICT,
    "dcn": DCN,
    "imsat": IMSAT,
    "clustergan": ClusterGAN,
    "augmented_gan": AugmentedGANClustering,
    "ae_kmeans": AutoencoderKMeans,
    "dccs": DCCS,
    "dec": DEC,
    "idec": IDEC,
    "iic": IIC,
    "simi_clustergan": SIMIClusterGAN,
    "spectralnet": SpectralNet,
    "udc": UDC,
    "vade": VaDE,
    "vc": VariationalClustering,
}

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
    "METHODS",
    "UDC",
    "AugmentedGANClustering",
    "AutoencoderKMeans",
    "SIMIClusterGAN",
    "SpectralNet",
    "VaDE",
    "VariationalClustering",
]
