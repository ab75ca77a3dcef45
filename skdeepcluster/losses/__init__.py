"""Objectives: functions of tensors, each with its equation."""

from skdeepcluster.losses.adversarial import gradient_penalty, wasserstein
from skdeepcluster.losses.information import (
    categorical_kl,
    entropy_bound,
    information_maximisation,
    js_mutual_information,
)
from skdeepcluster.losses.vat import virtual_adversarial

__all__ = [
    "categorical_kl",
    "entropy_bound",
    "gradient_penalty",
    "information_maximisation",
    "js_mutual_information",
    "virtual_adversarial",
    "wasserstein",
]
