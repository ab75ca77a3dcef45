"""Networks: plain modules whose sizes come from the input."""

from skdeepcluster.networks.clustergan import ConvGenerator, DeepConvEncoder
from skdeepcluster.networks.conv import ConvEncoder, ResidualEncoder
from skdeepcluster.networks.custom import CustomEncoder
from skdeepcluster.networks.init import (
    imsat_normal_,
    normal_,
    wgan_uniform_,
    xavier_normal_,
    xavier_uniform_,
)
from skdeepcluster.networks.mlp import MLPEncoder, mlp
from skdeepcluster.networks.scaling import Scaling
from skdeepcluster.networks.statistics import still_statistics
from skdeepcluster.networks.strided import StridedEncoder, StridedGenerator
from skdeepcluster.networks.variational import (
    Decoder,
    GaussianPosterior,
    GaussianPrior,
    PlainEncoder,
)

__all__ = [
    "ConvEncoder",
    "ConvGenerator",
    "CustomEncoder",
    "Decoder",
    "DeepConvEncoder",
    "GaussianPosterior",
    "GaussianPrior",
    "MLPEncoder",
    "PlainEncoder",
    "ResidualEncoder",
    "Scaling",
    "StridedEncoder",
    "StridedGenerator",
    "imsat_normal_",
    "mlp",
    "normal_",
    "still_statistics",
    "wgan_uniform_",
    "xavier_normal_",
    "xavier_uniform_",
]
