"""Data from files."""

from skdeepcluster.datasets.files import load_file

__all__ = ["load_file"]
