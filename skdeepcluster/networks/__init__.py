"""Networks: plain modules whose sizes come from the input."""

from skdeepcluster.networks.conv import ConvEncoder, ResidualEncoder
from skdeepcluster.networks.custom import CustomEncoder
from skdeepcluster.networks.init import xavier_normal_, xavier_uniform_
from skdeepcluster.networks.mlp import MLPEncoder, mlp
from skdeepcluster.networks.scaling import Scaling
from skdeepcluster.networks.statistics import still_statistics
from skdeepcluster.networks.variational import (
    Decoder,
    GaussianPosterior,
    GaussianPrior,
    PlainEncoder,
)

__all__ = [
    "ConvEncoder",
    "CustomEncoder",
    "Decoder",
    "GaussianPosterior",
    "GaussianPrior",
    "MLPEncoder",
    "PlainEncoder",
    "ResidualEncoder",
    "Scaling",
    "mlp",
    "still_statistics",
    "xavier_normal_",
    "xavier_uniform_",
]
