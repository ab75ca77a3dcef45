"""Data from files, and the papers' own constructions."""

from skdeepcluster.datasets.files import load_file
from skdeepcluster.datasets.imbalance import retention_rates, take_per_class
from skdeepcluster.datasets.synthetic import (
    make_arcs,
    make_ring_of_gaussians,
    mark_first_pixel,
)

__all__ = [
    "load_file",
    "make_arcs",
    "make_ring_of_gaussians",
    "mark_first_pixel",
    "retention_rates",
    "take_per_class",
]
