"""`status`: the numbers of a run, and its checkpoints, read from its files alone."""

import json
import shutil
from itertools import pairwise

import pytest

from experiments.status.display import page, table
from experiments.status.files import RunFiles
from tests.helpers import status_runs as runs
from tests.helpers.status_runs import (
    DONE,
    SAVES,
    event,
    holding,
    records,
    seen,
    started,
    write_run,
)


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
    assert RunFiles(workdir).planned == steps


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
    metrics, data = found["attention"]
    assert "metrics.jsonl:2 is not a record" in metrics
    assert data == "unreadable: data.json: it is [], not an object"


METRICS = '{"step": 100, "loss": 1.0}\n'
DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("metrics.jsonl", '{"step": null}\n' + METRICS, "no `step` in it"),
        ("metrics.jsonl", '{"step": "x"}\n' + METRICS, "no `step` in it"),
        ("metrics.jsonl", '{"step": 1, "loss": NaN}\n' + METRICS, "loss is nan"),
        ("metrics.jsonl", '{"step": 1, "seconds": "x"}\n' + METRICS, "seconds is 'x'"),
        ("metrics.jsonl", DEEP + "\n" + METRICS, "is not a record"),
        ("config.json", DEEP, "nested too deeply"),
        ("config.json", "", "it is not JSON"),
        ("config.json", '{"train": 5}', "train is 5, not an object"),
        ("config.json", '{"train": {"num_steps": "x"}}', "train.num_steps is"),
        ("data.json", '{"shape": []}', "shape is [], not a list of at least 1"),
        ("results.json", '{"steps": "x"}', "steps is"),
        ("results.json", '{"steps": 1, "auroc": {"mnist": "x"}}', "auroc.mnist is"),
        ("results.json", '{"bits_per_dim": 5}', "bits_per_dim is 5, not an object"),
    ],
)
def test_garbage_of_a_run_is_said_of_that_run(tmp_path, file, content, said):
    """And ends neither the command nor what it says of others."""
    workdir = write_run(tmp_path / "run", events=DONE, metrics=records(400))
    (workdir / file).write_text(content)
    found = seen(workdir)
    (message,) = found["attention"]
    assert message.startswith(f"unreadable: {file}: ")
    assert said in message
    assert message in " ".join(runs.printed(page(found), 400).split())
    assert "run" in runs.printed(table([found, found], 200), 200)


@pytest.mark.parametrize(
    "garbage",
    [
        {"num_steps": "x"},
        {"num_steps": None},
        {"step": []},
        {"devices": "many"},
        {"num_steps": 1e300},
        {"time": "0001-01-01"},
        {"host": 5, "device": None},
    ],
)
def test_events_that_are_garbage_hide_nothing_else(tmp_path, garbage):
    events = [started(), *SAVES, *(event(150, "checkpoint") | garbage for _ in "ab")]
    events += [started(160) | garbage]
    workdir = write_run(tmp_path / "run", events=events, metrics=records(400))
    found = seen(workdir)
    assert found["step"] == 400
    assert runs.printed(page(found))
    assert runs.printed(table([found, found], 80))


def test_strangers_among_the_checkpoints_are_none(tmp_path):
    workdir = saved(tmp_path)
    for name in ("\u00b2", "700", "notes"):
        (workdir / "checkpoints" / name).mkdir()
    (workdir / "checkpoints" / "800").write_text("")
    found = seen(workdir)
    assert found["checkpoints"] == [200, 400]
    assert found["step"] == 400
    assert found["attention"] == []
