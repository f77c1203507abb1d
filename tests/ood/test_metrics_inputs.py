"""Bad input to the metrics is refused by name, with the remedy."""

import math

import numpy as np
import pytest

from flowjax_ood.ood import aupr, fpr_at_tpr, mean_ci
from tests.helpers.metric_cases import ALL_METRICS, HAND_ID, HAND_OOD


@ALL_METRICS
@pytest.mark.parametrize("which", ["id_scores", "ood_scores"])
@pytest.mark.parametrize(
    ("scores", "error", "says"),
    [
        ([], ValueError, r"{0} is empty: give at least one"),
        ([1.0, math.nan, math.nan], ValueError, r"{0}\[1\] is NaN \(the first of 2\)"),
        (np.ones((2, 3)), ValueError, r"{0} has shape \(2, 3\): give a 1-d array"),
        (1.0, ValueError, r"{0} has shape \(\): give a 1-d array"),
        ([[1.0], [1.0, 2.0]], ValueError, r"{0} is a ragged sequence: give"),
        ([0.1, "0.2"], TypeError, r"{0}\[1\] is '0.2' .*not a real number: give"),
        ([0.1, 0.2, None], TypeError, r"{0}\[2\] is None .*not a real number: give"),
        ([True, False], TypeError, r"{0}\[0\] is True .*not a real number: give"),
        ([1.0 + 2.0j], TypeError, r"{0}\[0\] is \(1\+2j\) .*not a real number: give"),
        (np.array([1.0], object), TypeError, r"{0} has dtype object: convert"),
        ([0, 2**53 + 1], ValueError, r"{0}\[1\] is 9007199254740993.*give ranks"),
    ],
    ids=lambda case: "" if isinstance(case, str) else None,
)
def test_bad_scores_are_named(metric, which, scores, error, says):
    arguments = {"id_scores": HAND_ID, "ood_scores": HAND_OOD, which: scores}
    with pytest.raises(error, match=says.format(which)):
        metric(**arguments)


@ALL_METRICS
@pytest.mark.parametrize("level", [0.0, 1.0, 95, -0.5, math.nan])
def test_bad_level(metric, level):
    with pytest.raises(ValueError, match="level must lie strictly between 0 and 1"):
        metric(HAND_ID, HAND_OOD, level=level)


@pytest.mark.parametrize("metric", [aupr, fpr_at_tpr])
def test_the_positive_class_must_be_named(metric):
    with pytest.raises(TypeError, match="positive"):
        metric(HAND_ID, HAND_OOD)
    with pytest.raises(ValueError, match='positive must be "id" or "ood", got 1'):
        metric(HAND_ID, HAND_OOD, positive=1)


def test_bad_options():
    with pytest.raises(ValueError, match=r"tpr must lie in \(0, 1\], got 95"):
        fpr_at_tpr(HAND_ID, HAND_OOD, tpr=95, positive="id")
    with pytest.raises(ValueError, match=r"tpr must lie in \(0, 1\], got 0"):
        fpr_at_tpr(HAND_ID, HAND_OOD, tpr=0.0, positive="id")
    with pytest.raises(ValueError, match=r"interpolation must be .* got 'linear'"):
        aupr(HAND_ID, HAND_OOD, positive="id", interpolation="linear")
    with pytest.raises(ValueError, match=r"n_boot=10 replicates .* at least 40"):
        aupr(HAND_ID, HAND_OOD, positive="id", n_boot=10)


def test_bad_runs():
    with pytest.raises(ValueError, match=r"values holds one run.* run another seed"):
        mean_ci([0.5])
    with pytest.raises(ValueError, match=r"values\[1\] is inf: .* leave the failed"):
        mean_ci([0.5, math.inf])
    with pytest.raises(ValueError, match=r"values\[0\] is NaN"):
        mean_ci([math.nan, 1.0])
    with pytest.raises(ValueError, match="level must lie strictly"):
        mean_ci([1.0, 2.0], level=95)
