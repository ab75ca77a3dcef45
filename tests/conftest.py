import os
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_blobs

from benchmarks.phases import started  # noqa: F401 (the tests' too)
from skdeepcluster.engine import Draws
from skdeepcluster.methods import METHODS

if "PYTEST_XDIST_WORKER" in os.environ:
    # A worker has one core: threads of several would fight for them. So have the
    # processes that a test starts.
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)

# Small networks and a large step: what a test needs to be quick.
QUICK = {
    "hidden_layer_sizes": (32, 32),
    "critic_layer_sizes": (32, 32),
    "discriminator_layer_sizes": (32, 32),
    "learning_rate": 2e-3,
    "max_epochs": 5,
    "random_state": 0,
}

_LAYERS = {
    "hidden_layer_sizes": (32, 32),
    "generator_layer_sizes": (32, 32),
    "critic_layer_sizes": (32, 32),
    "random_state": 0,
}
QUICK_UDC = {**_LAYERS, "learning_rate": 1e-3, "max_epochs": 5}
QUICK_CLUSTERGAN = {**_LAYERS, "learning_rate": 2e-3, "max_epochs": 5}
QUICK_SIMI = {
    **QUICK_CLUSTERGAN,
    "prior_layer_sizes": (32, 32),
    "prior_max_epochs": 5,
}
QUICK_IMSAT = {"hidden_layer_sizes": (32, 32), "max_epochs": 5, "random_state": 0}
QUICK_VC = {
    "hidden_layer_sizes": (32,),
    "posterior_layer_sizes": (16,),
    "decoder_layer_sizes": (16,),
    "learning_rate": 5e-3,
    "max_epochs": 5,
    "random_state": 0,
}
QUICK_AUG = {
    "hidden_layer_sizes": (32,),
    "learning_rate": 2e-3,
    "max_epochs": 5,
    "random_state": 0,
}
QUICK_AE = {
    "hidden_layer_sizes": (32,),
    "n_latent": 3,
    "batch_size": 16,
    "max_epochs": 5,
    "random_state": 0,
}
QUICK_IIC = {
    "hidden_layer_sizes": (32,),
    "batch_size": 32,
    "learning_rate": 2e-3,
    "max_epochs": 5,
    "random_state": 0,
}
QUICK_DEC = {**QUICK_AE, "pretrain_max_epochs": 5}
QUICK_GMVAE = {
    "hidden_layer_sizes": (32,),
    "batch_size": 16,
    "max_epochs": 5,
    "random_state": 0,
}
QUICK_SPECTRAL = {
    "hidden_layer_sizes": (32, 32),
    "autoencoder_layer_sizes": (32,),
    "n_latent": 3,
    "batch_size": 32,
    "pretrain_batch_size": 16,
    "pretrain_max_epochs": 5,
    "learning_rate": 5e-3,
    "max_epochs": 10,
    "random_state": 0,
}

# The same by method; what must hold for all of them is tested with these.
QUICK_OF = {
    "gmvae": QUICK_GMVAE,
    "depict": QUICK_DEC,
    "dcn": QUICK_DEC,
    "imsat": QUICK_IMSAT,
    "clustergan": QUICK_CLUSTERGAN,
    "ae_kmeans": QUICK_AE,
    "augmented_gan": {**QUICK_AUG, "gan_max_epochs": 2},
    "dccs": QUICK,
    "dec": QUICK_DEC,
    "idec": QUICK_DEC,
    "iic": QUICK_IIC,
    "simi_clustergan": QUICK_SIMI,
    "spectralnet": QUICK_SPECTRAL,
    "udc": QUICK_UDC,
    "vade": QUICK_DEC,
    "vc": QUICK_VC,
}
assert set(QUICK_OF) == set(METHODS)


def quick(method, n_clusters=3, **params):
    """A model of this name that is fitted soon, with its quick parameters changed."""
    return METHODS[method](n_clusters, **{**QUICK_OF[method], **params})


with_all = pytest.mark.parametrize("model", [quick(m) for m in METHODS], ids=METHODS)


def weights(net):
    """Copies of all parameters and buffers, by name."""
    return {k: v.clone() for k, v in net.state().items()}


@pytest.fixture
def table():
    return np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)


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


@pytest.fixture
def draws():
    """Random numbers of a net, without a net."""
    return Draws.seeded(0, torch.device("cpu"))
