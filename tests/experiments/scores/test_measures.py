"""Measures of scores: areas, intervals of blocks, false alarms, p-values."""

from dataclasses import dataclass
from statistics import NormalDist
from typing import ClassVar

import numpy as np
import pytest

from experiments.core.score_cache import Scored
from experiments.scores import alarms
from experiments.scores.intervals import block_means, differences, worst_intervals
from experiments.scores.measures import table_rows
from experiments.scores.rows import Row, rows
from flowjax_ood import ood
from flowjax_ood.models import RealNVP
from tests.helpers.scored_flows import gaussian_flow, normal_outputs


@dataclass(frozen=True)
class Low(ood.FlowScore):
    label: str = "low"
    low_share: ClassVar[float] = 0.5


def scored(**scores) -> list[Scored]:
    own = {"test": np.arange(10.0), "calibration": np.arange(200.0) / 20}
    return [
        Scored(s, [], {"pass_ms": 2.0}, 1.0, 3.0)
        for s in (own, {k: np.array(v, float) for k, v in scores.items()})
    ]


def test_measures_of_runs():
    runs = [
        {"low": scored(far=[-1] * 4, high=[20] * 4)},
        {"low": scored(far=[-1, -1, 4.5, 4.5], high=[20] * 4)},
    ]
    found, compared = table_rows(
        [Row(Low()), Row(ood.Typicality())], runs, {"seen": ["far", "high"]}
    )
    two_sided, plain = found
    assert (two_sided["score"], plain["score"]) == ("low, two-sided", "low")
    far = plain["kinds"]["far"]
    # 4.5 is above half of the test scores
    assert far["auroc"] == pytest.approx((1 + (1 + 0.5) / 2) / 2)
    assert far["std"] == pytest.approx(0.25 / np.sqrt(2))
    assert far["found"] == 0.75
    assert plain["blocks"]["seen"] == {
        "mean": pytest.approx((0.875 + 0) / 2),
        "mean_ci95": [pytest.approx(v, abs=0.06) for v in (0.33, 0.5)],
        # nothing else was drawn, so nothing else is known
        "worst": {"kind": "high", "auroc": 0, "ci95": [0, 0]},
        "found": pytest.approx(0.375),
        "found_ci95": [pytest.approx(0.25, abs=0.07), pytest.approx(0.5)],
    }
    assert two_sided["kinds"]["high"]["auroc"] == pytest.approx(1)
    assert two_sided["kinds"]["high"]["found"] == 1
    assert plain["cost_in_passes"] == 1.5
    assert not plain["control"]
    assert compared == []


def test_the_worst_is_bootstrapped_and_controls_are_compared(monkeypatch):
    rng = np.random.default_rng(0)
    pair = ("low", "control")
    monkeypatch.setattr("experiments.scores.measures.COMPARED", (pair,))
    inside = rng.normal(size=300)

    def run(shift, kinds=("a", "b", "c")):
        own = {"test": inside, "calibration": rng.normal(size=300)}
        others = {kind: rng.normal(size=200) - shift for kind in kinds}
        return [Scored(s, [], {"pass_ms": 1.0}, 1.0, 1.0) for s in (own, others)]

    listed = [Row(Low()), Row(Low("control"), control=True)]
    runs = [{"low": run(1.0), "control": run(0.0)} for _ in range(2)]
    found, (compared,) = table_rows(listed, runs, {"seen": ["a", "b"], "told": ["c"]})
    for row in found:
        areas = row["kinds"]
        worst = row["blocks"]["seen"]["worst"]
        low, high = worst["ci95"]
        assert low < worst["auroc"]
        # a minimum of two: lower than the interval of either
        assert low < min(areas[k]["auroc"] for k in "ab") - 0.01
        assert 0.02 < high - low < 0.2
        # of one kind, DeLong's interval by another way, narrower for two runs' mean
        low, high = row["blocks"]["told"]["worst"]["ci95"]
        delong = areas["c"]["ci95"]
        assert 0.4 < (high - low) / (delong[1] - delong[0]) < 1.1
    by_name = {row["score"]: row["kinds"] for row in found}
    assert (compared["score"], compared["control"]) == pair
    for kind, difference in compared["kinds"].items():
        expected = by_name["low"][kind]["auroc"] - by_name["control"][kind]["auroc"]
        assert difference["difference"] == pytest.approx(expected)
        low, high = difference["ci95"]
        assert 0 < low < expected < high
    rows_of = {row["score"]: row for row in found}
    for block, difference in compared["blocks"].items():
        own, control = (rows_of[name]["blocks"][block] for name in pair)
        for of, key in ((difference, "mean"), (difference["found"], "found")):
            assert of["difference"] == pytest.approx(own[key] - control[key])
            low, high = of["ci95"]
            assert low < of["difference"] < high
        low, high = own["mean_ci95"]
        assert low < own["mean"] < high
    # of one kind, DeLong's by another way
    ends = compared["blocks"]["told"]["ci95"], compared["kinds"]["c"]["ci95"]
    np.testing.assert_allclose(*ends, atol=0.01)
    rates = [rows_of[name]["false_alarms"] for name in pair]
    assert compared["false_alarms"]["difference"] == pytest.approx(rates[0] - rates[1])


def test_the_interval_of_a_kind_made_of_the_test_images_is_of_pairs():
    made, others = np.arange(10.0) * 0.9 - 1.5, np.arange(9.0)
    runs = [{"low": scored(made=made, others=others)}]
    blocks = {"seen": ["made", "others"]}
    (_, apart), (_, pairs) = (
        sorted(
            table_rows([Row(Low())], runs, blocks, paired)[0],
            key=lambda r: r["score"],
            reverse=True,
        )
        for paired in ((), ("made", "others"))
    )
    # of unequal numbers none is made of another
    assert pairs["kinds"]["others"] == apart["kinds"]["others"]
    low, high = pairs["kinds"]["made"]["ci95"]
    assert [low, high] == list(ood.auroc(np.arange(10.0), made, paired=True)[1:])
    assert high - low < 0.5 * np.ptp(apart["kinds"]["made"]["ci95"])


def test_intervals_of_block_means_cover_the_truth():
    """Of AUROCs, of rates, and of differences, over images drawn anew."""
    rng, kinds, paired = np.random.default_rng(0), ["a", "b", "c"], ["a", "b"]
    # variance 2 in each set, and 0.5 more by the second score
    truth = [NormalDist().cdf(1 / np.sqrt(v)) for v in (4, 5)]
    truth = np.array([*truth, truth[0] - truth[1], NormalDist().cdf(-1 / np.sqrt(2))])
    covered, widths = [], []
    for _ in range(150):
        image = rng.normal(size=100)
        # outliers that are made of an image keep what it is
        own = [image if kind in paired else rng.normal(size=100) for kind in kinds]
        inside = image + rng.normal(size=100)
        outside = [x - 1 + rng.normal(size=100) for x in own]
        noise = rng.normal(0, np.sqrt(0.5), (4, 100))
        rows = [
            {k: ood.placements(within, x) for k, x in zip(kinds, without, strict=True)}
            for within, without in (
                (inside, outside),
                (inside + noise[0], np.add(outside, noise[1:])),
            )
        ]
        rate = {k: (0 * image, x <= -2.0) for k, x in zip(kinds, outside, strict=True)}
        listed = [*rows, differences(*rows), rate]
        found = block_means(listed, [{"seen": kinds}] * 4, paired, 200)
        values, low, high = np.array([f["seen"] for f in found]).T
        assert (low < values).all()
        assert (values < high).all()
        covered.append((low <= truth) & (truth <= high))
        widths.append(high - low)
    share, width = np.mean(covered, 0), np.mean(widths, 0)
    assert (share > 0.88).all(), share
    assert (share < 1).any()
    assert width[2] < 0.8 * width[:2].min(), "differences are paired"


def test_the_interval_of_the_worst_covers_a_tie():
    """Of equal kinds the minimum is too low, and its interval reaches up again."""
    rng = np.random.default_rng(0)
    kinds = ["a", "b", "c", "d"]
    truth, covered = NormalDist().cdf(1 / np.sqrt(2)), 0
    for _ in range(100):
        inside = rng.normal(1, 1, 150)
        placed = {k: ood.placements(inside, rng.normal(size=150)) for k in kinds}
        (found,) = worst_intervals([placed], [{"seen": kinds}], bootstraps=300)
        low, high = found["seen"]
        covered += low <= truth <= high
    # 92 % by theory; by percentiles of the minimum, it would be half of that
    assert covered > 80


def test_kinds_that_a_score_is_made_of_do_not_count_for_it():
    runs = [{"low": scored(far=[-1] * 4, high=[20] * 4)}]
    row = Row(Low(), told=("high",))
    (two_sided, plain), _ = table_rows([row], runs, {"seen": ["far", "high"]})
    for found in (two_sided, plain):
        assert found["told"] == ["high"]
        assert found["blocks"]["seen"]["mean"] == found["kinds"]["far"]["auroc"]
        assert found["worst"]["kind"] == "far"
    assert {found["kinds"]["high"]["auroc"] for found in (two_sided, plain)} == {0, 1}
    flow = ood.ScoredFlow(RealNVP((16, 16, 1), scales=2, couplings=1), {})
    told = {row.name: row.told for row in rows(flow, passes=10)}
    assert told["log p(x)"] == ()
    for name in ("flow and pixels and poses, rank-Gauss", *map(_name, ood.poses(flow))):
        assert told[name] == ("upside_down", "rotated")
    assert told[ood.Stability("blur").name] == ("blurred",)


def _name(score: ood.FlowScore) -> str:
    return score.name


@pytest.mark.parametrize("low_share", [1.0, 0.8, 0.5])
def test_false_alarms_of_sound_scores_are_as_promised(low_share):
    """Of exchangeable scores, the interval holds at both levels in 95 % of sets."""
    rng, wrong = np.random.default_rng(0), []
    for _ in range(400):
        test, calibration = rng.normal(size=500), rng.normal(size=400)
        p = ood.two_sided_p(test, calibration, low_share)
        rates, void = alarms.realised([p], 400, low_share)
        assert rates["0.05"]["rate"] == np.mean(p <= 0.05)
        wrong.append(void is not None)
        # of scores that were fitted to the images that calibrate
        _, void = alarms.realised([p - 0.15], 400, low_share)
        assert void == "too many"
    assert np.mean(wrong) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    assert sum(wrong) > 0, "it can be outside"
    assert alarms.realised([0 * p + 1], 400, low_share)[1] == "too few"


def test_p_values_are_of_calibration_images_that_were_not_fitted_to():
    """As `FittedCombined.p_values` are, which the table's have to be."""
    flow, rng = gaussian_flow(6), np.random.default_rng(0)
    score = ood.Combined((ood.LogLikelihood(), ood.AndersonDarling()), label="both")
    held_out, test, far = (
        normal_outputs(scale * rng.normal(size=(count, 6)))
        for count, scale in ((301, 1), (150, 1), (60, 1.5))
    )
    fitted = score.fit(flow, ood.Given(id_validation=held_out))
    own, other = (
        Scored(
            {name: fitted.score_outputs(x) for name, x in sets.items()},
            *([], {"pass_ms": 1.0}, 1.0, 1.0),
        )
        for sets in ({"test": test, "calibration": held_out}, {"far": far})
    )
    run = {"both": [own, other]}
    ((row,), _) = table_rows([Row(score)], [run], {"seen": ["far"]})
    expected = {name: fitted.p_values(x) for name, x in (("far", far), ("id", test))}
    assert row["kinds"]["far"]["found"] == np.mean(expected["far"] <= 0.01)
    for level in (0.01, 0.05):
        rate = row["alarms"][f"{level:g}"]["rate"]
        assert rate == np.mean(expected["id"] <= level)
    assert row["false_alarms"] == row["alarms"]["0.01"]["rate"]
    assert row["least_p"] == pytest.approx(1 / 151)
    assert row["void"] is None
    # by all calibration images, other numbers
    both = ood.low_p(other.scores["far"], own.scores["calibration"])
    assert np.mean(both <= 0.05) != np.mean(expected["far"] <= 0.05)


def test_scores_with_a_floor_cannot_find_and_this_is_said(capsys):
    calibration = np.arange(200.0)
    far = {"far": np.array([-5.0, 300.0])}
    assert alarms.least_p(far, calibration, 1.0) == pytest.approx(1 / 201)
    assert alarms.least_p(far, calibration, 0.5) == pytest.approx(2 / 201)
    # five at the end, and nothing beyond: a sixth has 6 / 201
    floor = np.maximum(calibration, 4)
    assert alarms.least_p({"far": floor}, floor, 1.0) == pytest.approx(6 / 201)
    assert alarms.least_p({"far": floor}, -floor, 0.0) == pytest.approx(1 / 201)
    assert alarms.least_p(far, floor, 1.0) == pytest.approx(1 / 201)
    rows = [
        {"score": name, "least_p": least, "void": void}
        for name, least, void in (
            *((name, 0.03, "too few") for name in "abcd"),
            ("sound", 0.001, None),
            ("off", 0.001, "too many"),
        )
    ]
    alarms.warn_of(rows)
    first, second = capsys.readouterr().err.splitlines()
    assert "found at 1% by a; b; c; and 1 more: the least p-value" in first
    assert "0.03 or more; calibrate on more images" in first
    assert "too many false alarms" in second
    assert "by off" in second
    alarms.warn_of(rows[4:5])
    assert not capsys.readouterr().err
