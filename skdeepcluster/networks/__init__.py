"""Networks: plain modules whose sizes come from the input."""

from skdeepcluster.networks.conv import ConvEncoder, ResidualEncoder
from skdeepcluster.networks.custom import CustomEncoder, FrozenEncoder
from skdeepcluster.networks.dcgan import (
    Discriminator,
    Sobel,
    dcgan,
    mlp_gan,
)
from skdeepcluster.networks.heads import ClusterHeads
from skdeepcluster.networks.init import xavier_normal_
from skdeepcluster.networks.mlp import MLPEncoder, mlp
from skdeepcluster.networks.scaling import Scaling
from skdeepcluster.networks.statistics import still_statistics

__all__ = [
    "ClusterHeads",
    "ConvEncoder",
    "CustomEncoder",
    "Discriminator",
    "FrozenEncoder",
    "MLPEncoder",
    "ResidualEncoder",
    "Scaling",
    "Sobel",
    "dcgan",
    "mlp",
    "mlp_gan",
    "still_statistics",
    "xavier_normal_",
]
