"""scikit-learn's own checks over every estimator, nothing declared to fail."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skdeepcluster import (
    DCCS,
    DCN,
    DEC,
    DEPICT,
    GMVAE,
    IDEC,
    IIC,
    IMSAT,
    UDC,
    AugmentedGANClustering,
    AutoencoderKMeans,
    ClusterGAN,
    SIMIClusterGAN,
    SpectralNet,
    VaDE,
    VariationalClustering,
)
from skdeepcluster.methods import METHODS
from tests.conftest import (
    QUICK,
    QUICK_AE,
    QUICK_AUG,
    QUICK_CLUSTERGAN,
    QUICK_DEC,
    QUICK_GMVAE,
    QUICK_IIC,
    QUICK_IMSAT,
    QUICK_SIMI,
    QUICK_SPECTRAL,
    QUICK_UDC,
    QUICK_VC,
    quick,
)

# Trained for real: check_clustering passes because it clusters.
ESTIMATORS = [
    DCCS(**{**QUICK, "max_epochs": 150}),
    UDC(**{**QUICK_UDC, "max_epochs": 500}),
    ClusterGAN(**{**QUICK_CLUSTERGAN, "max_epochs": 100}),
    IMSAT(**{**QUICK_IMSAT, "max_epochs": 100}),
    SIMIClusterGAN(**{**QUICK_SIMI, "prior_max_epochs": 100, "max_epochs": 50}),
    VariationalClustering(**{**QUICK_VC, "max_epochs": 100}),
    AugmentedGANClustering(**{**QUICK_AUG, "max_epochs": 150}),
    AutoencoderKMeans(**{**QUICK_AE, "max_epochs": 20}),
    DEC(**{**QUICK_DEC, "pretrain_max_epochs": 20}),
    IDEC(**{**QUICK_DEC, "pretrain_max_epochs": 20}),
    IIC(**{**QUICK_IIC, "max_epochs": 100}),
    DCN(**{**QUICK_DEC, "pretrain_max_epochs": 20, "max_epochs": 20}),
    DEPICT(**{**QUICK_DEC, "pretrain_max_epochs": 40, "max_epochs": 20}),
    GMVAE(**{**QUICK_GMVAE, "max_epochs": 100, "n_latent": 2}),
    VaDE(**{**QUICK_DEC, "pretrain_max_epochs": 20, "max_epochs": 20}),
    SpectralNet(**{**QUICK_SPECTRAL, "max_epochs": 200}),
]
assert {type(estimator) for estimator in ESTIMATORS} == set(METHODS.values())
DEFAULTS = [type(estimator)() for estimator in ESTIMATORS]


@parametrize_with_checks(ESTIMATORS)
# The checks warn on purpose, and a few of their fits leave clusters empty.
@pytest.mark.filterwarnings("ignore")
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(DEFAULTS)
def test_scikit_learn_contract_with_defaults(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore::UserWarning")  # clusters may be empty
@pytest.mark.parametrize("width", [10, 50])
@pytest.mark.parametrize("method", METHODS)
def test_a_row_is_read_alike_wherever_it_stands(method, width, table):
    """To the bit; scikit-learn's check has a tolerance that this may exceed."""
    model = quick(method, hidden_layer_sizes=(width,)).fit(table)
    order = np.random.default_rng(1).permutation(len(table))
    for read in (model.predict_proba, model.transform):
        np.testing.assert_array_equal(read(table[order]), read(table)[order])
