"""Settings chosen by validation inputs, for any detector with a grid."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from flowjax_ood import ood
from flowjax_ood.ood.detector import Detector, Requires, score_of
from tests.helpers import blobs

NET = blobs.NETWORK
GIVEN = blobs.given(ood_validation=blobs.between(60))


def sum_of(features, sign, unit):
    return sign * features[:, unit]


@dataclass(frozen=True)
class OneUnit(Detector):
    """A unit's activation, up or down."""

    unit: int = 0
    sign: float = 1.0
    name = "One unit"
    grid: ClassVar = {"unit": (0, 5, 7), "sign": (1.0, -1.0)}
    requires = Requires(train_data=True)

    def prepared(self, network, given):
        settings = {"unit": self.unit}
        return score_of(sum_of, "features", settings=settings, sign=self.sign)


def areas(given=GIVEN):
    """AUROC of all candidates on second halves, by scikit-learn."""
    halves = [x[30:] for x in (given.id_validation, given.ood_validation)]
    f = np.concatenate([NET.collect(x).features for x in halves])
    y = np.repeat([1, 0], 30)
    return {
        (unit, sign): roc_auc_score(y, sign * f[:, unit])
        for unit in (0, 5, 7)
        for sign in (1.0, -1.0)
    }


def test_the_best_on_second_halves_is_chosen():
    fitted = ood.Tuned(OneUnit()).fit(NET, GIVEN)
    by_hand = areas()
    unit, sign = max(by_hand, key=by_hand.get)
    chosen = dict(fitted.chosen)
    assert chosen.pop("validation_auroc") == pytest.approx(by_hand[unit, sign])
    assert chosen == {"unit": unit, "sign": sign}
    alone = OneUnit(unit, sign).fit(NET, GIVEN).score(blobs.TEST)
    np.testing.assert_array_equal(fitted.score(blobs.TEST), alone)


def test_first_halves_take_no_part_and_outliers_decide():
    first = GIVEN.ood_validation.copy()
    first[:30] = blobs.far(30)
    same = replace(GIVEN, ood_validation=first)
    pick = ood.Tuned(OneUnit()).fit(NET, same).chosen
    assert pick == ood.Tuned(OneUnit()).fit(NET, GIVEN).chosen
    swapped = replace(
        GIVEN,
        id_validation=GIVEN.ood_validation,
        ood_validation=GIVEN.id_validation,
    )
    # the areas are 1 less those of the other signs
    other = ood.Tuned(OneUnit()).fit(NET, swapped).chosen
    assert (other["unit"], other["sign"]) == (pick["unit"], -pick["sign"])


def test_of_equals_the_first():
    tuned = ood.Tuned(replace(OneUnit(), unit=3))
    equal = replace(GIVEN, ood_validation=GIVEN.id_validation)
    chosen = tuned.fit(NET, equal).chosen
    assert (chosen["unit"], chosen["sign"]) == (0, 1.0)
    assert chosen["validation_auroc"] == 0.5


def test_it_needs_what_the_detector_needs_and_outliers():
    tuned = ood.Tuned(ood.KNN())
    assert tuned.requires == Requires(train_data=True, ood_validation=True)
    with pytest.raises(ValueError, match="needs id_validation and ood_validation"):
        tuned.fit(NET, blobs.given(ood_validation=None))
    with pytest.raises(ValueError, match="MSP has no settings to choose among"):
        ood.Tuned(ood.MSP())


def gridded():
    listed = [getattr(ood, name) for name in ood.__all__]
    return [c for c in listed if isinstance(c, type) and getattr(c, "grid", None)]


@pytest.mark.parametrize("detector", gridded(), ids=lambda c: c.__name__)
def test_grids_are_of_fields(detector):
    """Every combination can be made, and is another detector."""
    default = detector()
    candidates = ood.Tuned(default).candidates()
    assert len(set(candidates)) == len(candidates) > 1
    for name, values in detector.grid.items():
        assert isinstance(values, tuple)
        assert getattr(candidates[0], name) == values[0]
