"""Networks: plain modules whose sizes come from the input."""

from skdeepcluster.networks.conv import ConvEncoder, ResidualEncoder
from skdeepcluster.networks.custom import CustomEncoder
from skdeepcluster.networks.init import xavier_normal_
from skdeepcluster.networks.mlp import MLPEncoder, mlp
from skdeepcluster.networks.scaling import Scaling
from skdeepcluster.networks.statistics import still_statistics

__all__ = [
    "ConvEncoder",
    "CustomEncoder",
    "MLPEncoder",
    "ResidualEncoder",
    "Scaling",
    "mlp",
    "still_statistics",
    "xavier_normal_",
]
