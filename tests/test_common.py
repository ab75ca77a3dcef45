"""scikit-learn's own checks over every estimator, nothing declared to fail."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skdeepcluster import DCCS, VariationalClustering
from tests.conftest import QUICK

# Trained for real: check_clustering passes because it clusters.
SMALL = {
    "hidden_layer_sizes": (32,),
    "posterior_layer_sizes": (16,),
    "decoder_layer_sizes": (16,),
    "learning_rate": 5e-3,
    "max_epochs": 100,
    "random_state": 0,
}
ESTIMATORS = [
    DCCS(**{**QUICK, "max_epochs": 150}),
    VariationalClustering(**SMALL),
]


@parametrize_with_checks(ESTIMATORS)
# The checks warn on purpose, and a few of their fits leave clusters empty.
@pytest.mark.filterwarnings("ignore")
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([DCCS()])
def test_scikit_learn_contract_with_defaults(estimator, check):
    check(estimator)
