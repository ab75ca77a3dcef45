"""One file per paper."""

from skdeepcluster.methods.augmented_gan import AugmentedGANClustering
from skdeepcluster.methods.dccs import DCCS

__all__ = ["DCCS", "AugmentedGANClustering"]
