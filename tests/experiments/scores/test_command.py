"""`scores` compares scores on a battery, and looks once at what is kept back."""

import json
import shutil
import warnings

import numpy as np
import pytest
from scipy.stats import rankdata

from experiments.cli import run
from experiments.core import score_cache
from experiments.core.flow_passes import Passes
from experiments.scores.rows import Row, _of_several
from flowjax_ood import ood
from flowjax_ood.data.outliers.battery import KINDS
from flowjax_ood.ood.flows.combined import TIE
from tests.helpers.experiment_runs import TINY, only_error

FEW = ("--fit=30", "--calibrate=120", "--test=20")


def scores(workdirs, out, *arguments) -> dict:
    which = ",".join(map(str, workdirs))
    assert run(["scores", f"--workdir={which}", f"--out={out}", *FEW, *arguments]) == 0
    return json.loads((out / "results.json").read_text())


def few_rows(flow, members, backgrounds, passes):
    """A score with two sides, one without, a control, and one that cannot be fitted."""
    parts = ood.LogLikelihood(), ood.LatentLikelihood()
    return [
        Row(parts[0]),
        Row(ood.Typicality()),
        Row(ood.MeanIntensity(), control=True, told=("blurred",)),
        Row(ood.Combined(parts, label="both")),  # needs 200 images to calibrate
        *_of_several(members, backgrounds),
    ]


@pytest.fixture(scope="module", autouse=True)
def _few_rows():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.scores.command.rows", few_rows)
        yield


@pytest.fixture(scope="module")
def own_run(tiny_run, tmp_path_factory):
    """A copy of the run: looks are noted in it."""
    return shutil.copytree(tiny_run, tmp_path_factory.mktemp("run") / "tiny")


@pytest.fixture(scope="module")
def first(own_run, tmp_path_factory):
    """Results without a lock, and where they are."""
    out = tmp_path_factory.mktemp("scores")
    return scores([own_run], out), out


def kept(out, name, block) -> dict:
    file = next((out / "scores").glob(f"*/{block}/{name}.npz"))
    _, scored = score_cache._parsed(file, file.read_bytes())
    return scored.scores


@pytest.mark.thorough
def test_the_table_is_of_the_kept_scores(first):
    results, out = first
    assert list(results["blocks"]) == ["seen", "told"]
    assert set(KINDS["seen"]) < set(results["blocks"]["seen"])
    real = {"digits", "glyphs", "emoji", "inverted_emoji"}
    assert real < set(results["blocks"]["seen"])
    assert "saturate" in results["left_out"]
    assert results["images"] == {
        "fit": 30,
        "calibrate": 120,
        "test": 20,
        "taken_from": "training images that no run has seen",
    }
    (facts,) = results["runs"]
    assert (facts["model"], facts["steps"]) == ("real_nvp", 4)
    nats = kept(out, "log_p_x", "in-distribution")["test"]
    assert facts["bits_per_dim"] == pytest.approx(8 - nats.mean() / 784 / np.log(2))
    assert list(results["failed"]) == ["both"]
    assert "200" in results["failed"]["both"]
    rows = {row["score"]: row for row in results["rows"]}
    worst = [row["worst"]["auroc"] for row in results["rows"]]
    assert worst == sorted(worst, reverse=True)
    own = kept(out, "log_p_x", "in-distribution")
    for kind, other in kept(out, "log_p_x", "seen").items():
        ranks = rankdata(np.concatenate([own["test"], other]))[:20]
        area = (ranks.sum() - 20 * 21 / 2) / (20 * len(other))
        measured = rows["log p(x)"]["kinds"][kind]
        assert measured["auroc"] == pytest.approx(area, abs=1e-12)
        low, high = measured["ci95"]
        assert low <= area <= high
        # beyond the lowest of 120: (1 + 0) / 121 is below 1 %
        beyond = np.mean(other < np.sort(own["calibration"])[0])
        assert measured["found"] == pytest.approx(beyond)
    rates = rows["log p(x)"]["alarms"]
    assert rates["0.01"]["rate"] == rows["log p(x)"]["false_alarms"]
    assert rows["log p(x)"]["least_p"] == pytest.approx(1 / 121)
    assert rows["log p(x), two-sided"]["least_p"] == pytest.approx(2 / 121)
    block = rows["log p(x)"]["blocks"]["seen"]
    assert block["mean_ci95"][0] < block["mean"] < block["mean_ci95"][1]
    areas = [rows["log p(x)"]["kinds"][k]["auroc"] for k in results["blocks"]["seen"]]
    assert block["mean"] == pytest.approx(np.mean(areas))
    assert block["worst"]["auroc"] == min(areas)
    # low or high: a second row; low alone: none
    assert "log p(x), two-sided" in rows
    assert "typicality, two-sided" not in rows
    assert {name for name, row in rows.items() if row["control"]} == {
        "mean intensity",
        "mean intensity, two-sided",
    }


def test_the_files_show_the_table(first):
    results, out = first
    table, page = ((out / name).read_text() for name in ("table.md", "scores.html"))
    for row in results["rows"]:
        assert row["score"] in table
        assert row["score"] in page
    # kinds that a score is made of are in brackets
    seen = table.partition("Outliers: seen")[2].partition("Outliers: told")[0]
    lines = seen.splitlines()
    header = next(line for line in lines if line.startswith("| score |"))
    column = header.split(" | ").index("blurred")
    of_row = {
        line.split(" | ")[0]: line.split(" | ")[column].startswith("(")
        for line in lines
        if line.startswith(("| log p(x) |", "| mean intensity (no flow) |"))
    }
    assert of_row == {"| log p(x)": False, "| mean intensity (no flow)": True}
    assert "http://" not in page
    assert "data:image/png;base64," in page
    for picture in ("heatmap.png", "summary.png"):
        assert (out / picture).read_bytes()[:4] == b"\x89PNG"


def plain_picture(*arguments, **options):
    """In place of a heat map, which takes longer than all scores."""
    from matplotlib.figure import Figure

    return Figure((0.1, 0.1))


@pytest.mark.thorough
def test_the_lock_and_resuming(first, own_run, monkeypatch, capsys):
    results, out = first
    monkeypatch.setattr("flowjax_ood.figures.auroc_heat_map", plain_picture)
    assert not (out / "lock.json").exists()
    assert not (own_run / "looks.json").exists()
    assert not list((out / "scores").glob("*/kept_back"))
    seen = []
    outputs = Passes.outputs

    def counted(self, name, images):
        seen.append(name)
        return outputs(self, name, images)

    monkeypatch.setattr(Passes, "outputs", counted)
    capsys.readouterr()
    again = scores([own_run], out)
    told = capsys.readouterr()
    assert "images: 30 to fit and 120 to calibrate by (training" in told.err
    assert "of 4 scores are not in the table" in told.err
    assert "tiny: 9 of 9 results were found in" in told.err
    # log p(x) and what may replace it, of all that was measured
    assert f"AUROC, 2 of {len(again['rows'])} rows" in told.out
    assert "log p(x)" in told.out
    assert "mean intensity" not in told.out
    # but for the one that fails again
    assert not set(seen) - {"fit", "calibration", "test"}, "nothing is computed twice"
    seen.clear()
    assert again["rows"] == results["rows"]
    assert "add --lock" in told.out

    locked = scores([own_run], out, "--lock")
    kept_back = {*KINDS["kept back"], "sklearn_digits"}
    assert set(seen) == {"fit", "calibration", "test", *kept_back}
    assert list(locked["blocks"]) == ["seen", "told", "kept back"]
    assert locked["lock"]["count"] == 1

    # it stays open without being asked for, as long as nothing changes
    seen.clear()
    again = scores([own_run], out)
    assert again["rows"] == locked["rows"]
    assert again["lock"]["count"] == 1
    assert not kept_back & set(seen)

    monkeypatch.setattr("experiments.scores.command.run_scores", refused)
    monkeypatch.setattr("experiments.scores.command.battery", stopped)
    for lock, blocks in ((), ["seen", "told"]), (("--lock",), list(locked["blocks"])):
        with pytest.raises(Stopped) as caught:
            scores([own_run], out, "--seed=1", *lock)
        assert caught.value.args[0] == blocks
    content = json.loads((out / "lock.json").read_text())
    assert content["locks"] == 2
    assert content["earlier"] == [locked["lock"]["digest"]]
    looks = json.loads((own_run / "looks.json").read_text())["digests"]
    assert looks == [locked["lock"]["digest"], content["digest"]]


class Stopped(BaseException):
    """Ends a command where it is about to make outliers of these blocks."""


def stopped(runs, test, seed, blocks):
    raise Stopped(blocks)


def refused(*arguments):
    raise AssertionError("scores without outliers")


@pytest.mark.thorough
def test_what_fits_warn_of_is_said_once(own_run, tmp_path, monkeypatch, capsys):
    fit = ood.Typicality.fit

    def warned(self, *arguments):
        for text in ("an odd flow", f"2 images {TIE}"):
            warnings.warn(text, stacklevel=1)
        return fit(self, *arguments)

    monkeypatch.setattr(ood.Typicality, "fit", warned)
    monkeypatch.setattr("flowjax_ood.figures.auroc_heat_map", plain_picture)
    scores([own_run], tmp_path)
    said = capsys.readouterr().err
    assert said.count("warning: tiny: an odd flow") == 1
    assert TIE not in said


@pytest.mark.thorough
def test_several_runs_are_averaged(first, tiny_run, tmp_path, monkeypatch):
    results, _ = first
    monkeypatch.setattr("flowjax_ood.figures.auroc_heat_map", plain_picture)
    other = shutil.copytree(tiny_run, tmp_path / "other")
    both = scores([tiny_run, other], tmp_path / "out")
    # the same run twice
    rows = {row["score"]: row["kinds"] for row in both["rows"]}
    for kind, area in rows.pop("WAIC").items():
        # equal flows have no variance
        assert area["auroc"] == pytest.approx(rows["log p(x)"][kind]["auroc"])
    assert rows.pop("WAIC, two-sided")
    averaged = [row for row in both["rows"] if row["score"] in rows]
    for row, alone in zip(averaged, results["rows"], strict=True):
        assert row["score"] == alone["score"]
        for kind, area in row["kinds"].items():
            assert area["std"] == 0
            assert area["auroc"] == pytest.approx(alone["kinds"][kind]["auroc"])
    assert len(list((tmp_path / "out" / "scores").iterdir())) == 2


@pytest.mark.thorough
def test_every_background_is_a_row(own_run, tmp_path):
    """Of a flow to itself the ratio is 0, and all images tie; to another, it is not."""
    copies = shutil.copytree(own_run, tmp_path / "copy"), tmp_path / "other"
    assert run(["train", *TINY, "--config.seed=5", f"--workdir={copies[1]}"]) == 0
    twice = shutil.copytree(own_run, tmp_path / "twice")
    given = [f"--background={w}" for w in copies]
    alone = scores([own_run], tmp_path / "out", *given)
    # one for all, and one for each run
    given[1] += f",{copies[0]}"
    both = scores([own_run, twice], tmp_path / "both", *given)
    names = "background ratio (copy)", "background ratio (other)"
    areas = []
    for results in (alone, both):
        rows = {row["score"]: row["kinds"] for row in results["rows"]}
        areas += [[kind["auroc"] for kind in rows[n].values()] for n in names]
    assert set(areas[0]) == set(areas[2]) == {0.5}
    assert max(abs(area - 0.5) for area in areas[1]) > 0.1
    # the mean of that of the first run, and of 0.5
    np.testing.assert_allclose(areas[3], (np.array(areas[1]) + 0.5) / 2, atol=1e-9)


@pytest.mark.parametrize(
    ("match", "arguments"),
    [
        ("names a run more than once", ("--workdir={run},{run}",)),
        ("none", ("--workdir={run}/none",)),
        ("in --workdir and in --background", ("--workdir={run}", "--background={run}")),
        ("names 2 runs, --workdir 1", ("--workdir={run}", "--background={run},{run}")),
        (
            "--background names a run more than once",
            ("--workdir={run}", "--background={other}", "--background={other}"),
        ),
    ],
)
def test_what_cannot_be_compared(tiny_run, tmp_path, capsys, match, arguments):
    other = shutil.copytree(tiny_run, tmp_path / "other")
    arguments = [a.format(run=tiny_run, other=other) for a in arguments]
    assert run(["scores", *arguments, f"--out={tmp_path}"]) == 2
    error = only_error(capsys.readouterr().err)
    assert match in error
