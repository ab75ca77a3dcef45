"""Networks: plain modules whose sizes come from the input."""

from skdeepcluster.networks.autoencoder import FlatDecoder, FlatEncoder, autoencoder
from skdeepcluster.networks.centers import (
    Centers,
    LinearAssignment,
    MixturePrior,
    RunningCenters,
    StudentCenters,
)
from skdeepcluster.networks.clustergan import ConvGenerator, DeepConvEncoder
from skdeepcluster.networks.conv import ConvEncoder, ResidualEncoder
from skdeepcluster.networks.custom import CustomEncoder, CustomTrunk, FrozenEncoder
from skdeepcluster.networks.dcgan import Discriminator, Sobel, dcgan, mlp_gan
from skdeepcluster.networks.heads import ClusterHeads
from skdeepcluster.networks.init import (
    fan_in_uniform_,
    imsat_normal_,
    kaiming_normal_,
    normal_,
    wgan_uniform_,
    xavier_normal_,
    xavier_uniform_,
)
from skdeepcluster.networks.ladder import LadderDecoder, LadderEncoder, damaged
from skdeepcluster.networks.linear import Linear
from skdeepcluster.networks.linkage import path_linkage
from skdeepcluster.networks.mlp import MLPEncoder, mlp
from skdeepcluster.networks.orthogonal import Orthogonalisation
from skdeepcluster.networks.scaling import CodeScaling, Scaling
from skdeepcluster.networks.statistics import (
    add_to_statistics,
    ghost_batches,
    still_statistics,
)
from skdeepcluster.networks.strided import StridedEncoder, StridedGenerator
from skdeepcluster.networks.trunk import Trunk
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
    "CustomTrunk",
    "Decoder",
    "DeepConvEncoder",
    "Discriminator",
    "FlatDecoder",
    "FlatEncoder",
    "FrozenEncoder",
    "GaussianPosterior",
    "GaussianPrior",
    "LadderDecoder",
    "LadderEncoder",
    "Linear",
    "LinearAssignment",
    "MLPEncoder",
    "MixturePrior",
    "Orthogonalisation",
    "PlainEncoder",
    "ResidualEncoder",
    "RunningCenters",
    "Scaling",
    "Sobel",
    "StridedEncoder",
    "StridedGenerator",
    "StudentCenters",
    "Trunk",
    "add_to_statistics",
    "autoencoder",
    "damaged",
    "dcgan",
    "fan_in_uniform_",
    "imsat_normal_",
    "kaiming_normal_",
    "mlp",
    "mlp_gan",
    "ghost_batches",
    "path_linkage",
    "normal_",
    "still_statistics",
    "wgan_uniform_",
    "xavier_normal_",
    "xavier_uniform_",
]
