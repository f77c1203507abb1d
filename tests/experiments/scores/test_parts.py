"""Parts of `scores`: which images are for what, the lock, and measures of runs."""

import dataclasses
import json
from dataclasses import dataclass
from statistics import NormalDist
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from ml_collections import ConfigDict

from experiments.core.keys import Kind
from experiments.core.score_cache import Scored
from experiments.scores import alarms, encoder, lock
from experiments.scores import images as chosen
from experiments.scores.images import check_alike, split
from experiments.scores.intervals import block_means, differences, worst_intervals
from experiments.scores.measures import table_rows
from experiments.scores.rows import Row, rows
from flowjax_ood import data, ood
from flowjax_ood.data.sources import emoji
from flowjax_ood.interface.errors import UserError
from flowjax_ood.models import RealNVP
from flowjax_ood.novelty.features import EncoderFeatures
from tests.helpers.scored_flows import gaussian_flow, images, normal_outputs

WHOLE = images(200, seed=3)
TEST = images(100, seed=4)


def fake(train, validation=None, *, source="idx", kind=Kind.IMAGES, bins=256, name="a"):
    def of(x):
        return None if x is None else SimpleNamespace(images=x, name="x", source=source)

    sets = SimpleNamespace(
        train=of(train),
        validation=of(validation),
        test=of(TEST),
        kind=kind,
        bins=bins,
        event_shape=(8, 8, 1),
        exposed=(),
        left_out=None,
    )
    c = ConfigDict(
        {"source": source, "streaming": False, "train": "x:train", "path": ""}
    )
    config = SimpleNamespace(data=c)
    return SimpleNamespace(sets=sets, config=config, label=name, workdir=name)


@pytest.fixture(autouse=True)
def whole(monkeypatch):
    loaded = SimpleNamespace(images=WHOLE)
    monkeypatch.setattr(chosen, "load_set", lambda *_: loaded)


def keys(x) -> set[bytes]:
    return {image.tobytes() for image in x}


def test_images_are_of_no_run():
    runs = [fake(WHOLE[:60], WHOLE[60:80]), fake(WHOLE[:100], name="b")]
    found = split(runs, 0, 40, 30, 50)
    assert [len(x) for x in found[:3]] == [40, 30, 50]
    assert not keys(found.fit) & keys(found.calibrate)
    assert keys(found.fit) | keys(found.calibrate) <= keys(WHOLE[100:])
    np.testing.assert_array_equal(found.test, TEST[:50])
    for one, other in zip(found[:3], split(runs, 0, 40, 30, 50)):
        np.testing.assert_array_equal(one, other)
    assert keys(split(runs, 1, 40, 30, 50).fit) != keys(found.fit)
    # all of them, where more are asked for
    assert [len(x) for x in split(runs, 0, 999, 999, 999)[:3]] == [50, 50, 100]


@pytest.mark.parametrize("source", ["idx", "synthetic"])
def test_without_unseen_images_the_test_set_is_split(source):
    train = WHOLE if source == "idx" else WHOLE[:10]
    found = split([fake(train, source=source)], 0, 999, 999, 30)
    assert [len(x) for x in found[:3]] == [33, 33, 30]
    parts = [keys(x) for x in found[:3]]
    assert len(set.union(*parts)) == 96, "no image is in two parts"
    assert set.union(*parts) <= keys(TEST)
    assert "test set" in found.taken_from
    # what is not fitted to is tested on
    few = split([fake(train, source=source)], 0, 20, 999, 999)
    assert [len(x) for x in few[:3]] == [20, 33, 47]


def test_variants_of_a_picture_are_in_one_part():
    """Of people of the embedded emoji, those that differ in the tone of their skin."""
    people = data.load("emoji:people_test", source="embedded")
    run = SimpleNamespace(sets=SimpleNamespace(test=people))
    bases = dict(
        zip(map(np.ndarray.tobytes, people.images), emoji.groups(people.split))
    )
    for seed in range(3):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(chosen, "_unseen", lambda *_: None)
            found = split([run], seed, 999, 250, 999)
        parts = [{bases[x.tobytes()] for x in part} for part in found[:3]]
        assert len(set.union(*parts)) == sum(map(len, parts)) == 48
        assert all(200 < len(part) < 400 for part in found[:3])
        assert len(found.calibrate) == 250
        assert "no part has a variant" in found.taken_from


def test_too_few_images_are_refused(monkeypatch):
    monkeypatch.setattr(chosen, "LEAST", 30)
    with pytest.raises(UserError, match=r"has 100 test images.*at least 120"):
        split([fake(WHOLE)], 0, 10, 10, 10)


@pytest.mark.parametrize("channels", [1, 3])
def test_real_sets_of_other_images_are_among_the_outliers(channels):
    """Letters and small digits come in the size and the channels of the images."""
    own, digits, things, altered = (
        SimpleNamespace(name=name, images=images(6, n, channels))
        for n, name in enumerate(("emoji", "mnist", "emoji", "emoji dimmed"))
    )
    ood_sets = {"mnist": digits, "emoji:things": things, "emoji dimmed": altered}
    sets = SimpleNamespace(test=own, ood=ood_sets, left_out=None)
    made = chosen.battery([SimpleNamespace(sets=sets)], own.images, 0, ["seen"])
    found = made.of_block("seen")
    assert {n for n, s in made.sets.items() if not s.paired} == {
        *("digits", "glyphs", "emoji:things", "uniform", "constant")
    }
    np.testing.assert_array_equal(found["digits"], digits.images)
    np.testing.assert_array_equal(found["emoji:things"], things.images)
    letters = found["glyphs"]
    assert letters.shape == (6, 8, 8, channels)
    assert letters.std() > 30
    np.testing.assert_array_equal(letters[..., 0], letters[..., -1])
    made = chosen.battery([SimpleNamespace(sets=sets)], own.images, 0, ["kept back"])
    assert made.of_block("kept back")["sklearn_digits"].shape == letters.shape


def test_flows_of_other_events_are_refused():
    with pytest.raises(UserError, match="a flow of vectors"):
        check_alike([fake(WHOLE, kind=Kind.VECTORS)])
    with pytest.raises(UserError, match="a flow of 16 values"):
        check_alike([fake(WHOLE, bins=16)])
    other = fake(WHOLE, name="b")
    other.sets.test = SimpleNamespace(images=TEST[::-1])
    with pytest.raises(UserError, match="a and b have other test images"):
        check_alike([fake(WHOLE), other])


def test_a_lock_holds_for_its_digest(tmp_path):
    assert lock.turn(tmp_path, "one", ["a"], lock=False) == (False, 0)
    assert list(tmp_path.iterdir()) == []
    assert lock.turn(tmp_path, "one", ["a"], lock=True) == (True, 1)
    assert lock.turn(tmp_path, "one", ["a"], lock=False) == (True, 1)
    assert lock.turn(tmp_path, "two", ["a"], lock=False) == (False, 1)
    assert lock.turn(tmp_path, "two", ["b"], lock=True) == (True, 2)
    assert lock.turn(tmp_path, "one", ["a"], lock=False) == (False, 2)
    content = json.loads((tmp_path / "lock.json").read_text())
    assert content["earlier"] == ["one"]
    assert content["scores"] == ["b"]
    (tmp_path / "lock.json").write_text("{}")
    with pytest.raises(UserError, match=r"lock\.json is damaged: it lacks digest"):
        lock.turn(tmp_path, "two", ["b"], lock=True)


def test_looks_from_other_folders_are_counted(tmp_path, monkeypatch, capsys):
    run, other, first, second = (tmp_path / name for name in ("run", "other", "a", "b"))
    for folder in (run, other, first, second):
        folder.mkdir()
    assert lock.turn(first, "one", ["a"], True, [run]) == (True, 1)
    assert lock.turn(first, "one", ["a"], False, [run]) == (True, 1)
    # a new folder of results: closed, but the looks are known
    assert lock.turn(second, "two", ["a"], False, [run]) == (False, 1)
    assert lock.turn(second, "two", ["a"], True, [run]) == (True, 2)
    # the same again is no new look
    assert lock.turn(second, "one", ["a"], True, [run]) == (True, 2)
    # of several runs, that which was looked at most; others catch up
    assert lock.turn(second, "three", ["a"], True, [other, run]) == (True, 3)
    assert json.loads((run / "looks.json").read_text()) == {
        "digests": ["one", "two", "three"]
    }
    # locks that are older than the notes count
    (run / "looks.json").unlink()
    assert lock.turn(second, "three", ["a"], False, [run]) == (True, 3)
    assert len(json.loads((run / "looks.json").read_text())["digests"]) == 3

    def full(file, content):
        if file.name == "looks.json":
            raise OSError("no space")
        write_json(file, content)

    write_json = lock.write_json
    monkeypatch.setattr(lock, "write_json", full)
    assert lock.turn(first, "four", ["a"], True, [run]).open
    assert "not noted in" in capsys.readouterr().err
    (run / "looks.json").write_text("[]")
    with pytest.raises(UserError, match=r"looks\.json is damaged.*move it away"):
        lock.turn(first, "four", ["a"], True, [run])


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


@pytest.mark.filterwarnings("ignore:.* tie at the lowest score")
@pytest.mark.parametrize("passes", [1, 1000])
def test_rows_have_different_names_and_controls_see_no_flow(passes, monkeypatch):
    monkeypatch.setattr("experiments.scores.encoder.has_encoder", lambda: False)
    flow = ood.ScoredFlow(RealNVP((16, 16, 1), scales=2, couplings=1), {})
    listed = rows(flow, passes=passes)
    names = [row.name for row in listed]
    assert len(set(names)) == len(names)
    assert {"log p(x)", "SITN", "5-NN of pixels"} < set(names)
    parts = {row.name for row in listed if row.part}
    combined = {score.name for score in ood.v1(flow)}
    assert parts < combined < set(names)
    assert not {"log p(x)", "5-NN of pixels"} & parts
    local = ood.LocalDimension().name
    assert (local in names) == (passes > 1)
    if passes > 1:
        return
    rng = np.random.default_rng(0)

    def outputs(events, count):
        latents = (rng.normal(size=(count, 16, 16, 1)),)
        terms = rng.normal(size=(2, count, 1))
        return ood.FlowOutputs(events, *terms, latents)

    # of other contrasts: codes of other lengths
    levels = rng.integers(2, 256, (620, 1, 1, 1))
    events = (levels * rng.random((620, 16, 16, 1))).astype(np.uint8)
    train, held_out = outputs(events[:400], 400), outputs(events[400:600], 200)
    given = ood.Given(train=train, id_validation=held_out)
    controls = [row.score for row in listed if row.control]
    assert len(controls) >= 8
    for score in controls:
        fitted = score.fit(flow, given)
        # of other latents
        first, again = (
            fitted.score_outputs(outputs(events[600:], 20)) for _ in range(2)
        )
        np.testing.assert_array_equal(first, again)


def test_scores_of_an_encoder_join_where_it_is_installed(monkeypatch):
    seen = []

    def vectors(self, images):
        seen.append(len(images))
        return images.reshape(len(images), -1)[:, :40].astype(np.float32)

    monkeypatch.setattr("experiments.scores.encoder.has_encoder", lambda: True)
    monkeypatch.setattr(EncoderFeatures, "vectors", vectors)
    flow = ood.ScoredFlow(RealNVP((16, 16, 1), scales=2, couplings=1), {})
    listed = {row.name: row for row in rows(flow)}
    assert not listed["flow and pixels and encoder, rank-Gauss"].control
    assert listed["pixels alone with encoder, Bonferroni"].control
    # the same in another process: kept scores are known by it
    assert " at 0x" not in repr([row.score for row in listed.values()])
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (130, 16, 16, 1), np.uint8)
    train, new = (
        ood.FlowOutputs(x, np.zeros((len(x), 1)), np.zeros((len(x), 1)), (x / 255,))
        for x in (images[:100], images[100:])
    )
    for name in ("5-NN of encoder features", "flow of encoder features"):
        score = listed[name].score
        fitted = score.fit(flow, ood.Given(train=train))
        inside = fitted.score_outputs(new)
        far = fitted.score_outputs(dataclasses.replace(new, events=new.events // 9))
        assert np.median(far) < np.median(inside)
    # once each, for both scores
    assert seen == [100, 30, 30]
    # as many as there is room for: a whole block of sets, and no more than that
    features = listed["5-NN of encoder features"].score.features
    sets = [images[i : i + 9] for i in range(20)]
    first = [features(x) for x in sets]
    for x, expected in zip(sets, first, strict=True):
        assert features(x) is expected
    monkeypatch.setattr(encoder, "REMEMBERED", 3 * first[0].nbytes)
    features(images)
    assert len(encoder._remembered) <= 3


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
