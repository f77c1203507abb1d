"""Settings chosen by validation inputs, for any detector with a grid."""

import weakref
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from flowjax_ood import ood
from flowjax_ood.ood.detector import Detector, score_of
from flowjax_ood.ood.detectors import adascale, rankfeat
from flowjax_ood.ood.given import Requires
from tests.helpers import blobs

NET = blobs.NETWORK
GIVEN = blobs.given(ood_validation=blobs.between(60))
SETS = GIVEN.id_validation, GIVEN.ood_validation


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


def test_a_stream_is_summarized_for_all_candidates():
    batches = [(GIVEN.train, GIVEN.labels)]
    given = replace(GIVEN, train=None, labels=None)
    (found,) = ood.fit_stream([ood.Tuned(ood.ViM())], NET, batches, given)
    assert found.chosen == ood.Tuned(ood.ViM()).fit(NET, GIVEN).chosen
    with pytest.raises(ValueError, match=r"Tuned compares .*ledoit_wolf'\) needs all"):
        ood.fit_stream([ood.Tuned(ood.MahalanobisFeatures())], NET, batches, given)
    with pytest.raises(ValueError, match="OpenMax needs all training data at once"):
        ood.fit_stream([ood.Tuned(ood.OpenMax())], NET, batches, given)


def test_of_the_fits_only_the_best_is_kept():
    made = []

    @dataclass(frozen=True)
    class Watched(OneUnit):
        def prepared(self, network, given):
            # of earlier fits, the best so far
            assert sum(ref() is not None for ref in made) <= 1
            sign = np.array(self.sign)
            made.append(weakref.ref(sign))
            settings = {"unit": self.unit}
            return score_of(sum_of, "features", settings=settings, sign=sign)

    ood.Tuned(Watched()).fit(NET, GIVEN)
    assert len(made) == 6


def test_what_percentiles_have_no_say_in_is_measured_once(monkeypatch):
    calls, measured = [], adascale._measured

    def counted(network, x, settings):
        calls.append(len(x))
        return measured(network, x, settings)

    monkeypatch.setattr(adascale, "_measured", counted)
    tuned = ood.Tuned(ood.AdaSCALE())
    fitted = tuned.fit(NET, GIVEN)
    # validation inputs of 60, to fit to, and halves of both sets; at most 32 at a time
    assert calls == [32, 32, 30, 30]
    scores = {
        c.percentiles: [c.fit(NET, GIVEN).score(x[30:]) for x in SETS]
        for c in tuned.candidates()
    }
    area = {k: ood.auroc(*of).value for k, of in scores.items()}
    best = max(area, key=area.get)
    assert fitted.chosen == {"percentiles": list(best), "validation_auroc": area[best]}
    np.testing.assert_array_equal(fitted.score(SETS[0][30:]), scores[best][0])


def test_a_grid_of_temperatures_removes_singular_values_once(monkeypatch):
    calls, logits = [], rankfeat._logits

    def counted(network, x, layers):
        calls.append(len(x))
        return logits(network, x, layers)

    monkeypatch.setattr(rankfeat, "_logits", counted)
    fitted = ood.Tuned(ood.RankFeat()).fit(NET, GIVEN)
    assert calls == [30, 30]
    alone = ood.RankFeat(temperature=fitted.chosen["temperature"]).fit(NET, GIVEN)
    area = ood.auroc(*(alone.score(x[30:]) for x in SETS)).value
    assert fitted.chosen["validation_auroc"] == area


def test_settings_that_searches_vary_have_a_grid():
    searched = {ood.CFOOD, ood.IODIN, ood.Residual, ood.WeiPer, ood.NACUE, ood.LTS}
    searched |= {ood.GradNorm, ood.SHE, ood.GMM, ood.OpenMax, ood.NECO, ood.RankFeat}
    searched |= {ood.MahalanobisFeatures, ood.RelativeMahalanobis}
    searched |= {ood.MahalanobisPlusPlus, ood.RelativeMahalanobisPlusPlus}
    assert searched <= set(gridded())
    for cls in gridded():
        assert len(ood.Tuned(cls()).candidates()) <= 12, cls


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
