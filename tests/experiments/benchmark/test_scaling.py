"""`benchmark --devices`: weak scaling, and what its numbers are."""

import json
import os
import subprocess
import sys

import jax
import pytest

from experiments.benchmark.cases import Case
from experiments.benchmark.scaling import (
    ScalingReport,
    ScalingRun,
    all_reduce,
    make_rows,
    on_devices,
)
from experiments.cli import run
from experiments.core.config import load_config
from tests.helpers.benchmark_runs import MIB, fake_run
from tests.helpers.experiment_runs import CONFIGS, only_error

SMALL = (
    "model.scales=1",
    "model.mask=checkerboard",
    "model.norm=none",
    "model.width=2",
    "model.blocks=0",
    "model.couplings=2",
)
TINY = (
    "benchmark",
    f"--config={CONFIGS / 'demo.py'}:smoke",
    *(f"--config.{key}" for key in SMALL),
    "--batch=8",
)
FACTS = {"seconds": 1, "repeats": 2, "interleave": True, "cores": 2}


def on(devices: int, rounds=(), reduce=(), **settings) -> ScalingRun:
    plain = fake_run(
        rounds,
        batch_size=8 * devices,
        devices=devices,
        batch_per_device=8,
        **settings,
    )
    made = ScalingRun(plain.case, plain.name, plain.counts, reduced=3 * MIB)
    made.startup, made.rounds = plain.startup, plain.rounds
    made.reduce_rounds = [list(times) for times in reduce]
    return made


def test_efficiency_is_the_time_on_one_device_by_that_on_several():
    one = on(1, [[0.1], [0.2]])
    # round against round, 0.5 and 0.8; four times the images
    four = on(4, [[0.2], [0.25]], reduce=[[0.009], [0.009]])
    first, second = make_rows([one, four], paired=True)
    assert [first["efficiency"], first["speedup"]] == [1, 1]
    assert first["all_reduce_ms"] is None
    assert second["step_ms"] == pytest.approx(225)
    assert second["images_per_second"] == pytest.approx(32 / 0.225)
    assert second["efficiency"] == pytest.approx(0.65)
    assert second["efficiency_min"] == pytest.approx(0.5)
    assert second["efficiency_max"] == pytest.approx(0.8)
    assert second["speedup"] == pytest.approx(2.6)
    assert second["all_reduce_mib"] == 3
    assert second["all_reduce_ms"] == pytest.approx(9)
    assert second["all_reduce_share"] == pytest.approx(0.04)


def test_steps_of_a_call_are_counted():
    (row,) = make_rows([on(2, [[0.4]], steps_per_call=4)], paired=False)
    assert row["step_ms"] == pytest.approx(100)
    assert row["images_per_second"] == pytest.approx(160)


def test_each_case_is_compared_with_itself():
    runs = [
        on(n, [[seconds]], parallel=mode)
        for mode, times in (("jit", (0.1, 0.2)), ("shard_map", (0.3, 0.3)))
        for n, seconds in zip((1, 8), times, strict=True)
    ]
    found = [row["efficiency"] for row in make_rows(runs, paired=False)]
    assert found == pytest.approx([1, 0.5, 1, 1])


def test_a_case_that_failed_has_a_row_that_says_so(tmp_path):
    wrong = on(8)
    wrong.error = "MemoryError: full"
    ScalingReport(tmp_path, [on(1, [[0.1]]), wrong], FACTS).close(True)
    content = json.loads((tmp_path / "weak_scaling.json").read_text())
    assert [row["step_ms"] for row in content["rows"]] == [pytest.approx(100), None]
    text = (tmp_path / "weak_scaling.md").read_text()
    assert "Failed: train devices 8: MemoryError: full" in text


def test_every_device_gets_the_batch_of_the_config():
    config = load_config(f"{CONFIGS / 'demo.py'}:smoke", ["train.batch_size=6"])
    cases = on_devices([Case("train", config, {"batch_size": 6})], [1, 2, 8])
    assert [case.config.train.batch_size for case in cases] == [6, 12, 48]
    assert [case.settings["batch_size"] for case in cases] == [6, 12, 48]
    assert {case.settings["batch_per_device"] for case in cases} == {6}
    assert config.train.batch_size == 6


@pytest.mark.thorough
def test_the_command_leaves_its_table(tmp_path, capsys):
    quick = ["--seconds=0.02", "--repeats=2", f"--out={tmp_path}"]
    assert run([*TINY, "--devices=1", *quick]) == 0
    content = json.loads((tmp_path / "weak_scaling.json").read_text())
    assert content["finished"]
    (row,) = content["rows"]
    assert row["efficiency"] == 1
    assert row["images_per_second"] == pytest.approx(8e3 / row["step_ms"])
    assert row["all_reduce_mib"] == pytest.approx(4 * row["parameters"] / MIB)
    assert "cores of one CPU" in (tmp_path / "weak_scaling.md").read_text()
    assert "[1/1] train devices 1" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.multiprocess
def test_several_devices_are_measured(tmp_path):
    """In a process of its own, as the number of devices is set before JAX starts."""
    sweep = ["--devices=1,2", "--parallel=jit,pmap", "--vary=train.steps_per_call=2"]
    quick = ["--interleave", "--seconds=0.02", "--repeats=1", f"--out={tmp_path}"]
    done = subprocess.run(
        [sys.executable, "-m", "experiments", *TINY, *sweep, *quick],
        env=os.environ | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "2"},
        cwd=CONFIGS.parents[1],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "weak_scaling.json").read_text())["rows"]
    found = [(row["parallel"], row["devices"], row["batch_size"]) for row in rows]
    both = [(mode, n, 8 * n) for mode in ("jit", "pmap") for n in (1, 2)]
    assert found == both
    for row in rows:
        assert row["error"] is None
        assert row["speedup"] == pytest.approx(row["devices"] * row["efficiency"])
        assert (row["all_reduce_ms"] is None) == (row["devices"] == 1)


def test_what_is_timed_as_the_all_reduce_is_one_mean():
    """Of arrays of ones it is ones again, each device its own."""
    config = load_config(f"{CONFIGS / 'demo.py'}:smoke", list(SMALL))
    settings = {"batch_size": 8, "devices": 1, "stack": "chain"}
    config.train.batch_size = 8
    params, stats = all_reduce(Case("train", config, settings))()
    assert jax.tree.leaves(stats) == []
    leaves = jax.tree.leaves(params)
    assert len(leaves) > 3
    assert all((leaf == 1).all() and leaf.shape[0] == 1 for leaf in leaves)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("--devices=1,4096", "JAX_NUM_CPU_DEVICES=4096"),
        ("--devices=1 --mode=sample", "--devices measures training alone"),
        ("--devices=1 --peak=3", "--peak is of no use with --devices"),
        ("--devices=1 --data", "--data and --devices are two benchmarks"),
    ],
)
def test_impossible_requests_are_errors(capsys, tmp_path, wrong, message):
    out = tmp_path / "out"
    assert run([*TINY, f"--out={out}", *wrong.split()]) == 2
    assert message in only_error(capsys.readouterr().err)
    assert not out.exists()
