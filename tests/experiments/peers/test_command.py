"""The comparison with other libraries: equal work, no row lost, errors that help."""

import json

import numpy as np
import pytest

from experiments.cli import run
from experiments.peers import command, processes
from experiments.peers.jax_detectors import ours as our_detector
from experiments.peers.jax_flows import ours, ours_scan
from experiments.peers.table import (
    COLUMNS,
    DETECTOR_COLUMNS,
    detectors_markdown,
    markdown,
)
from experiments.peers.tasks import (
    DETECTORS,
    FLOWS,
    OURS,
    FeatureShape,
    Library,
    Shape,
)
from flowjax_ood import ood
from flowjax_ood.ood import summaries
from tests.helpers.experiment_runs import only_error

SMALL = Shape(dim=6, couplings=2, width=8, layers=2, bins=4, batch=16)
FEW = FeatureShape(rows=90, dim=64, classes=3, scored=20)
LIBRARIES, TASKS = FLOWS.libraries, FLOWS.tasks
OTHERS = [name for name in LIBRARIES if not name.startswith(OURS)]


def parameters(shape: Shape, task: str) -> int:
    """Of MLPs that see one half and give numbers for each value of the other.

    Those of autoregressive maps see and give all; masked weights count.
    """
    numbers = 3 * shape.bins - 1 if task == "spline" else 2
    values = shape.dim if task == "autoregressive" else shape.dim // 2
    w = shape.width
    hidden = (values + 1) * w + (shape.layers - 1) * (w + 1) * w
    return shape.couplings * (hidden + (w + 1) * numbers * values)


@pytest.mark.thorough
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("builder", [ours, ours_scan])
def test_our_calls_train_the_density_they_give(builder, task):
    calls = builder(SMALL, task, SMALL.data())
    before = np.asarray(calls.log_prob())
    assert before.shape == (SMALL.batch,)
    # `log_prob` keeps its parameters: the first loss is theirs
    losses = [calls.train() for _ in range(5)]
    np.testing.assert_allclose(losses[0], -before.mean(), rtol=1e-6)
    assert losses[-1] < losses[0]
    np.testing.assert_array_equal(calls.log_prob(), before)
    assert calls.sample().shape == (SMALL.batch, SMALL.dim)


@pytest.mark.multiprocess
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", OTHERS)
def test_libraries_do_the_same_work(name, task):
    if not processes.installed(LIBRARIES[name]):
        pytest.skip(f"{LIBRARIES[name].package} is not installed")
    if task in LIBRARIES[name].lacks:
        pytest.skip(f"{name} has no such flow")
    with processes.workers([name], threads=1) as running:
        built = running[name].build("flows", task, SMALL, threads=1)
        density = running[name].ask(first="log_prob")
        loss = running[name].ask(first="train")
        drawn = running[name].ask(first="sample")
    # flowjax trains a location and a scale, or the slopes at both ends, besides
    assert 0.99 < built["parameters"] / parameters(SMALL, task) < 1.3
    # of unit Gaussians, moved by networks at their start
    assert abs(drawn["first_value"]) < 1
    np.testing.assert_allclose(loss["first_value"], -density["first_value"], rtol=1e-5)


@pytest.mark.thorough
@pytest.mark.multiprocess
def test_no_row_is_lost(monkeypatch, tmp_path, capsys):
    """Ours is measured; one fails in its process, and one is not there."""
    broken, missing = "broken", "missing"
    lost = Library("json", LIBRARIES[OURS].module, "ours", "unknown to the worker")
    monkeypatch.setitem(LIBRARIES, broken, lost)
    absent = lost._replace(package="no_such_package")
    monkeypatch.setitem(LIBRARIES, missing, absent)
    monkeypatch.setitem(LIBRARIES, "without", LIBRARIES[OURS]._replace(lacks=TASKS))
    command.main(
        tmp_path / "new" / "out",
        "flows",
        [OURS, broken, missing, "without"],
        ["affine"],
        SMALL,
        rounds=2,
        seconds=0.01,
    )
    content = json.loads((tmp_path / "new" / "out" / "peers.json").read_text())
    rows = {row["library"]: row for row in content["rows"]}
    assert [*rows] == [OURS, broken, missing, "without"]
    assert rows["without"]["status"] == "has none"
    assert rows[missing]["status"] == "not installed"
    assert rows[broken]["status"] == "failed: KeyError: 'broken' (exit status 1)"

    mine = rows[OURS]
    assert mine["status"] == "measured"
    # the scale of ours has its own numbers, two for each value changed
    scales = SMALL.couplings * SMALL.dim
    assert mine["parameters"] == parameters(SMALL, "affine") + scales
    assert set(mine["versions"]) == {OURS, "jax", "jaxlib"}
    for mode in FLOWS.modes:
        measured = mine[mode]
        assert measured["ours_over_this"] == 1
        low, high = (measured[f"examples_per_second_{m}"] for m in ("min", "max"))
        assert 0 < low <= measured["examples_per_second"] <= high
        assert measured["first_call_seconds"] > 0
    assert content["machine"]["cores"] >= 1

    said = capsys.readouterr().out
    assert markdown(content) in said
    assert f"| {missing} | not installed |" in said
    assert f"| {broken} | failed: KeyError" in said


@pytest.mark.parametrize("turn", range(4))
def test_every_library_has_one_turn_a_round_and_begins_in_its_time(turn):
    names = ["a", "b", "c"]
    turns = command._turns(names, turn)
    assert sorted(turns) == names
    assert turns[0] == names[turn % 3]


def test_ratios_are_of_the_same_round():
    rates = {OURS: [10.0, 40.0, 30.0], "slow": [5.0, 10.0, 10.0], "lost": [1.0]}
    ratio = command._ratio(rates, "slow")
    assert ratio["ours_over_this"] == 3
    assert (ratio["ours_over_this_min"], ratio["ours_over_this_max"]) == (2, 4)
    assert command._ratio(rates, "lost") == {}


def test_the_table_has_as_many_cells_in_every_line():
    rate = dict.fromkeys(
        (
            "examples_per_second",
            "examples_per_second_min",
            "examples_per_second_max",
            "first_call_seconds",
        ),
        1234.5,
    )
    ratio = {"ours_over_this": 2.0, "ours_over_this_min": 1.5}
    ratio["ours_over_this_max"] = 2.5
    shared = {"task": "affine", "how": "jit", "status": "measured"}
    shared |= {"versions": {"p": "1.0"}, "parameters": 1000, "train": rate | ratio}
    rows = [
        {"library": "a", **shared, "log_prob": rate | ratio, "sample": rate},
        {"library": "b", **shared, "log_prob": rate, "sample": rate},
        {"library": "c", "task": "affine", "status": "not installed"},
    ]
    machine = {"processor": "fast", "cores": 2}
    shape = {"couplings": 8, "dim": 64, "layers": 2, "width": 256, "batch": 512}
    text = markdown({"machine": machine, "shape": shape, "rounds": 3, "rows": rows})
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 5
    assert {line.count("|") for line in lines} == {len(COLUMNS) + 1}
    assert lines[2].startswith("| a 1.0 | jit | 1,000 | 1,234 (1,234-1,234) | 2.00 (1.")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--library=fluxjax"], "unknown library 'fluxjax'; known: flowjax_ood, "),
        (["--task=affine,spine"], "unknown task 'spine'; known: affine, spline,"),
        (["--of=detectors", "--task=MPS"], "unknown task 'MPS'; known: MSP, MaxLogit,"),
        (["--of=detectors", "--batch=8"], "--batch is of flows, not of detectors"),
        (["--config.seed=1"], "peers takes no --config keys"),
    ],
)
def test_what_cannot_be_compared_is_one_error(capsys, tmp_path, arguments, said):
    out = tmp_path / "out"
    assert run(["peers", f"--out={out}", *arguments]) == 2
    assert said in only_error(capsys.readouterr().err)
    assert not out.exists()


def test_a_library_that_was_asked_for_must_be_there(capsys, monkeypatch, tmp_path):
    absent = Library("no_such_package", "", "", "")
    monkeypatch.setitem(LIBRARIES, "zuko", absent)
    assert run(["peers", f"--out={tmp_path / 'out'}", "--library=zuko"]) == 2
    message = only_error(capsys.readouterr().err)
    assert "no_such_package is not installed; pip install" in message
    assert "flowjax_ood[peers]" in message
    assert not (tmp_path / "out").exists()


def test_an_out_that_is_a_file_is_an_error(capsys, tmp_path):
    (tmp_path / "out").touch()
    assert run(["peers", f"--out={tmp_path / 'out'}"]) == 2
    assert "cannot write in --out" in only_error(capsys.readouterr().err)


def test_features_are_classified_by_their_last_layer():
    data = FEW.data()
    predicted = np.argmax(data.train @ data.weights + data.bias, axis=1)
    assert (predicted == data.labels).mean() > 0.8
    assert all(part.dtype == np.float32 for part in data if part is not data.labels)


@pytest.mark.parametrize("task", DETECTORS.tasks)
def test_our_detectors_are_fitted_anew_and_score(task, monkeypatch):
    """A second fit gathers its means and sums again: none is kept from the first."""
    calls, added = our_detector(FEW, task, FEW.data()), []
    for summary in (summaries.Bank, summaries.MomentsOf):
        add = summary.add
        monkeypatch.setattr(
            summary, "add", lambda *a, add=add: (added.append(1), add(*a))[1]
        )
    calls.fit()
    first = len(added)
    calls.fit()
    assert len(added) == 2 * first
    scores = calls.score()
    assert scores.shape == (FEW.scored,)
    if task in ("MSP", "NNGuide", "ODIN", "MahalanobisFeatures"):
        # the first half is of the classes, and the second is not
        assert ood.auroc(scores[:10], scores[10:]).value > 0.8


@pytest.mark.thorough
@pytest.mark.multiprocess
def test_detectors_are_compared(monkeypatch, tmp_path, capsys):
    """With ourselves in the other library's stead: the same scores, and all columns."""
    other = DETECTORS.libraries[OURS]
    absent = other._replace(package="no_such_package")
    monkeypatch.setitem(DETECTORS.libraries, "missing", absent)
    compared = [OURS, "missing"]
    command.main(tmp_path, "detectors", compared, ["MSP"], FEW, rounds=2, seconds=0.01)
    content = json.loads((tmp_path / "peers_detectors.json").read_text())
    mine, lost = content["rows"]
    assert mine["score"]["rank_correlation"] == 1
    for mode in ("fit", "score"):
        assert mine[mode]["examples_per_second"] > 0
        assert mine[mode]["first_call_seconds"] > 0
    assert lost["status"] == "not installed"
    content["rows"] = [mine, mine | {"library": "the same"}, lost]
    lines = detectors_markdown(content).splitlines()[2:]
    assert {line.count("|") for line in lines} == {len(DETECTOR_COLUMNS) + 1}
    assert lines[2].startswith("| MSP | 0.")
    assert "1.00 (1.00-1.00)" in lines[2]
    assert lines[2].endswith("1.0000 |")
    assert "missing: not installed" in lines[3]
    assert "missing: not installed" in capsys.readouterr().out


def test_what_was_measured_outlives_an_interruption(monkeypatch, tmp_path):
    def compare(contest, names, task, *_):
        if task == "spline":
            raise KeyboardInterrupt
        return [{"task": task, "status": "measured"}]

    monkeypatch.setattr(command, "compare", compare)
    with pytest.raises(KeyboardInterrupt):
        command.main(tmp_path, "flows", [], ["affine", "spline"], FLOWS.shape)
    kept = json.loads((tmp_path / "peers.json").read_text())
    assert [row["task"] for row in kept["rows"]] == ["affine"]
