"""Objectives: functions of tensors, each with its equation."""

from skdeepcluster.losses.adversarial import gradient_penalty, wasserstein
from skdeepcluster.losses.information import categorical_kl, js_mutual_information
from skdeepcluster.losses.vat import virtual_adversarial

__all__ = [
    "categorical_kl",
    "gradient_penalty",
    "js_mutual_information",
    "virtual_adversarial",
    "wasserstein",
]
