"""`status`: the state of a run in every one of its lives, read from its files alone."""

import fcntl
import json
import re
import shutil
import subprocess
import sys
from itertools import pairwise

import pytest
import status_runs as runs
from experiment_runs import ROOT, only_error, snapshot
from rich.console import Console
from status_runs import BEGAN, event, holding, records, started, write_run

from experiments import status_words as words
from experiments.__main__ import run
from experiments.config import UserError
from experiments.status import look
from experiments.status_files import find_runs, planned_steps, read_run
from experiments.status_page import page
from experiments.status_record import record
from experiments.status_table import table

NOW = BEGAN + 200.0
SAVES = [event(50.0 * k, "checkpoint", step=200 * k, seconds=1.0) for k in (1, 2)]
DONE = [started(), *SAVES, event(190, "finished", step=1000)]


def seen(workdir, now=NOW, **options) -> dict:
    return record(read_run(workdir, **options), now)


def printed(renderable, width=80) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


# --- the state ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("events", "changes", "state", "why"),
    [
        ([], {"metrics": ()}, "new", "nothing trained yet"),
        ([started()], {}, "crashed", "without a word"),
        (
            [started(), event(9, "interrupted", signal="SIGTERM", step=400)],
            {},
            "stopped",
            "by SIGTERM; run the same command again",
        ),
        (
            [started(), event(9, "diverged", step=401, what="loss nan")],
            {},
            "diverged",
            "at step 401: loss nan",
        ),
        (
            [started(), event(9, "failed", error="OSError: disk full")],
            {},
            "crashed",
            "OSError: disk full",
        ),
        (DONE, {"metrics": records(1000)}, "finished", ""),
        (DONE, {"results": {"steps": 1000}}, "evaluated", ""),
        # resumed, and gone again
        (
            [started(), event(9, "interrupted", signal="SIGINT"), started(12, 400)],
            {},
            "crashed",
            "without a word",
        ),
        # a run that is made longer has results of the shorter one
        (
            [*DONE, started(191, 1000, 2000)],
            {"results": {"steps": 1000}},
            "crashed",
            "without a word",
        ),
    ],
)
def test_a_run_nobody_holds(tmp_path, events, changes, state, why):
    # long after the last sign of life
    written = {"metrics": records(400), "checkpoints": [400], "quiet": 9000} | changes
    if state == "new":
        written["checkpoints"] = ()
    found = seen(write_run(tmp_path / "run", events=events, **written))
    assert found["state"] == state
    assert why in found["why"]
    assert found["attention"] == ([found["why"]] if why and state in BAD else [])


BAD = ("crashed", "diverged", "silent")


@pytest.mark.parametrize(
    ("events", "metrics", "quiet", "state"),
    [
        # nothing yet: an old run, or one before its first event
        ([], [], 5, "starting"),
        ([started()], [], 5, "starting"),
        ([started()], [], 2000, "silent"),
        ([started()], records(400), 5, "running"),
        # log lines are 5 s apart
        ([started(), *SAVES], records(400), 100, "running"),
        ([started(), *SAVES], records(400), 200, "silent"),
        # a slow run may be quiet for longer: lines are 500 s apart
        ([started()], records(400, seconds_per_step=10.0), 2000, "running"),
        # before its first checkpoint, whose programs are compiled, too
        ([started()], records(400), 200, "running"),
        # nobody times a validation
        (
            [started(), *SAVES],
            [m | {"validation": 1.0} for m in records(400)],
            200,
            "running",
        ),
        # resumed: the metrics so far are those of an earlier session
        ([started(), started(150, 400)], records(400), 1000, "starting"),
        ([started(), started(150, 300)], records(400), 5, "running"),
        # the lock is taken before the next session tells of itself
        (DONE, records(1000), 5, "starting"),
    ],
)
def test_a_run_that_is_held(tmp_path, events, metrics, quiet, state):
    workdir = write_run(tmp_path / "r", events=events, metrics=metrics, quiet=quiet)
    with holding(workdir):
        found = seen(workdir)
    assert found["state"] == state
    assert bool(found["attention"]) == (state == "silent")


@pytest.mark.parametrize(
    ("host", "quiet", "state"),
    [
        ("elsewhere", 20, "running"),
        ("elsewhere", 2000, "crashed"),
        # here the lock would be seen
        (None, 20, "crashed"),
    ],
)
def test_a_run_of_another_machine_whose_lock_is_not_seen(
    tmp_path, monkeypatch, host, quiet, state
):
    monkeypatch.setattr("platform.node", lambda: "here")
    events = [started(host=host or "here")]
    workdir = write_run(
        tmp_path / "run", events=events, metrics=records(400), quiet=quiet
    )
    assert seen(workdir)["state"] == state


@pytest.mark.parametrize(
    ("last", "saved", "results", "state"),
    [
        (400, 400, None, "stopped"),
        (450, 400, None, "crashed"),
        (1000, 1000, None, "finished"),
        (1000, 1000, {"steps": 1000}, "evaluated"),
        # early stopping ends before the last step, with results of the best one
        (600, 600, {"steps": 450}, "evaluated"),
    ],
)
def test_runs_that_left_no_events(tmp_path, last, saved, results, state):
    workdir = write_run(
        tmp_path / "run", metrics=records(last), checkpoints=[saved], results=results
    )
    found = seen(workdir)
    assert found["state"] == state
    assert found["num_steps"] == 1000
    assert found["sessions"] is None


def test_asking_disturbs_nobody(tmp_path):
    workdir = write_run(tmp_path / "run", events=[started()], checkpoints=[200])
    before = snapshot(workdir)
    with (workdir / ".lock").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert read_run(workdir).held
        fcntl.flock(file, fcntl.LOCK_UN)
        # and the lock is free again after asking
        assert not read_run(workdir).held
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert snapshot(workdir) == before


# --- numbers ------------------------------------------------------------------------


def test_rate_and_eta_go_by_the_clock_between_checkpoints(tmp_path):
    workdir = write_run(
        tmp_path / "run", events=[started(), *SAVES], metrics=records(400)
    )
    with holding(workdir):
        found = seen(workdir)
    # 200 steps in 50 s; the steps alone took 20 s
    assert found["steps_per_second"] == pytest.approx(4.0, rel=1e-3)
    assert found["eta_seconds"] == pytest.approx(150.0, rel=1e-3)
    assert found["fraction"] == 0.4
    assert (found["step"], found["num_steps"]) == (400, 1000)


def test_before_two_checkpoints_the_rate_is_that_of_the_steps(tmp_path):
    # of an earlier session, on a slower machine
    events = [started(), *SAVES, started(120, 400)]
    lines = records(400, seconds_per_step=9.0)
    lines += [
        {"step": 400 + 50 * k, "loss": 1.0, "seconds": 3600 + 5 * k} for k in (1, 2, 3)
    ]
    found = seen(write_run(tmp_path / "run", events=events, metrics=lines))
    assert found["steps_per_second"] == pytest.approx(10.0)
    assert found["eta_seconds"] == pytest.approx(45.0)


def test_a_run_that_is_done_has_no_eta(tmp_path):
    workdir = write_run(tmp_path / "run", events=DONE, metrics=records(1000))
    assert seen(workdir)["eta_seconds"] is None


def test_the_trend_is_told_from_noise(tmp_path):
    falling = seen(write_run(tmp_path / "a", metrics=records(1000)))["metric"]
    assert falling["name"] == "bits_per_dim"
    assert falling["change"] < 0
    assert falling["clear"]
    assert falling["over_steps"] == 500
    flat = [{"step": s, "loss": 2 + (-1) ** s * 0.1} for s in range(1, 41)]
    noise = seen(write_run(tmp_path / "b", metrics=flat))["metric"]
    assert noise["name"] == "loss"
    assert noise["value"] == pytest.approx(2.0)
    assert not noise["clear"]
    assert len(noise["history"]) == 40
    still = [{"step": s, "loss": 2 + 1e-6 * s} for s in range(1, 41)]
    assert not seen(write_run(tmp_path / "d", metrics=still))["metric"]["clear"]
    one = seen(write_run(tmp_path / "c", metrics=flat[:1]))["metric"]
    assert (one["change"], one["clear"]) == (None, False)


def test_a_long_history_is_thinned_and_ends_at_the_last_value(tmp_path):
    lines = [{"step": s, "loss": float(s)} for s in range(1, 1001)]
    history = seen(write_run(tmp_path / "run", metrics=lines))["metric"]["history"]
    assert len(history) <= 60
    assert history[-1] == 1000.0
    assert len({b - a for a, b in pairwise(history)}) == 1


def test_validation_is_the_best_so_far(tmp_path):
    lines = [
        {"step": s, "loss": 1.0, "validation": v} for s, v in [(1, -9.0), (2, -7.5)]
    ]
    lines.append({"step": 3, "loss": 1.0})
    lines.append({"step": 4, "loss": 1.0, "validation": -8.0})
    found = seen(write_run(tmp_path / "run", metrics=lines))
    assert found["validation"] == {"best": -7.5, "step": 2, "last": -8.0}


def test_sessions_machines_and_warnings_are_those_of_the_events(tmp_path):
    events = [
        started(devices=4, processes=1),
        event(40, "warning", message="slow input"),
        event(50, "fallback", step=400, reason="state is missing", to=200),
        started(60, 200),
    ]
    found = seen(write_run(tmp_path / "run", events=events, metrics=records(400)))
    assert found["sessions"] == 2
    assert (found["processes"], found["devices"]) == (2, 8)
    assert (found["device"], found["pid"]) == ("TPU v5e", 7)
    assert found["started"] == runs.at(60)
    assert [w["message"] for w in found["warnings"]] == [
        "slow input",
        "the checkpoint of step 400 was damaged (state is missing), that of step 200 "
        "restored",
    ]


@pytest.mark.parametrize(
    ("config", "name", "shape", "steps"),
    [
        ({"train": {"num_steps": 30}}, "run", None, 30),
        (
            {"train": {"num_steps": 0, "num_epochs": 2, "batch_size": 32}},
            "run",
            [100, 28, 28, 1],
            7,
        ),
        (
            {"train": {"num_steps": 30}, "exposure": {"num_steps": 5}},
            "seed_0_exposed",
            None,
            5,
        ),
        (
            {"train": {"num_steps": 0, "num_epochs": 2, "batch_size": 32}},
            "r",
            None,
            None,
        ),
        ({}, "run", None, None),
    ],
)
def test_planned_steps_of_runs_without_events(tmp_path, config, name, shape, steps):
    workdir = write_run(tmp_path / name, config=config)
    if shape:
        (workdir / "data.json").write_text(json.dumps({"shape": shape}))
    assert planned_steps(read_run(workdir)) == steps


# --- checkpoints --------------------------------------------------------------------


def saved(tmp_path):
    return write_run(tmp_path / "run", metrics=records(400), checkpoints=[200, 400])


def test_the_newest_checkpoint_is_described(tmp_path):
    workdir = saved(tmp_path)
    # what a save leaves while it writes is none
    (workdir / "checkpoints" / "600.orbax-checkpoint-tmp-1").mkdir()
    found = seen(workdir)
    manifest = workdir / "checkpoints" / "400" / "manifest.json"
    size = 1024 + 2 + manifest.stat().st_size
    assert found["checkpoint"] == {
        "step": 400,
        "time": runs.at(200),
        "age_seconds": 0.0,
        "bytes": size,
        "intact": True,
        "damage": "",
    }
    assert found["checkpoints"] == [200, 400]
    assert found["attention"] == []


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda p: (p / "facts").unlink(), "facts is missing"),
        (lambda p: (p / "facts").write_text("{} "), "facts has 3 bytes, not 2"),
        (
            lambda p: (p / "manifest.json").write_text("{"),
            "manifest.json is unreadable",
        ),
        (lambda p: shutil.rmtree(p / "state"), "state/arrays is missing"),
    ],
)
def test_a_damaged_newest_checkpoint_needs_attention(tmp_path, harm, said):
    workdir = saved(tmp_path)
    harm(workdir / "checkpoints" / "400")
    found = seen(workdir)
    assert found["checkpoint"]["intact"] is False
    (message,) = found["attention"]
    assert f"step 400 is damaged ({said}); `train` would go back to step 200" in message


def test_a_flipped_bit_takes_reading_all_of_it(tmp_path):
    workdir = saved(tmp_path)
    (workdir / "checkpoints" / "400" / "state" / "arrays").write_bytes(b"\1" * 1024)
    assert seen(workdir)["checkpoint"]["intact"] is True
    found = seen(workdir, check=True)
    assert "wrong checksum" in found["checkpoint"]["damage"]
    assert found["attention"]


def test_a_checkpoint_without_manifest_is_neither_whole_nor_damaged(tmp_path):
    workdir = saved(tmp_path)
    (workdir / "checkpoints" / "400" / "manifest.json").unlink()
    found = seen(workdir)
    assert found["checkpoint"]["intact"] is None
    assert found["attention"] == []


def test_files_that_cannot_be_read_are_named(tmp_path):
    workdir = saved(tmp_path)
    (workdir / "metrics.jsonl").write_text('{"step": 1}\nnonsense\n{"step": 2}\n')
    (workdir / "data.json").write_text("[]")
    found = seen(workdir)
    assert found["step"] == 400
    metrics, data = found["notes"]
    assert "metrics.jsonl:2 is not a record" in metrics
    assert data == "data.json: not a JSON object"


# --- the command --------------------------------------------------------------------


def tree(tmp_path):
    """Runs as `ablate`, `detect` and a user lay them out, one of them in need."""
    made = [
        write_run(tmp_path / "all" / name, events=DONE, metrics=records(1000))
        for name in (
            "abl/runs/mask_a/seed_0",
            "abl/runs/mask_b/seed_0",
            "det/networks/x",
        )
    ]
    crashed = write_run(tmp_path / "all" / "one", events=[started()], quiet=9000)
    # below a run there is no other one
    write_run(crashed / "checkpoints" / "copy")
    runs.set_times(crashed, NOW - 9000)
    return [*made, crashed]


def test_runs_are_found_below_a_directory(tmp_path):
    made = tree(tmp_path)
    assert find_runs(tmp_path / "all") == made
    assert find_runs(tmp_path / "all" / "abl") == made[:2]
    assert find_runs(made[-1]) == [made[-1]]
    # each once, however often it is named
    names = [r["name"] for r in look([tmp_path / "all" / "abl", made[0], made[-1]])]
    assert names == ["abl/runs/mask_a/seed_0", "abl/runs/mask_b/seed_0", "one"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no run"):
        find_runs(tmp_path / "empty")
    with pytest.raises(UserError, match="no directory"):
        find_runs(tmp_path / "nowhere")


def test_the_exit_status_says_whether_all_is_well(tmp_path, capsys):
    made = tree(tmp_path)
    assert run(["status", f"--workdir={made[0]}"]) == 0
    assert run(["status", "--workdir", str(made[0]), str(made[-1])]) == 1
    shown = capsys.readouterr().out
    assert "crashed" in shown
    assert run(["status", f"--workdir={tmp_path / 'none'}"]) == 2
    assert "give the --workdir of a run" in only_error(capsys.readouterr().err)
    assert run(["status", f"--workdir={made[0]}", "--config.seed=1"]) == 2
    assert "takes no --config keys" in only_error(capsys.readouterr().err)


def test_json_is_for_scripts(tmp_path, capsys):
    made = tree(tmp_path)
    assert run(["status", "--workdir", str(tmp_path / "all"), "--json"]) == 1
    content = json.loads(capsys.readouterr().out)
    assert content["attention"] == 1
    assert [r["workdir"] for r in content["runs"]] == [str(m) for m in made]
    assert content["time"].endswith("Z")
    # its schema is documented, key by key
    from experiments import status_record

    documented = set(re.findall(r"`(\w+)`", status_record.__doc__))
    assert set(content["runs"][0]) <= documented
    assert set(content) <= documented | {"time", "attention", "runs"}


def test_watching_goes_on_until_it_is_interrupted(tmp_path, capsys, monkeypatch):
    workdir = write_run(tmp_path / "run", events=DONE, metrics=records(1000))
    naps = []

    def sleep(seconds):
        naps.append(seconds)
        if len(naps) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    arguments = ["status", f"--workdir={workdir}", "--json", "--watch=2.5"]
    assert run(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["attention"] for line in lines] == [0, 0, 0]
    assert naps == [2.5, 2.5, 2.5]


@pytest.mark.parametrize("text", ["0", "-1", "nan", "soon", "inf"])
def test_other_intervals_are_refused(capsys, text):
    with pytest.raises(SystemExit) as left:
        run(["status", "--workdir=w", f"--watch={text}"])
    assert left.value.code == 2
    assert "a number of seconds from 0.1 on, such as 10" in capsys.readouterr().err


def test_it_answers_without_jax(tmp_path):
    workdir = write_run(tmp_path / "run", events=DONE, metrics=records(1000))
    program = (
        "import sys; from experiments.__main__ import run; "
        f"assert run(['status', '--workdir', {str(workdir)!r}]) == 0; "
        "heavy = {'jax', 'numpy', 'orbax', 'matplotlib'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


# --- what people see ----------------------------------------------------------------


def shown_run(tmp_path, **changes):
    events = [
        started(),
        *SAVES,
        event(120, "warning", message="[brackets] are no markup"),
    ]
    written = {"metrics": records(450), "checkpoints": [200, 400]} | changes
    workdir = write_run(tmp_path / "run", events=events, **written)
    with holding(workdir):
        return seen(workdir)


@pytest.mark.parametrize("width", [80, 120])
def test_the_page_of_one_run(tmp_path, width):
    text = printed(page(shown_run(tmp_path)), width)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    for words_there in (
        "● running",
        "450 of 1,000 steps  45 %",
        "4 steps/s · 640 images/s · 0.3 % waiting for input",
        "bits/dim",
        "↓",
        "step 400, 0 s ago, 1.1 kB, whole; also 200",
        "8 × TPU v5e, 2 processes; elsewhere, pid 7",
        "[brackets] are no markup",
        "2 min, at ",
    ):
        assert words_there in text


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_of_several_fits_the_terminal(tmp_path, width):
    long = "a_rather_long_name_of_an_experiment_nobody_would_want_to_type_again"
    names = [f"{long}/seed_{seed}" for seed in range(3)]
    one = shown_run(tmp_path)
    several = [one | {"name": name} for name in names]
    several[1] |= {"state": "crashed", "attention": ["it ended"], "notes": ["note"]}
    text = printed(table(several, width), width)
    rows = [line for line in text.splitlines() if "running" in line or "✖" in line]
    assert [line.split()[0][-7:] for line in rows[:3]] == [n[-7:] for n in names]
    # nothing but names gives way
    assert [line.count("…") for line in rows[:3]] == [1, 1, 1]
    for words_there in ("● running", "✖ crashed", "45 %", "2 min", "0 s ago", "↓"):
        assert words_there in text
    assert f"{names[1]}: it ended" in " ".join(text.split())
    assert "3 runs: 2 running, 1 crashed" in text
    assert ("TPU v5e" in text) == (width == 120)


def test_the_page_of_an_empty_run_says_no_more_than_is_known(tmp_path):
    text = printed(page(seen(write_run(tmp_path / "run", config={}))))
    assert "· new" in text
    assert "0 of ? steps" in text
    for absent in ("speed", "ETA", "bits/dim", "machine", "sessions", "None"):
        assert absent not in text


def test_an_evaluated_run_shows_its_results(tmp_path):
    results = {
        "steps": 1000,
        "in_distribution": "fashion_mnist",
        "bits_per_dim": {"fashion_mnist": 2.913, "mnist": 1.9},
        "auroc": {"mnist": 0.085},
    }
    workdir = write_run(
        tmp_path / "run", events=DONE, metrics=records(1000), results=results
    )
    text = printed(page(seen(workdir)))
    assert "✔ evaluated" in text
    assert "2.913 bits/dim" in text
    assert "mnist 0.085" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "?"),
        (0.4, "0 s"),
        (99, "99 s"),
        (100, "2 min"),
        (3569, "59 min"),
        (3571, "1 h 00 min"),
        (8000, "2 h 13 min"),
        (57_600, "16 h"),
        (367_200, "4 d 6 h"),
        (1_000_000, "12 d"),
    ],
)
def test_durations(seconds, text):
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1110, "1.1 kB"),
        (43e6, "43 MB"),
        (9.99e11, "999 GB"),
    ],
)
def test_sizes(count, text):
    assert words.size(count) == text


def test_percentages_are_never_more_than_done():
    fractions = (None, 0.0, 0.004, 0.999, 1.0)
    assert [words.percent(f) for f in fractions] == ["", "0 %", "<1 %", "99 %", "100 %"]


def test_sparklines_show_the_course():
    assert words.sparkline([1.0]) == ""
    assert words.sparkline([2.0, 2.0, 2.0]) == "▁▁▁"
    line = words.sparkline([float(v) for v in range(8)])
    assert line == "".join(sorted(line))
    assert (line[0], line[-1]) == ("▁", "█")
    # one value far above the others does not flatten them
    course = words.sparkline([1000.0, 4.0, 3.0, 2.0, 1.0])
    assert course[0] == "█"
    assert len(set(course[1:])) >= 3
