"""scikit-learn's own checks over every estimator, nothing declared to fail."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skdeepcluster import DCCS
from tests.conftest import QUICK

# Trained for real: check_clustering passes because it clusters.
ESTIMATORS = [DCCS(**{**QUICK, "max_epochs": 150})]


@parametrize_with_checks(ESTIMATORS)
# scikit-learn's checks leave temporary memmaps open, and warn of dtypes on purpose.
@pytest.mark.filterwarnings("default")
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@parametrize_with_checks([DCCS()])
def test_scikit_learn_contract_with_defaults(estimator, check):
    check(estimator)
