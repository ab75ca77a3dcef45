import os
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_blobs

# Small networks and a large step: what a test needs to be quick.
QUICK = {
    "hidden_layer_sizes": (32, 32),
    "critic_layer_sizes": (32, 32),
    "discriminator_layer_sizes": (32, 32),
    "learning_rate": 2e-3,
    "max_epochs": 5,
    "random_state": 0,
}


@pytest.fixture
def blobs():
    centers = [[-9, -9], [0, 0], [9, 9]]
    X, _ = make_blobs(90, centers=centers, random_state=0)
    return X


@pytest.fixture
def images():
    """60 small uint8 images."""
    return (load_digits().images[:60] * 15).astype(np.uint8)


@pytest.fixture
def data_folder():
    """Folder of the large data sets, for slow tests."""
    folder = os.environ.get("SKDEEPCLUSTER_DATA")
    if folder is None:
        pytest.skip("set SKDEEPCLUSTER_DATA to the folder of the large data sets")
    return Path(folder)


class Draws:
    """The random numbers of a net, without a net."""

    def __init__(self, seed=0):
        self.generator = torch.Generator().manual_seed(seed)

    def rand(self, *shape):
        return torch.rand(shape, generator=self.generator)

    def randn(self, *shape):
        return torch.randn(shape, generator=self.generator)


@pytest.fixture
def draws():
    return Draws()
