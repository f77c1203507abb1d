"""The numbers of a benchmark follow from what was timed."""

import pytest

from experiments.benchmark.throughput import make_rows
from tests.helpers.benchmark_runs import fake_run

PEAKS = {"float32": 1e12, "bfloat16": 4e12}


def test_rates_and_utilisation_go_together():
    # 8 images in a median of 0.1 s, 0.2 s and 0.4 s
    run = fake_run([[0.1, 0.1, 0.3], [0.2], [0.4, 0.4]])
    (row,) = make_rows([run], PEAKS, paired=False)
    assert row["images_per_second"] == pytest.approx(40)
    assert row["images_per_second_min"] == pytest.approx(20)
    assert row["images_per_second_max"] == pytest.approx(80)
    assert row["step_ms_p50"] == pytest.approx(250)
    assert row["steps"] == 6
    # 4 GFLOP a call of 8 images, 6 with what is computed again
    assert row["gflop_per_image"] == pytest.approx(0.5)
    assert row["executed_gflop_per_image"] == pytest.approx(0.75)
    assert row["gflops_per_second"] == pytest.approx(20)
    assert row["mfu"] == pytest.approx(0.02)
    assert row["hfu"] == pytest.approx(0.03)
    assert row["image_shape"] == "4x4x1"
    assert row["parameters"] == 1234


def test_utilisation_is_of_the_peak_of_its_precision():
    runs = [fake_run([[0.1]], precision=name) for name in PEAKS]
    single, half = make_rows(runs, PEAKS, paired=False)
    assert half["mfu"] == pytest.approx(single["mfu"] / 4)


def test_seconds_add_up_and_memory_is_in_mib():
    (row,) = make_rows([fake_run([[0.1]])], PEAKS, paired=False)
    parts = ("trace_seconds", "lower_seconds", "compile_seconds")
    assert row["startup_seconds"] == sum(row[name] for name in parts) == 3.5
    sizes = ("temporary_mib", "argument_mib", "output_mib")
    assert [row[name] for name in sizes] == [10, 2, 1]
    assert row["device_peak_mib"] is None


def test_ratios_of_rounds_that_were_measured_by_turns():
    # the machine slows down; the second case takes half the time throughout
    first = fake_run([[0.2], [0.4], [0.8]])
    second = fake_run([[0.1], [0.2], [0.4]])
    rows = make_rows([first, second], PEAKS, paired=True)
    ratios = [[r["ratio"], r["ratio_min"], r["ratio_max"]] for r in rows]
    assert ratios == [[1, 1, 1], pytest.approx([2, 2, 2])]
    # not by turns, nothing says that rounds belong together
    row = make_rows([first, second], PEAKS, paired=False)[1]
    worst, best = 0.2 / 0.4, 0.8 / 0.1
    assert [row["ratio"], row["ratio_min"], row["ratio_max"]] == pytest.approx(
        [2, worst, best]
    )


def test_a_failure_keeps_what_came_before_it():
    never = fake_run(startup=False)
    broken = fake_run(error="JaxRuntimeError: out of memory", startup=False)
    later = fake_run([[0.1]], error="ValueError: no")
    whole = fake_run([[0.1], [0.2]])
    rows = make_rows([broken, later, whole, never], PEAKS, paired=True)
    assert len(rows) == 3  # what was not begun has no row
    assert rows[0]["error"] == "JaxRuntimeError: out of memory"
    assert rows[0]["images_per_second"] is None
    assert rows[0]["mfu"] is None
    assert rows[0]["gflop_per_image"] == pytest.approx(0.5)
    assert rows[1]["error"] == "ValueError: no"
    assert rows[1]["images_per_second"] == pytest.approx(80)
    # the first that has a rate is what the others are compared with
    assert [row["ratio"] for row in rows] == [None, 1, pytest.approx(1)]
    assert rows[2]["error"] is None
    assert all(list(row) == list(rows[0]) for row in rows)
