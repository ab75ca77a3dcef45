"""One file per paper."""

from skdeepcluster.methods.dccs import DCCS
from skdeepcluster.methods.variational_clustering import VariationalClustering

__all__ = ["DCCS", "VariationalClustering"]
