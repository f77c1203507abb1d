"""`benchmark --compiled`: what the compiled step sends and holds, read and not run."""

import json
import os
import subprocess
import sys

import pytest

from experiments.benchmark.compiled import CompiledReport, CompiledRun, make_row
from experiments.cli import run
from flowjax_ood.analysis.collectives import Collective
from tests.helpers.benchmark_runs import MIB, TINY, fake_run
from tests.helpers.experiment_runs import CONFIGS, only_error

FACTS = {"seconds": 1, "repeats": 0, "interleave": False}


def fake(sent=(), **settings) -> CompiledRun:
    given = {"devices": 8, "batch_per_device": 8, "fsdp": 1} | settings
    plain = fake_run(**given)
    plain.case.config.fsdp = given["fsdp"]
    made = CompiledRun(plain.case, plain.name, plain.counts, sent=list(sent))
    made.startup, made.state_bytes = plain.startup, 3 * MIB
    return made


def test_operations_are_counted_by_kind_and_their_arrays_added():
    row = make_row(
        fake(
            [
                Collective("all-reduce", ("f32",), 5, MIB),
                Collective("all-reduce", ("f32",), 5, 2 * MIB),
                Collective("all-gather", ("f32",), 5, MIB // 2),
                Collective("reduce-scatter", ("f32",), 5, MIB),
                Collective("all-to-all", ("f32",), 5, MIB),
            ]
        )
    )
    assert (row["all_reduces"], row["all_reduce_mib"]) == (2, 3)
    assert (row["all_gathers"], row["all_gather_mib"]) == (1, 0.5)
    assert (row["others"], row["others_mib"]) == (2, 2)
    # of Startup
    assert (row["argument_mib"], row["temporary_mib"]) == (2, 10)
    assert row["state_mib"] == 3


def test_a_case_that_failed_has_a_row_that_says_so(tmp_path):
    wrong = fake(devices=256, fsdp=8)
    wrong.startup, wrong.error = None, "MemoryError: full"
    CompiledReport(tmp_path, [fake(), wrong], FACTS).close(True)
    content = json.loads((tmp_path / "compiled_step.json").read_text())
    assert [row["all_reduces"] for row in content["rows"]] == [0, None]
    text = (tmp_path / "compiled_step.md").read_text()
    assert "Failed: train devices 256 fsdp 8: MemoryError: full" in text
    assert "and not run" in text


@pytest.mark.slow
@pytest.mark.multiprocess
def test_what_a_step_sends_follows_from_how_it_is_spread(tmp_path):
    """In a process of its own, as the number of devices is set before JAX starts."""
    # wide enough for arrays that are worth sharding
    wide = ["--config.model.width=64", "--config.model.blocks=1"]
    sweep = ["--devices=1,4", "--parallel=jit,shard_map", f"--out={tmp_path}"]
    command = [sys.executable, "-m", "experiments", *TINY, *wide, "--compiled"]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "4"}

    def rows(*arguments):
        done = subprocess.run(
            [*command, *arguments],
            env=environment,
            cwd=CONFIGS.parents[1],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        content = json.loads((tmp_path / "compiled_step.json").read_text())
        assert content["finished"]
        return content["rows"]

    one, four, _, mapped = rows(*sweep)
    assert (one["all_reduces"], one["all_reduce_mib"]) == (0, 0)
    # all gradients in one, with a few scalars: the loss and what is shown of it
    assert mapped["all_reduces"] == 1
    gradients = 4 * mapped["parameters"] / MIB
    assert 0 < mapped["all_reduce_mib"] - gradients < 64 / MIB
    assert four["all_reduce_mib"] >= gradients
    for row in (one, four, mapped):
        assert (row["all_gathers"], row["others"]) == (0, 0)
        assert row["argument_mib"] == pytest.approx(row["state_mib"], rel=0.05)
    whole, shard = rows("--devices=4", "--vary=fsdp=1,4", f"--out={tmp_path}")
    assert whole["all_gathers"] == 0
    assert shard["all_gathers"] > 0
    # a quarter of all that is worth sharding, and all of the rest
    assert shard["argument_mib"] < 0.6 * whole["argument_mib"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("", "--compiled needs --devices"),
        ("--devices=1 --parallel=pmap", "pmap compiles as it is called"),
        ("--devices=1 --config.train.steps_per_call=2", "reads one step"),
        ("--devices=1,4096", "JAX_NUM_CPU_DEVICES=4096"),
        ("--devices=1 --stack=scan", "an operation inside a loop once"),
        ("--devices=1 --interleave", "--interleave is of no use with --compiled"),
        ("--devices=1 --data", "--data is of no use with --compiled"),
    ],
)
def test_impossible_requests_are_errors(capsys, tmp_path, wrong, message):
    out = tmp_path / "out"
    assert run([*TINY, "--compiled", f"--out={out}", *wrong.split()]) == 2
    assert message in only_error(capsys.readouterr().err)
    assert not out.exists()
