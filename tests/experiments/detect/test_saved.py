"""Detectors on the saved outputs of a network of one's own."""

import json
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments.cli import run
from experiments.core import score_cache
from experiments.detect import detectors, saved
from flowjax_ood import ood
from flowjax_ood.ood import protocols
from tests.helpers import blobs
from tests.helpers import detect_stubs as stubs
from tests.helpers.experiment_runs import only_error

pytestmark = pytest.mark.thorough

NET = blobs.NETWORK
SETS = {"test": blobs.TEST, "between": blobs.between(), "grey": blobs.grey()}
VALIDATION = 40
# not what the network says: a temperature is fitted to them
TEST_LABELS = (np.arange(90) % 3).astype(np.int32)
NEED_INPUTS = {
    **dict.fromkeys(("NAC-UE", "Gram"), "needs train_inputs"),
    **dict.fromkeys(("AdaSCALE-A", "AdaSCALE-L"), "needs network.apply"),
    **dict.fromkeys(("i-ODIN", "ODIN", "Mahalanobis", "FSSD"), "needs network.apply"),
    "RankFeat": "needs network.replaced",
    "MC Dropout": "needs network.sample",
}


def arrays(**changes) -> dict:
    outputs = {"train": blobs.TRAIN, **SETS}
    made = {}
    for name, x in outputs.items():
        made[f"{name}_logits"], made[f"{name}_features"], _ = NET.collect(x)
    made |= {"train_labels": blobs.LABELS, "test_labels": TEST_LABELS}
    made |= {"weights": blobs.W, "bias": blobs.B}
    return {k: a for k, a in (made | changes).items() if a is not None}


def save(tmp_path, **changes):
    np.savez(tmp_path / "outputs.npz", **arrays(**changes))
    return tmp_path / "outputs.npz"


def detect(file, out, *arguments):
    return run(["detect", f"--outputs={file}", f"--workdir={out}", *arguments])


@pytest.fixture(scope="module", autouse=True)
def _short():
    with pytest.MonkeyPatch.context() as patch:
        stubs.shorten(patch)
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    room = tmp_path_factory.mktemp("saved")
    assert detect(save(room), room / "out", f"--validation={VALIDATION}") == 0
    return room, json.loads((room / "out" / "results.json").read_text())


def test_all_detectors_of_outputs_are_there(done):
    rows = {(r["name"], r["protocol"]) for r in done[1]["rows"]}
    listed = [*detectors.PUBLISHED, ood.TempScale(), ood.GrOOD()]
    of_outputs = [d for d in listed if d.name not in NEED_INPUTS]
    assert len(of_outputs) >= 36
    expected = {(d.name, detectors.NONE) for d in of_outputs}
    expected |= {(d.name, detectors.REPOSITORY) for d in of_outputs if d.grid}
    assert rows == expected
    assert done[1]["left_out"].keys() == NEED_INPUTS.keys()
    text = (done[0] / "out" / "table.md").read_text()
    for name, why in NEED_INPUTS.items():
        assert why in done[1]["left_out"][name]
        assert f"* {name}: {done[1]['left_out'][name]}" in text
    assert done[1]["evaluated"] == dict.fromkeys(SETS, 90 - VALIDATION)


@pytest.mark.parametrize(
    "detector",
    [ood.MSP(), ood.ViM(), ood.GradUncertainty(), ood.TempScale()],
    ids=lambda d: d.name,
)
def test_values_are_those_of_the_network_itself(done, detector):
    (row,) = (
        r
        for r in done[1]["rows"]
        if (r["name"], r["protocol"]) == (detector.name, detectors.NONE)
    )
    split = protocols.split(90, VALIDATION)
    kept = np.concatenate([split.fit, split.choose])
    of_test = {"id_validation": blobs.TEST[kept], "id_labels": TEST_LABELS[kept]}
    fitted = detector.fit(NET, replace(blobs.given(), **of_test))
    rows = split.test
    inside, *outside = (fitted.score(x[rows]) for x in SETS.values())
    for name, scores in zip(("between", "grey"), outside, strict=True):
        expected = ood.auroc(inside, scores).value
        assert row["auroc_mean"][name] == pytest.approx(expected, abs=1e-6)
    assert row["chosen"] == [pytest.approx(fitted.chosen)]


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


def test_what_the_file_has_no_data_for_is_left_out_by_name(
    tmp_path, monkeypatch, capsys
):
    some = (ood.MSP(), ood.KNN(), ood.ViM(), ood.SHE(), ood.TempScale())
    monkeypatch.setattr(saved, "EVERY", some)
    file = save(tmp_path, weights=None, bias=None, train_labels=None)
    assert detect(file, tmp_path / "out", "--validation=0") == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert {r["name"] for r in results["rows"]} == {"MSP", "KNN"}
    assert set(results["left_out"]) == {"ViM", "SHE", "TempScale"}
    assert "needs network.head" in results["left_out"]["ViM"]
    assert "labels" in results["left_out"]["SHE"]
    assert {r["protocol"] for r in results["rows"]} == {detectors.NONE}
    assert results["evaluated"]["test"] == 90
    assert "* ViM: ViM needs network.head" in capsys.readouterr().out


def test_without_scikit_learn_what_needs_it_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.exceptions", None)
    monkeypatch.setattr(saved, "EVERY", (ood.MSP(), ood.GMM()))
    assert detect(save(tmp_path), tmp_path / "out", "--validation=0") == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [r["name"] for r in results["rows"]] == ["MSP"]
    assert list(results["left_out"]) == ["GMM"]
    assert 'pip install "flowjax_ood[detect]"' in results["left_out"]["GMM"]


def test_arrays_are_hashed_once_for_all_detectors(tmp_path, monkeypatch):
    hashed, digest = [], score_cache.digest

    def counted(*trees):
        hashed.extend(a for a in jax.tree.leaves(trees) if isinstance(a, np.ndarray))
        return digest(*trees)

    monkeypatch.setattr(score_cache, "digest", counted)
    monkeypatch.setattr(saved, "EVERY", (ood.MSP(), ood.MaxLogit()))
    assert detect(save(tmp_path), tmp_path / "out", "--validation=0") == 0
    assert len(hashed) == len(arrays())


OF_TEST = ("test_logits", "test_features", "test_labels")
LOGITS = NET.collect(blobs.TEST).logits


@pytest.mark.parametrize(
    ("changes", "arguments", "said"),
    [
        (dict.fromkeys(OF_TEST), (), "lacks sets, it has"),
        ({"logitz": LOGITS}, (), "has unknown arrays 'logitz'; its arrays are"),
        ({"grey_logits": LOGITS[:5]}, (), "outputs must be [N, ...] of the 5 rows"),
        ({"grey_logits": LOGITS[:, :2]}, (), "grey has 2 logits and 24 features"),
        ({"test_logits": LOGITS > 0}, (), "must be real numbers, got dtype bool"),
        ({}, (), "--validation takes 1000 rows of test, which has 90"),
        ({}, ("--config.seed=1",), "detect --outputs takes no --config keys"),
        ({"bias": blobs.B[:2]}, (), "weights and bias have shapes (24, 3) and (2,)"),
        ({"weights": blobs.W.T}, (), "torch stores them transposed"),
        ({"test_labels": np.arange(7)}, (), "test_labels: labels of shape (7,) do not"),
        ({"test_labels": TEST_LABELS + 1}, (), "test_labels: labels must be the numb"),
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


def test_a_path_is_of_the_user_and_not_empty(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert detect("~/no.npz", tmp_path / "out") == 2
    assert f"{tmp_path}/no.npz" in only_error(capsys.readouterr().err)
    with pytest.raises(SystemExit):
        detect("", tmp_path / "out")
    assert "is a variable unset?" in capsys.readouterr().err
