"""`monitor`: runs through, goes on, and says what layers can and cannot see."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from experiments.cli import run
from experiments.core.config import load_config
from experiments.core.keys import Kind
from experiments.monitor import command, measures
from experiments.monitor.scenes import exact_log_prob, run_scenes
from flowjax_ood import ood
from flowjax_ood.data.scenes import OUTFITS, STRAY
from flowjax_ood.training.logs.events import read
from tests.helpers import blobs
from tests.helpers.experiment_runs import CONFIGS, only_error
from tests.helpers.gaussian_joint import GAUSSIAN, GIVEN

pytestmark = pytest.mark.thorough

CONFIG = f"{CONFIGS / 'fashion_mnist_monitor.py'}:smoke"
SETS = ["mnist", "emoji", "fog", "exchanged"]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run that was interrupted after its classifier, and went on."""
    workdir = tmp_path_factory.mktemp("monitor")
    arguments = ["monitor", f"--config={CONFIG}", f"--workdir={workdir}"]

    def interrupted(*_):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measures, "measured", interrupted)
        assert run(arguments) == 130
    assert not (workdir / "results.json").exists()
    assert run(arguments) == 0
    return workdir


@pytest.fixture(scope="module")
def results(workdir):
    return json.loads((workdir / "results.json").read_text())


@pytest.fixture(scope="module")
def scenes():
    return run_scenes(load_config(CONFIG, (), Kind.SCENES))


def test_it_went_on_where_it_was(workdir, results, monkeypatch):
    events = list(read(workdir / "networks" / "seed_0" / "events.jsonl"))
    assert [e["step"] for e in events if e["event"] == "started"] == [0, 20]
    # again: nothing is measured twice, and the numbers are the same
    monkeypatch.setattr(command, "trained_network", None)
    (workdir / "results.json").unlink()
    arguments = ["monitor", f"--config={CONFIG}", f"--workdir={workdir}"]
    assert run(arguments) == 0
    assert json.loads((workdir / "results.json").read_text()) == results


def test_single_items_tell_nothing_of_an_exchange(results):
    """Exactly 0.5 for whatever looks at one item; true classes tell nearly all."""
    rows = results["rows"]
    assert list(rows) == list(measures.ROWS)
    own = {*measures.ROWS} - {
        *(measures.SECOND, measures.BOTH, measures.RULE, measures.EXACT)
    }
    for row in own:
        assert list(rows[row]) == SETS
        assert rows[row]["exchanged"]["auroc"] == 0.5
    assert list(rows[measures.EXACT]) == ["exchanged"]
    assert rows[measures.EXACT]["exchanged"]["auroc"] > 0.97
    assert rows[measures.PIXELS]["emoji"]["auroc"] > 0.95


def test_numbers_are_those_of_the_scores_that_are_kept(workdir, results):
    kept = json.loads((workdir / "stages" / "network_0.json").read_text())
    of = kept["scores"][measures.FIRST]
    expected = ood.auroc(of["clothing"], of["fog"], paired=True)
    found = results["rows"][measures.FIRST]["fog"]
    assert found["auroc"] == expected.value
    assert found["interval"] == [expected.low, expected.high]
    both = np.array(kept["scores"][measures.BOTH]["mnist"])
    assert results["alarms"]["mnist"]["alarm"] == (both <= 0.05).mean()
    found = results["differences"][measures.APART]["mnist"]
    areas = [
        results["rows"][r]["mnist"]["auroc"] for r in (measures.FIRST, measures.APART)
    ]
    assert found["difference"][0] == pytest.approx(areas[0] - areas[1], abs=1e-12)
    assert found["per_network"] == [areas[0] - areas[1]]
    # one network agrees with nobody
    assert not found["shown"]


def test_a_gain_is_one_that_all_networks_show():
    """Of three networks: all gain, all lose, one differs, and nobody differs."""
    rng = np.random.default_rng(0)
    usual, odd = rng.normal(size=(2, 300))

    def run_of(gains: dict) -> dict:
        """By `gains`, outliers are less unusual to the ablations than to the joint."""
        part = {name: odd - 1 + gain for name, gain in gains.items()}
        joint = dict.fromkeys(gains, odd - 1)
        scores = {row: {"clothing": usual, **part} for row in measures.ABLATIONS}
        scores[measures.FIRST] = {"clothing": usual, **joint}
        return {"scores": scores, "other_sets": list(gains)}

    gains = [
        {"gain": 1, "loss": -1, "mixed": 1, "none": 0},
        {"gain": 1, "loss": -1, "mixed": 1, "none": 0},
        {"gain": 1, "loss": -1, "mixed": -0.1, "none": 0},
    ]
    runs = [run_of(of) for of in gains]
    found = measures.differences(runs)[measures.APART]
    assert {k: of["shown"] for k, of in found.items()} == {
        "gain": True,
        "loss": True,
        "mixed": False,
        "none": False,
    }
    # although the mean of the three is a gain, by its interval
    assert found["mixed"]["difference"][1] > 0
    assert [np.sign(v) for v in found["mixed"]["per_network"]] == [1, 1, -1]
    assert found["none"]["per_network"] == [0, 0, 0]


def test_ablations_are_densities_of_some_parts():
    """As the library's own `JointDensity` of these parts, and of parts apart."""
    fitted = GAUSSIAN.fit(blobs.NETWORK, GIVEN)
    u = [fitted.parts(x) for x in (blobs.TRAIN, blobs.TEST)]
    found = dict(measures.ablations(GAUSSIAN, *u, GIVEN))
    options = {
        measures.WITHOUT["outputs"]: {"parts": ("inputs", "explanation")},
        measures.APART: {"apart": True},
    }
    for row, changes in options.items():
        one = replace(GAUSSIAN, **changes).fit(blobs.NETWORK, GIVEN)
        np.testing.assert_allclose(found[row], one.score(blobs.TEST), rtol=1e-4)


def test_sets_do_not_share_images(scenes):
    """Training, calibration and test are apart, and outliers are where items were."""
    parts = [{i.tobytes() for i in s.flat} for s in scenes[1:4]]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]
    assert parts[0] <= {i.tobytes() for i in scenes.train.images}
    around = measures.surroundings(scenes)
    for name, images in scenes.outliers.items():
        np.testing.assert_array_equal(around[name].items[:, 0], images)
        np.testing.assert_array_equal(
            around[name].items[:, 1:], scenes.test.items[:, 1:]
        )
    once = measures.Once.of(around)
    again = once.over(once.images)
    for name, each in around.items():
        np.testing.assert_array_equal(again[name], each.items)


def test_contexts_and_classes_are_drawn_apart(scenes):
    """Of any two roles, contexts agree by chance, 1/3, and classes, 1/9.

    Of twelve places in contexts, two classes have two and eight have one, but for
    strays: (2 * 4 + 8) / 144. Drawn by one seed, all would agree.
    """
    learn, calibrate, test = scenes[1:4]
    for a, b in ((learn, calibrate), (learn, test), (calibrate, test)):
        assert abs((a.contexts == b.contexts).mean() - 1 / 3) < 4 * np.sqrt(2 / 9 / 60)
        assert abs((a.labels == b.labels).mean() - 1 / 9) < 0.1


def test_the_exact_probability_by_hand(scenes):
    """Summed over the contexts, one by one."""
    found = exact_log_prob(scenes.after)
    for labels, log_p in zip(scenes.after.labels[:20].tolist(), found, strict=False):
        joint, others = 0.0, 0.0
        for context in OUTFITS:
            rates = [(1 if c in context else STRAY) / (4 + 6 * STRAY) for c in labels]
            others += np.prod(rates[1:])
            joint += np.prod(rates)
        assert log_p == pytest.approx(np.log(joint / others), rel=1e-9)


def test_the_files_show_the_numbers(workdir, results):
    table = (workdir / "table.md").read_text()
    page = (workdir / "monitor.html").read_text()
    for row, of in results["rows"].items():
        cells = [of[s]["auroc"] for s in SETS if s in of]
        name = row.removeprefix("joint density ")
        line = next(x for x in table.splitlines() if x.startswith(f"| {name} |"))
        assert re.findall(r"\d\.\d{3}", line) == [f"{a:.3f}" for a in cells]
    assert "http://" not in page
    assert (workdir / "monitor.png").read_bytes()[:4] == b"\x89PNG"


def test_what_it_refuses(tmp_path, capsys):
    def said(*overrides):
        arguments = [f"--config={CONFIG}", f"--workdir={tmp_path / 'run'}"]
        keys = [f"--config.{o}" for o in overrides]
        assert run(["monitor", *arguments, *keys]) == 2
        return only_error(capsys.readouterr().err)

    assert "held_back=1200 of 1200 training images" in said("scenes.held_back=1200")
    (tmp_path / "run" / "config.json").unlink()
    assert "grid=3 does not divide images of 14 x 14" in said(
        "scenes.explanation_grid=3"
    )
    (tmp_path / "run" / "config.json").unlink()
    assert "calibrate=38 scenes give no p-value" in said("scenes.calibrate=38")
    (tmp_path / "run" / "config.json").unlink()
    assert "emoji:things has 1307 images, and there are" in said("scenes.test=1400")
    (tmp_path / "run" / "config.json").unlink()
    assert "per_scene must be at least 2" in said("scenes.per_scene=1")
    assert "config.scenes: 'fogg' is not" in said("scenes.corrupted=fogg")
    for overrides, found in {
        ("inputs=197",): "inputs=197 principal components of images of 196 pixels",
        ("inputs=190", "held_back=1000"): "are 204 numbers of an image, .* 200 images",
        ("train=1",): "none of config.scenes.train=1 scenes has an item of class",
    }.items():
        (tmp_path / "run" / "config.json").unlink()
        assert re.search(found, said(*(f"scenes.{o}" for o in overrides)))
    # no classifier was trained for any of these
    assert not (tmp_path / "run" / "networks").exists()
