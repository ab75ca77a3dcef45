"""Objectives: functions of tensors, each with its equation."""

from skdeepcluster.losses.adversarial import (
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    range_penalty,
    wasserstein,
)
from skdeepcluster.losses.gaussian import (
    bernoulli_log_likelihood,
    gaussian_kl,
    gaussian_log_likelihood,
    squared_wasserstein2,
)
from skdeepcluster.losses.information import (
    categorical_entropy,
    categorical_kl,
    entropy_bound,
    iic_loss,
    information_maximisation,
    joint_assignments,
    js_mutual_information,
)
from skdeepcluster.losses.likelihood import Likelihood
from skdeepcluster.losses.spectral import (
    contrastive,
    laplacian_form,
    laplacian_residual,
    nearest_others,
    neighbour_affinity,
)
from skdeepcluster.losses.targets import sharpened
from skdeepcluster.losses.vat import virtual_adversarial

__all__ = [
    "Likelihood",
    "bernoulli_log_likelihood",
    "categorical_entropy",
    "categorical_kl",
    "contrastive",
    "discriminator_loss",
    "entropy_bound",
    "gaussian_kl",
    "gaussian_log_likelihood",
    "generator_loss",
    "gradient_penalty",
    "iic_loss",
    "information_maximisation",
    "joint_assignments",
    "js_mutual_information",
    "laplacian_form",
    "laplacian_residual",
    "nearest_others",
    "neighbour_affinity",
    "range_penalty",
    "sharpened",
    "squared_wasserstein2",
    "virtual_adversarial",
    "wasserstein",
]
