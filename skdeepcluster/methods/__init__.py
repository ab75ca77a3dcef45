"""One file per paper."""

from skdeepcluster.methods.dccs import DCCS

__all__ = ["DCCS"]
