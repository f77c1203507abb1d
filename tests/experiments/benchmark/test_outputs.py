"""The table of a benchmark."""

from experiments.benchmark.outputs import (
    failures,
    heading,
    markdown,
    print_table,
    table,
)
from experiments.benchmark.throughput import make_rows
from tests.helpers.benchmark_runs import fake_run

PEAKS = {"float32": 1e12}


def rows_of(*runs):
    rows = make_rows(runs, PEAKS, paired=False)
    return rows, list(runs[0].case.settings)


def test_only_what_is_swept_has_a_column_and_the_rest_is_said_once():
    rows, settings = rows_of(
        fake_run([[0.1]], stack="chain"), fake_run([[0.2]], stack="scan+full")
    )
    header, cells = table(rows, settings)
    assert header[:2] == ["stack", "images/s"]
    assert [line[:2] for line in cells] == [["chain", "80.0"], ["scan+full", "40.0"]]
    for name in ("mode", "batch", "precision", "parallel", "parameters"):
        assert name not in header
    assert heading(rows, settings) == (
        "train, batch 8, float32, jit, images 4x4x1, 1,234 parameters, 0.5 GFLOP/image"
    )


def test_a_key_that_is_varied_goes_by_its_own_name():
    rows, settings = rows_of(
        fake_run([[0.1]], **{"model.couplings": 4}),
        fake_run([[0.1]], **{"model.couplings": 8}),
    )
    header, cells = table(rows, settings)
    assert header[0] == "couplings"
    assert [line[0] for line in cells] == ["4", "8"]


def test_markdown_is_a_table_with_its_failures_below():
    rows, settings = rows_of(
        fake_run([[0.1]], stack="chain"),
        fake_run(stack="scan", startup=False, error="JaxRuntimeError: a|b"),
    )
    text = markdown(rows, settings, "On a machine.")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 4
    assert {line.count("|") for line in lines} == {lines[0].count("|")}
    assert lines[3].startswith("| scan | - | - |")
    assert text.startswith("train, batch 8,")
    assert "\nOn a machine.\n" in text
    assert "Failed: train scan: JaxRuntimeError: a\\|b\n" in text
    assert failures(rows, settings) == ["train scan: JaxRuntimeError: a|b"]


def test_the_printed_table_is_whole(capsys):
    rows, settings = rows_of(
        fake_run([[0.1]], stack="chain"), fake_run([[0.1]], stack="scan+reversible")
    )
    rows[0]["device_peak_mib"] = 4321.0
    print_table(rows, settings, "On a machine.")
    shown = capsys.readouterr().out
    for cell in (*table(rows, settings)[0], "scan+reversible", "4,321", "1.00"):
        assert cell in shown
    assert "On a machine." in shown
