"""Objectives: functions of tensors, each with its equation."""

from skdeepcluster.losses.adversarial import (
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    range_penalty,
    wasserstein,
)
from skdeepcluster.losses.information import (
    categorical_kl,
    entropy_bound,
    information_maximisation,
    js_mutual_information,
)
from skdeepcluster.losses.vat import virtual_adversarial

__all__ = [
    "categorical_kl",
    "discriminator_loss",
    "entropy_bound",
    "generator_loss",
    "gradient_penalty",
    "information_maximisation",
    "js_mutual_information",
    "range_penalty",
    "virtual_adversarial",
    "wasserstein",
]
