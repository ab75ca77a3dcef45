"""Networks: plain modules whose sizes come from the input."""

from skdeepcluster.networks.autoencoder import FlatEncoder, autoencoder
from skdeepcluster.networks.centers import Centers, MixturePrior, StudentCenters
from skdeepcluster.networks.clustergan import ConvGenerator, DeepConvEncoder
from skdeepcluster.networks.conv import ConvEncoder, ResidualEncoder
from skdeepcluster.networks.custom import CustomEncoder, FrozenEncoder
from skdeepcluster.networks.dcgan import Discriminator, Sobel, dcgan, mlp_gan
from skdeepcluster.networks.heads import ClusterHeads
from skdeepcluster.networks.init import (
    imsat_normal_,
    normal_,
    wgan_uniform_,
    xavier_normal_,
    xavier_uniform_,
)
from skdeepcluster.networks.mlp import MLPEncoder, mlp
from skdeepcluster.networks.orthogonal import Orthogonalisation
from skdeepcluster.networks.scaling import CodeScaling, Scaling
from skdeepcluster.networks.statistics import ghost_batches, still_statistics
from skdeepcluster.networks.strided import StridedEncoder, StridedGenerator
from skdeepcluster.networks.variational import (
    Decoder,
    GaussianPosterior,
    GaussianPrior,
    PlainEncoder,
)

__all__ = [
    "Centers",
    "ClusterHeads",
    "CodeScaling",
    "ConvEncoder",
    "ConvGenerator",
    "CustomEncoder",
    "Decoder",
    "DeepConvEncoder",
    "Discriminator",
    "FlatEncoder",
    "FrozenEncoder",
    "GaussianPosterior",
    "GaussianPrior",
    "MLPEncoder",
    "MixturePrior",
    "Orthogonalisation",
    "PlainEncoder",
    "ResidualEncoder",
    "Scaling",
    "Sobel",
    "StridedEncoder",
    "StridedGenerator",
    "StudentCenters",
    "autoencoder",
    "dcgan",
    "imsat_normal_",
    "mlp",
    "mlp_gan",
    "ghost_batches",
    "normal_",
    "still_statistics",
    "wgan_uniform_",
    "xavier_normal_",
    "xavier_uniform_",
]
