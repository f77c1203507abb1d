"""`decide`: rates are those of the kept scores, and what is promised holds."""

import json

import numpy as np
import pytest
from scipy.stats import beta

from experiments.cli import run
from experiments.core.kept_scores import read_scores
from experiments.decide import measures
from experiments.decide.abstention import ALPHA, abstention
from flowjax_ood import ood
from flowjax_ood.ood.calibration import simes
from tests.helpers.detect_scores import CLOTHING, DIGITS, TRAINING, detect_run
from tests.helpers.experiment_runs import only_error

N, CLASSES = 1200, 4
FEW = ("--calibrate=400", "--test=400", "--splits=6", "--batches=10")


def made() -> tuple[dict, np.ndarray, dict]:
    """Scores of three detectors, labels, and predictions; errors have low scores."""
    rng = np.random.default_rng(5)
    labels = rng.integers(CLASSES, size=N)
    noise = rng.normal(size=N)
    wrong = rng.random(N) < 0.3 / (1 + np.exp(2 * noise))
    predicted = np.where(wrong, (labels + 1) % CLASSES, labels)
    own = {CLOTHING: noise, TRAINING: rng.normal(1.0, 1.0, N)}
    digits = rng.normal(size=300)
    # classes have scores of their own
    by_class = noise + np.array([-2, 0, 0, 2])[labels]
    detectors = {
        "MSP": own | {DIGITS: digits - 2, "fog 3": noise[:500] - 1.5},
        "Perfect": own | {DIGITS: digits - 40, "fog 3": noise[:500]},
        "Chance": own | {CLOTHING: by_class, DIGITS: rng.choice(by_class, 300)},
    }
    classes = {
        CLOTHING: predicted,
        DIGITS: np.zeros(300),
        "fog 3": np.where(rng.random(500) < 0.4, predicted[:500] + 1, predicted[:500]),
    }
    return detectors, labels, classes


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """`(workdir, results)` of the command."""
    workdir = tmp_path_factory.mktemp("run")
    detectors, labels, predicted = made()
    detect_run(workdir, detectors, labels=labels, predicted=predicted)
    assert run(["decide", f"--workdir={workdir}", *FEW]) == 0
    return workdir, json.loads((workdir / "decide" / "results.json").read_text())


def by_name(results) -> dict[str, dict]:
    return {row["name"]: row for row in results["rows"]}


def test_a_perfect_detector_finds_all(found):
    row = by_name(found[1])["Perfect"]
    assert (row["auroc"][DIGITS], row["found"][DIGITS]) == (1.0, 1.0)
    assert row["batches"][DIGITS]["marginal"]["power"] == 1
    # the least conditional p-value of 400 scores is above 20 / 200 of the level
    assert simes(400, measures.DELTA)[0] > measures.LEVEL / 10
    assert row["batches"][DIGITS]["conditional"]["power"] == 0
    assert 0 < row["batches"][DIGITS]["marginal"]["fdr"] < 0.2


def test_chance_finds_as_many_as_it_gives_false_alarms(found):
    row = by_name(found[1])["Chance"]
    assert row["found"][DIGITS] == pytest.approx(0.05, abs=0.04)
    assert row["batches"][DIGITS]["marginal"]["power"] < 0.02


@pytest.mark.parametrize("alpha", measures.ALPHAS)
def test_false_alarms_are_those_promised(found, alpha):
    for row in found[1]["rows"]:
        of = row["false_alarms"][f"{alpha:g}"]
        k = np.floor(alpha * 401 + 1e-9)
        assert of["promised"] == pytest.approx(k / 401)
        rates = np.array(of["per_split"])
        assert of["mean"] == pytest.approx(rates.mean())
        # one split scatters by calibration and by test images
        spread = np.sqrt(2 * alpha * (1 - alpha) / 400)
        assert abs(of["mean"] - of["promised"]) < 4 * spread / np.sqrt(len(rates))
        low, high = of["interval_tested"]
        assert low < of["interval"][0] < of["promised"] < of["interval"][1] < high


def test_rates_follow_from_ranks(found):
    """Restated for the first split, without p-values."""
    workdir, results = found
    own = read_scores(workdir).detectors["MSP"][CLOTHING]
    order = np.random.default_rng(0).permutation(N)
    limit = np.sort(own[order[:400]])[19]  # 20 of 401 is just below 0.05
    rate = (own[order[400:800]] < limit).mean()
    row = by_name(results)["MSP"]
    assert row["false_alarms"]["0.05"]["per_split"][0] == pytest.approx(rate)
    threshold = np.quantile(read_scores(workdir).detectors["MSP"][TRAINING], 0.05)
    rate = (own <= threshold).mean()
    assert row["training"]["false_alarms"]["0.05"] == pytest.approx(rate)
    assert rate > 0.15  # training scores are higher


def test_corrupted_images_and_classes_break_the_promise(found):
    rows = by_name(found[1])
    # copies that are the images themselves: no copy of one that calibrates
    assert rows["Perfect"]["corrupted"]["fog 3"] == pytest.approx(0.05, abs=0.03)
    assert rows["MSP"]["corrupted"]["fog 3"] > 0.3
    classes = rows["Chance"]["by_class"]
    assert classes[0] > 0.12
    assert classes[3] < 0.02
    assert np.mean(classes) == pytest.approx(0.05, abs=0.02)


def test_abstention_keeps_its_bound_for_such_images_alone(found):
    workdir, results = found
    sets = results["abstain"]["sets"]
    assert list(sets) == [CLOTHING, "fog 3", DIGITS]
    own = sets[CLOTHING]
    spread = np.sqrt(2 * ALPHA / 400 / 6)
    assert own["accepted_and_wrong"] <= ALPHA + 4 * spread
    assert own["wrong"] > 0.1
    assert 0.2 < own["accepted"] < 1
    # a class of an outlier is wrong
    assert sets[DIGITS]["accepted_and_wrong"] == sets[DIGITS]["accepted"]
    kept = read_scores(workdir)
    drawn = measures.splits(N, 400, 400, 2, 0)
    # more errors, and the same scores
    fog = abstention("Perfect", kept, drawn)["sets"]["fog 3"]
    assert fog["accepted_and_wrong"] > 2 * ALPHA
    right = {n: np.zeros(len(c), int) for n, c in kept.predicted.items()}
    kept = kept._replace(predicted=right, labels=np.zeros(N, int))
    own = abstention("MSP", kept, drawn)["sets"][CLOTHING]
    assert (own["accepted"], own["accepted_and_wrong"]) == (1, 0)


def test_batches_at_once_are_rejected_as_one_by_one():
    rng = np.random.default_rng(1)
    # p-values of 30 ranks: many ties, and some on the line
    p = rng.integers(1, 31, (300, 12)) / 30 * rng.choice([1, 0.2, 0.02], (300, 1))
    at_once = measures.benjamini_hochberg(p, 0.1)
    one_by_one = [ood.reject(batch, 0.1, "fdr").reject for batch in p]
    np.testing.assert_array_equal(at_once, one_by_one)
    assert 0.1 < at_once.mean() < 0.9


def test_splits_are_apart_and_no_more_than_half_calibrates():
    for calibrate, test in measures.splits(101, 80, 60, 5, 2):
        assert (len(calibrate), len(test)) == (50, 51)
        assert len({*calibrate, *test}) == 101


def test_sizes_are_the_least_that_will_do(found):
    for size in found[1]["calibration_sizes"]:
        alpha, least = size["alpha"], size["least"]
        assert ood.Calibration.fit(np.arange(least)).least_p <= alpha * (1 + 1e-9)
        assert ood.Calibration.fit(np.arange(least - 1)).least_p > alpha
        n = size["least_conditional"]
        assert simes(n, measures.DELTA)[0] <= alpha < simes(n - 1, measures.DELTA)[0]
        for n, (low, high) in size["intervals"].items():
            k = int(alpha * (int(n) + 1) + 1e-9)
            law = beta(k, int(n) + 1 - k)
            assert (low, high) == pytest.approx(law.interval(0.95))


def test_the_files_show_the_numbers(found):
    workdir, results = found
    out = workdir / "decide"
    page, table = (out / "decisions.html").read_text(), (out / "table.md").read_text()
    for row in results["rows"]:
        mean = f"{100 * row['false_alarms']['0.05']['mean']:.2f} %"
        assert f"| {row['name']} | " in table
        assert mean in table
        assert mean in page
    assert "http://" not in page
    assert (out / "decisions.png").read_bytes()[:4] == b"\x89PNG"
    assert results["left_out"] == {}


def test_an_old_run_without_classes(tmp_path):
    detectors, *_ = made()
    few = {CLOTHING: detectors["MSP"][CLOTHING], DIGITS: detectors["MSP"][DIGITS]}
    detect_run(tmp_path, {"Energy": few})
    out = tmp_path / "out"
    assert run(["decide", f"--workdir={tmp_path}", f"--out={out}", *FEW]) == 0
    results = json.loads((out / "results.json").read_text())
    assert results["abstain"] is None
    assert set(results["left_out"]) == {
        "thresholds by training scores",
        "false alarms by class",
        "abstention",
        "corrupted images",
    }
    assert (out / "decisions.png").exists()


def test_what_cannot_be_decided(found, tmp_path, capsys):
    workdir, _ = found
    assert run(["decide", f"--workdir={workdir}", "--detectors=MSP,Nobody"]) == 2
    said = only_error(capsys.readouterr().err)
    assert "'Nobody'; known: MSP, Perfect, Chance" in said
    assert run(["decide", f"--workdir={tmp_path}"]) == 2
    assert "run `python -m experiments detect`" in only_error(capsys.readouterr().err)
    detect_run(tmp_path, {"MSP": {CLOTHING: np.arange(30.0), DIGITS: np.arange(9.0)}})
    assert run(["decide", f"--workdir={tmp_path}"]) == 2
    assert "30 scores" in only_error(capsys.readouterr().err)
