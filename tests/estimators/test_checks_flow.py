"""scikit-learn's own checks of an estimator, all of them, of the flow's."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from flowjax_ood.estimators import FlowOutlierDetector

# the checks are of the interface: a small flow has all of it
SMALL = FlowOutlierDetector(couplings=2, width=8, steps=25)


@parametrize_with_checks([SMALL])
def test_checks_of_a_small_flow(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [
        FlowOutlierDetector(),
        FlowOutlierDetector(statistic="typicality", whiten=False),
    ]
)
def test_checks_of_the_defaults(estimator, check):
    check(estimator)
