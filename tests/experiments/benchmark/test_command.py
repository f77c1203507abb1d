"""The command `benchmark`: its files, its order, its failures."""

import csv
import json
from argparse import Namespace

import pytest

from experiments.benchmark import loop
from experiments.benchmark.loop import measure
from experiments.benchmark.run import CaseRun
from experiments.benchmark.throughput import ThroughputReport
from experiments.cli import run
from flowjax_ood.interface.errors import UserError
from tests.helpers.benchmark_runs import TINY, fake_run
from tests.helpers.experiment_runs import only_error

FACTS = {"seconds": 1, "repeats": 2, "interleave": False, "peak_is": "given"}


def made_up(tmp_path, monkeypatch, *, interleave=False, fails=()):
    """`(runs a, b and c, how to measure them, what happens)`.

    `fails`: events that go wrong, as `("prepare", "b")`, with what is raised.
    """
    runs = [fake_run(startup=False, stack=name) for name in "abc"]
    events, wrong = [], dict(fails)

    def happen(what, run):
        event = (what, run.case.settings["stack"])
        events.append(event)
        if event in wrong:
            raise wrong[event]

    def prepare(run):
        happen("prepare", run)
        run.startup, run.call = fake_run().startup, int

    def time(run, seconds):
        happen("time", run)
        run.rounds.append([0.1])

    monkeypatch.setattr(CaseRun, "prepare", prepare)
    monkeypatch.setattr(CaseRun, "time", time)
    args = Namespace(seconds=1, repeats=2, interleave=interleave, profile=None)
    facts = FACTS | {"interleave": interleave}
    report = ThroughputReport(tmp_path, runs, {"float32": {"given": 1e12}}, facts)
    return runs, lambda: measure(runs, report, args), events


def rows_in(directory) -> list[dict]:
    return json.loads((directory / "benchmark.json").read_text())["rows"]


@pytest.mark.thorough
def test_the_command_leaves_a_table_a_figure_and_its_numbers(tmp_path, capsys):
    argv = [*TINY, "--config.model.couplings=2", "--mode=evaluate,sample"]
    quick = ["--seconds=0.02", "--repeats=2", "--peak=0.1", f"--out={tmp_path}"]
    assert run([*argv, *quick, f"--profile={tmp_path / 'traces'}"]) == 0
    content = json.loads((tmp_path / "benchmark.json").read_text())
    assert content["finished"]
    assert content["peak_is"] == "given"
    assert content["config"]["model"]["couplings"] == 2
    rows = content["rows"]
    assert [row["mode"] for row in rows] == ["evaluate", "sample"]
    for row in rows:
        assert row["error"] is None
        assert row["batch_size"] == 8
        low, high = row["images_per_second_min"], row["images_per_second_max"]
        assert 0 < low <= row["images_per_second"] <= high
        by_rate = row["gflop_per_image"] * row["images_per_second"]
        assert row["gflops_per_second"] == pytest.approx(by_rate)
        peak = max(content["peak_flops_per_second"][row["precision"]].values())
        assert row["mfu"] == pytest.approx(1e9 * row["gflops_per_second"] / peak)
    assert rows[0]["ratio"] == 1
    with (tmp_path / "benchmark.csv").open() as file:
        read = list(csv.DictReader(file))
    assert [list(r) for r in read] == [list(r) for r in rows]
    assert float(read[1]["mfu"]) == rows[1]["mfu"]
    assert "| evaluate |" in (tmp_path / "benchmark.md").read_text()
    assert (tmp_path / "benchmark.png").read_bytes()[:4] == b"\x89PNG"
    for mode in ("evaluate", "sample"):
        assert list((tmp_path / "traces" / mode).rglob("*.xplane.pb"))
    shown = capsys.readouterr().out
    assert "[1/2] evaluate" in shown
    assert "left" in shown


def test_one_after_the_other(tmp_path, monkeypatch):
    runs, go, events = made_up(tmp_path, monkeypatch)
    go()
    expected = [(what, name) for name in "abc" for what in ("prepare", "time", "time")]
    assert events == expected
    assert all(r.call is None for r in runs)


def test_by_turns_all_are_compiled_first_and_then_there_and_back(tmp_path, monkeypatch):
    _, go, events = made_up(tmp_path, monkeypatch, interleave=True)
    go()
    assert events[:3] == [("prepare", name) for name in "abc"]
    assert events[3:] == [("time", name) for name in "abccba"]


@pytest.mark.parametrize("interleave", [False, True])
@pytest.mark.parametrize("what", ["prepare", "time"])
def test_a_case_that_fails_does_not_end_the_others(
    tmp_path, monkeypatch, what, interleave
):
    error = MemoryError("full")
    fails = {(what, "b"): error}
    _, go, events = made_up(tmp_path, monkeypatch, interleave=interleave, fails=fails)
    go()
    rows = {row["stack"]: row for row in rows_in(tmp_path)}
    assert rows["b"]["error"] == "MemoryError: full"
    assert rows["b"]["images_per_second"] is None
    for name in "ac":
        assert rows[name]["error"] is None
        assert rows[name]["steps"] == 2
    # it is not tried again
    assert events.count((what, "b")) == 1


def test_what_was_measured_before_an_interrupt_is_there(tmp_path, monkeypatch):
    fails = {("prepare", "c"): KeyboardInterrupt()}
    _, go, _ = made_up(tmp_path, monkeypatch, fails=fails)
    with pytest.raises(KeyboardInterrupt):
        go()
    content = json.loads((tmp_path / "benchmark.json").read_text())
    assert not content["finished"]
    assert [row["images_per_second"] for row in content["rows"]] == [80, 80]


def test_files_are_written_as_it_goes(tmp_path, monkeypatch):
    """The first case is on disk before the second is begun."""
    seen = []
    runs, go, _ = made_up(tmp_path, monkeypatch)
    prepare = CaseRun.prepare

    def looking(self):
        if self is runs[1]:
            seen.extend(rows_in(tmp_path))
        prepare(self)

    monkeypatch.setattr(CaseRun, "prepare", looking)
    go()
    assert [row["steps"] for row in seen] == [2]


def test_the_peak_of_an_allocator_is_that_of_who_raised_it(tmp_path, monkeypatch):
    runs, go, _ = made_up(tmp_path, monkeypatch)
    found = iter([0, 50, 50, 50, 50, 70])  # before and after each
    monkeypatch.setattr(loop, "peak_bytes", lambda: next(found))
    go()
    assert [r.device_peak for r in runs] == [50, None, 70]


def test_that_nothing_could_be_measured_is_an_error(tmp_path, monkeypatch, capsys):
    def prepare(self):
        raise MemoryError("full")

    monkeypatch.setattr(CaseRun, "prepare", prepare)
    argv = [*TINY, "--mode=evaluate", "--peak=1", f"--out={tmp_path}"]
    assert run([*argv, "--config.model.couplings=2"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == "error: no case could be measured; the first: MemoryError: full"
    assert rows_in(tmp_path)[0]["error"] == "MemoryError: full"
    assert not (tmp_path / "benchmark.png").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("--batch=none", "--batch takes sizes"),
        ("--mode=fly", "unknown mode 'fly'"),
        ("--peak=fast", "--peak takes"),
        ("--stack=spiral", "unknown stack 'spiral'"),
        ("--precision=int8", "unknown 'int8'"),
        ("--parallel=magic", "unknown 'magic'"),
        ("--vary=model.coupling=2", "did you mean 'model.couplings'"),
        # the second of two cases: both are looked at before the first is measured
        ("--vary=model.couplings=2,1", "train couplings 1: config.model: 1 couplings"),
    ],
)
def test_impossible_requests_are_errors_before_anything_is_measured(
    capsys, tmp_path, wrong, message
):
    argv = [a for a in TINY if not a.startswith(wrong.partition("=")[0] + "=")]
    out = f"--out={tmp_path / 'out'}"
    assert run([*argv, "--config.model.couplings=2", out, wrong]) == 2
    assert message in only_error(capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_what_is_no_number_of_repeats(capsys):
    with pytest.raises(SystemExit) as left:
        run([*TINY, "--repeats=0"])
    assert left.value.code == 2
    assert "--repeats: '0' is no whole number of at least 1" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write in --out .*file"):
        ThroughputReport(tmp_path / "file", [fake_run()], {}, FACTS)
