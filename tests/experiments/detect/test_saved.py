"""Detectors on the saved outputs of a network of one's own."""

import json

import numpy as np
import pytest

from experiments.cli import run
from experiments.detect import detectors
from flowjax_ood import ood
from flowjax_ood.ood import protocols
from tests.helpers import blobs
from tests.helpers.experiment_runs import only_error

NET = blobs.NETWORK
SETS = {"test": blobs.TEST, "between": blobs.between(), "grey": blobs.grey()}
VALIDATION = 40


def arrays(**changes) -> dict:
    outputs = {"train": blobs.TRAIN, **SETS}
    made = {}
    for name, x in outputs.items():
        made[f"{name}_logits"], made[f"{name}_features"], _ = NET.collect(x)
    made |= {"train_labels": blobs.LABELS, "weights": blobs.W, "bias": blobs.B}
    return {k: a for k, a in (made | changes).items() if a is not None}


def save(tmp_path, **changes):
    np.savez(tmp_path / "outputs.npz", **arrays(**changes))
    return tmp_path / "outputs.npz"


def detect(file, out, *arguments):
    return run(["detect", f"--outputs={file}", f"--workdir={out}", *arguments])


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    room = tmp_path_factory.mktemp("saved")
    assert detect(save(room), room / "out", f"--validation={VALIDATION}") == 0
    return room, json.loads((room / "out" / "results.json").read_text())


def test_all_detectors_of_outputs_are_there(done):
    rows = {(r["name"], r["protocol"]) for r in done[1]["rows"]}
    of_outputs = [d for d in detectors.PUBLISHED if type(d).fit is ood.Detector.fit]
    assert len(of_outputs) > 15
    expected = {(d.name, detectors.NONE) for d in of_outputs}
    expected |= {(d.name, detectors.REPOSITORY) for d in of_outputs if d.grid}
    assert rows == expected
    assert done[1]["left_out"] == {}
    assert done[1]["evaluated"] == dict.fromkeys(SETS, 90 - VALIDATION)


@pytest.mark.parametrize(
    "detector", [ood.MSP(), ood.MahalanobisFeatures(), ood.ViM()], ids=lambda d: d.name
)
def test_values_are_those_of_the_network_itself(done, detector):
    (row,) = (
        r
        for r in done[1]["rows"]
        if (r["name"], r["protocol"]) == (detector.name, detectors.NONE)
    )
    fitted = detector.fit(NET, blobs.given())
    rows = protocols.split(90, VALIDATION).test
    inside, *outside = (fitted.score(x[rows]) for x in SETS.values())
    for name, scores in zip(("between", "grey"), outside, strict=True):
        expected = ood.auroc(inside, scores).value
        assert row["auroc_mean"][name] == pytest.approx(expected, abs=1e-6)


def test_settings_are_chosen_by_rows_that_are_not_tested(done):
    runs = [r for r in done[1]["rows"] if r["protocol"] == detectors.REPOSITORY]
    (row,) = (r for r in runs if r["name"] == "KNN")
    parts = {n: protocols.split(90, VALIDATION) for n in SETS}
    inside, outside = (
        SETS[n][np.concatenate([parts[n].fit, parts[n].choose])]
        for n in ("test", "between")
    )
    given = blobs.given(id_validation=inside, ood_validation=outside)
    chosen = ood.Tuned(ood.KNN()).fit(NET, given).chosen
    assert row["chosen"][0] == pytest.approx(chosen)
    assert len(row["chosen"]) == 2


def test_a_second_call_reads_its_scores_and_the_table_is_there(done, capsys):
    room, _ = done
    before = {f: f.stat().st_mtime_ns for f in (room / "out" / "scores").iterdir()}
    assert detect(room / "outputs.npz", room / "out", f"--validation={VALIDATION}") == 0
    after = {f: f.stat().st_mtime_ns for f in (room / "out" / "scores").iterdir()}
    assert after == before
    assert (room / "out" / "scores.png").stat().st_size > 10_000
    text = (room / "out" / "table.md").read_text()
    assert text in capsys.readouterr().out
    assert "### test (50) against between (50)" in text


def test_what_the_file_has_no_data_for_is_left_out_by_name(tmp_path, capsys):
    file = save(tmp_path, weights=None, bias=None, train_labels=None)
    assert detect(file, tmp_path / "out", "--validation=0") == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    names = {r["name"] for r in results["rows"]}
    assert {"MSP", "KNN"} <= names
    assert not {"ViM", "SHE"} & names
    assert "needs network.head" in results["left_out"]["ViM"]
    assert "labels" in results["left_out"]["SHE"]
    assert {r["protocol"] for r in results["rows"]} == {detectors.NONE}
    assert results["evaluated"]["test"] == 90
    assert "* ViM: ViM needs network.head" in capsys.readouterr().out


LOGITS = NET.collect(blobs.TEST).logits


@pytest.mark.parametrize(
    ("changes", "arguments", "said"),
    [
        ({"test_logits": None, "test_features": None}, (), "lacks sets, it has"),
        ({"logitz": LOGITS}, (), "has unknown arrays 'logitz'; its arrays are"),
        ({"grey_logits": LOGITS[:5]}, (), "outputs must be [N, ...] of the 5 rows"),
        ({"grey_logits": LOGITS[:, :2]}, (), "grey has 2 logits and 24 features"),
        ({"test_logits": LOGITS > 0}, (), "must be real numbers, got dtype bool"),
        ({}, (), "--validation takes 1000 rows of test, which has 90"),
        ({}, ("--config.seed=1",), "detect --outputs takes no --config keys"),
        ({"bias": blobs.B[:2]}, (), "weights and bias have shapes (24, 3) and (2,)"),
        ({"weights": blobs.W.T}, (), "torch stores them transposed"),
    ],
)
def test_what_cannot_be_used_is_one_error(tmp_path, capsys, changes, arguments, said):
    out = tmp_path / "out"
    assert detect(save(tmp_path, **changes), out, *arguments) == 2
    assert said in only_error(capsys.readouterr().err)
    assert not out.exists()


def test_a_file_that_is_none_is_one_error(tmp_path, capsys):
    (tmp_path / "outputs.npz").write_bytes(b"no archive")
    assert detect(tmp_path / "outputs.npz", tmp_path / "out") == 2
    assert "not an .npz archive" in only_error(capsys.readouterr().err)
    assert detect(tmp_path / "no.npz", tmp_path / "out") == 2
    assert "no.npz" in only_error(capsys.readouterr().err)


def test_validation_is_of_outputs_alone(tmp_path, capsys):
    config = "experiments/configs/fashion_mnist_detect.py:smoke"
    arguments = ["detect", f"--config={config}", f"--workdir={tmp_path}"]
    assert run([*arguments, "--validation=5"]) == 2
    assert "config.detect.validation" in only_error(capsys.readouterr().err)
    with pytest.raises(SystemExit):
        run([*arguments, "--outputs=x.npz"])
