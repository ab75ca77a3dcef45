"""Networks: plain modules whose sizes come from the input."""

from skdeepcluster.networks.conv import ConvEncoder, ResidualEncoder
from skdeepcluster.networks.custom import CustomEncoder
from skdeepcluster.networks.init import xavier_normal_
from skdeepcluster.networks.mlp import MLPEncoder, mlp
from skdeepcluster.networks.scaling import Scaling

__all__ = [
    "ConvEncoder",
    "CustomEncoder",
    "MLPEncoder",
    "ResidualEncoder",
    "Scaling",
    "mlp",
    "xavier_normal_",
]
