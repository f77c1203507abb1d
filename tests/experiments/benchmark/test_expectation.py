"""`benchmark --expect`: what is computed of machines that are not here."""

import json
from pathlib import Path

import pytest

from experiments.benchmark.expectation import (
    IN_MEMORY,
    MACHINES,
    STREAMED,
    Machine,
    Model,
    fill,
    make_row,
)
from experiments.cli import run
from tests.helpers.benchmark_runs import TINY
from tests.helpers.experiment_runs import only_error

ROUND = Machine(
    devices=4,
    devices_per_host=2,
    peak={"bfloat16": 1e12},
    reduce_bandwidth=1e9,
    host_bandwidth=1e8,
    columns=128,
)
MODEL = Model(
    name="round",
    precision="bfloat16",
    width=64,
    batch=10,
    image_bytes=28 * 28,
    parameters=1_000_000,
    flops_per_image=1e9,
    reduced=4_000_000,
    state=12_000_000,
    checkpoint_every=100,
)
TWO = (*TINY, "--config.model.couplings=2")


def test_narrow_convolutions_leave_columns_idle():
    assert fill(64, 128) == 0.5
    assert fill(128, 128) == 1
    assert fill(192, 128) == 0.75
    assert fill(64, 1) == 1


def test_times_follow_from_the_figures():
    row = make_row(MODEL, "a", ROUND, sustained=0.2)
    # 10 GFLOP at 1 TFLOP/s, half filled, a fifth of it sustained
    assert row["sustained_tflops"] == pytest.approx(0.1)
    assert row["compute_ms"] == pytest.approx(100)
    # each device sends 2 * 3/4 of 4 MB at 1 GB/s
    assert row["all_reduce_ms"] == pytest.approx(6)
    assert row["all_reduce_share"] == pytest.approx(6 / 106)
    assert row["images_per_second"] == pytest.approx(40 / 0.106)
    assert row["images_per_second_per_host"] == pytest.approx(20 / 0.106)
    # 12 MB at 100 MB/s, and one more step, in 100 steps
    assert row["checkpoint_copy_ms"] == pytest.approx(120)
    assert row["checkpoint_share"] == pytest.approx(226 / 10_826)
    assert row["checkpoint_write_mb_per_second"] == pytest.approx(12 / 10.6)


def test_at_the_batch_of_equal_times_they_are_equal():
    for sustained, name in (
        (0.2, "batch_of_equal_times"),
        (2.0, "batch_of_equal_times_at_peak"),  # of half the columns
    ):
        batch = make_row(MODEL, "a", ROUND, sustained=0.2)[name]
        row = make_row(MODEL._replace(batch=batch), "a", ROUND, sustained)
        assert row["compute_ms"] == pytest.approx(row["all_reduce_ms"])


def test_rates_of_reading_are_those_that_were_measured():
    path = Path(__file__).parents[3] / "results" / "input_pipeline.json"
    rows = json.loads(path.read_text())["rows"]

    def rate(held, workers):
        (row,) = (r for r in rows if (r["held"], r["read_workers"]) == (held, workers))
        assert row["image_shape"] == "28x28x1"
        return row["input_images_per_core_second"]

    assert int(rate("in memory", 0)) == IN_MEMORY
    assert round(rate("streamed", 2)) == STREAMED


def test_tpus_take_several_passes_for_exactness():
    for name in ("v5e-256", "v6e-256"):
        peak = MACHINES[name].peak
        assert peak["bfloat16"] == pytest.approx(3 * peak["tensorfloat32"])
        assert peak["bfloat16"] == pytest.approx(6 * peak["float32"])


def test_the_command_counts_and_writes(tmp_path, capsys):
    machines = "--expect=v5e-256,h100-8"
    assert run([*TWO, machines, "--sustained=0.3", f"--out={tmp_path}"]) == 0
    content = json.loads((tmp_path / "expectation.json").read_text())
    assert content["computed"] == "not measured"
    rows = content["rows"]
    assert [row["machine"] for row in rows] == ["v5e-256", "h100-8"]
    assert [row["batch_size"] for row in rows] == [8 * 256, 8 * 8]
    first, last = rows
    assert first["gflop_per_image"] == last["gflop_per_image"] > 0
    # Adam: parameters and two moments, and some counters
    least = 12 * first["parameters"] / 2**20
    assert least < first["state_mib"] < least + 0.01
    assert "Computed, not measured." in capsys.readouterr().out
    assert "| h100-8 | 8 x 8 |" in (tmp_path / "expectation.md").read_text()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("--expect=abacus", "unknown expect 'abacus'"),
        ("--expect=h100-8 --sustained=2", "--sustained must lie in (0, 1]"),
        ("--expect=h100-8 --devices=1", "--devices and --expect are two benchmarks"),
    ],
)
def test_impossible_requests_are_errors(capsys, tmp_path, wrong, message):
    out = tmp_path / "out"
    assert run([*TWO, f"--out={out}", *wrong.split()]) == 2
    assert message in only_error(capsys.readouterr().err)
    assert not out.exists()
