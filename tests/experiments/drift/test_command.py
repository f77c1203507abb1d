"""`drift`: streams of kept scores change where they should, and alarms follow."""

import json

import numpy as np
import pytest

from experiments.cli import run
from experiments.core.kept_scores import read_scores
from experiments.drift.streams import changes, draw
from tests.helpers.detect_scores import CLOTHING, DIGITS, detect_run
from tests.helpers.experiment_runs import only_error

FEW = ("--calibrate=100", "--streams=40", "--steps=200", "--change=80", "--window=20")


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """Scores that digits are far below; classes have the same ones, but class 0."""
    rng = np.random.default_rng(2)
    labels = rng.integers(4, size=900)
    # class 0 and no other has low scores in the second detector
    own = rng.normal(size=900)
    lower = np.where(labels == 0, own - 3, own)
    detectors = {
        "Far": {CLOTHING: own, DIGITS: rng.normal(-9, 1, 300), "fog 1": own[:400] - 2},
        "Classes": {CLOTHING: lower, DIGITS: rng.normal(-1, 1, 300)},
    }
    workdir = tmp_path_factory.mktemp("run")
    return detect_run(workdir, detectors, labels=labels)


@pytest.fixture(scope="module")
def found(workdir):
    assert run(["drift", f"--workdir={workdir}", *FEW]) == 0
    return json.loads((workdir / "drift" / "results.json").read_text())


def test_changes_are_those_there_are_scores_for(workdir):
    kept = read_scores(workdir)
    names = [c.name for c in changes(kept, "Far")]
    shares = [f"digits, {share}" for share in ("all", "half", "a tenth")]
    classes = [f"without class {c}" for c in range(4)]
    assert names == ["none", *shares, "fog 1, all", *classes]
    without = kept._replace(labels=None)
    assert [c.name for c in changes(without, "Classes")] == ["none", *shares]


def test_streams_are_what_they_say(workdir):
    kept = read_scores(workdir)
    own, digits = (kept.detectors["Far"][n] for n in (CLOTHING, DIGITS))
    fog = kept.detectors["Far"]["fog 1"]
    drawn = {
        c.name: draw(kept, "Far", c, 30, 100, 200, 80, 1) for c in changes(kept, "Far")
    }
    same = drawn["none"]
    for k in range(30):
        seen = [*same.calibration[k], *same.scores[k]]
        assert len(set(seen)) == 300
        assert set(seen) <= set(own)
    for name, (calibration, scores) in drawn.items():
        np.testing.assert_array_equal(calibration, same.calibration)
        np.testing.assert_array_equal(scores[:, :80], same.scores[:, :80])
        assert (scores[:, 80:] != same.scores[:, 80:]).any() == (name != "none")
    shares = {n: np.isin(s.scores[:, 80:], digits).mean() for n, s in drawn.items()}
    assert shares["digits, all"] == 1
    assert shares["digits, half"] == pytest.approx(0.5, abs=0.04)
    assert shares["digits, a tenth"] == pytest.approx(0.1, abs=0.03)
    foggy = drawn["fog 1, all"].scores[:, 80:]
    assert np.isin(foggy, fog).all()
    # of no image that was in the stream before
    originals = {score: own[row] for row, score in enumerate(fog)}
    for k in range(30):
        copied = {originals[score] for score in foggy[k]}
        assert not copied & set(same.calibration[k])
        assert not copied & set(same.scores[k, :80])
    gone = drawn["without class 2"].scores[:, 80:]
    assert not np.isin(gone, own[kept.labels == 2]).any()


def test_what_is_far_is_noticed_at_once_and_nothing_is_not(found):
    far = next(row for row in found["rows"] if row["name"] == "Far")
    curves = found["log10_wealth"]["changes"]
    shares = [f"digits, {share}" for share in ("all", "half", "a tenth")]
    assert list(curves) == ["none", *shares]
    low, middle, high = np.array(curves["digits, all"])
    assert len(middle) == 200 // found["log10_wealth"]["every"]
    assert ((low <= middle) & (middle <= high)).all()
    assert middle[-1] > 2 > np.array(curves["none"])[1, -1]
    for name, of in far["monitors"].items():
        changed = of["changes"]["digits, all"]
        if not name.startswith(("KS", "power, fixed")):
            assert changed["missed"] == 0, name
            assert changed["median_delay"] < 30, name
            assert (
                changed["median_delay"] <= of["changes"]["digits, half"]["median_delay"]
            )
        if of["bound"] is not None:
            spread = np.sqrt(of["bound"] * (1 - of["bound"]) / 40)
            assert of["false_alarms"] <= of["bound"] + 4 * spread, name
    # at the end of a window
    assert far["monitors"]["KS, corrected"]["changes"]["digits, all"][
        "median_delay"
    ] in (20, 40)
    assert far["monitors"]["KS, uncorrected"]["false_alarms"] > 0.15


def test_a_class_that_vanishes_is_seen_by_its_scores_alone(found):
    far, classes = (
        {row["name"]: row for row in found["rows"]}[n]["monitors"]["jumper"]["changes"]
        for n in ("Far", "Classes")
    )
    assert far["without class 0"]["missed"] > 0.9
    assert classes["without class 1"]["missed"] > 0.9
    assert classes["without class 0"]["missed"] < far["without class 0"]["missed"] - 0.3


def test_the_files_show_the_numbers(found, workdir):
    out = workdir / "drift"
    page, table = (out / "drift.html").read_text(), (out / "table.md").read_text()
    for row in found["rows"]:
        assert f"## {row['name']}" in table
        delay = row["monitors"]["power"]["changes"]["digits, all"]["median_delay"]
        shown = "–" if delay is None else f"{delay:.0f}"
        assert f"| digits, all | {shown}" in table
    assert "http://" not in page
    assert (out / "drift.png").read_bytes()[:4] == b"\x89PNG"


def test_what_cannot_be_streamed(workdir, tmp_path, capsys):
    def said(*arguments):
        assert run(["drift", *arguments]) == 2
        return only_error(capsys.readouterr().err)

    whole = f"--workdir={workdir}"
    assert "'No'; known: Far, Classes" in said(whole, "--detectors=No")
    assert "900 scores, and a stream takes 1100" in said(whole, "--calibrate=100")
    assert "--change=80 is not before" in said(whole, *FEW, "--steps=80")
    assert "detect` on that --workdir first" in said(f"--workdir={tmp_path}")
