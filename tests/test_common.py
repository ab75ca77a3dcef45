"""scikit-learn's own checks over every estimator, nothing declared to fail."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skdeepcluster import DCCS, AugmentedGANClustering
from tests.conftest import QUICK

# Trained for real: check_clustering passes because it clusters.
ESTIMATORS = [
    DCCS(**{**QUICK, "max_epochs": 150}),
    AugmentedGANClustering(
        hidden_layer_sizes=(32,), learning_rate=2e-3, max_epochs=150, random_state=0
    ),
]


@parametrize_with_checks(ESTIMATORS)
# The checks warn on purpose, and a few of their fits leave clusters empty.
@pytest.mark.filterwarnings("ignore")
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([DCCS(), AugmentedGANClustering()])
def test_scikit_learn_contract_with_defaults(estimator, check):
    check(estimator)
