"""The table of a benchmark."""

from experiments.benchmark.throughput import make_rows, throughput_page
from tests.helpers.benchmark_runs import fake_run

PEAKS = {"float32": 1e12}


def page_of(*runs, **changes):
    rows = make_rows(runs, PEAKS, paired=False)
    rows[0] |= changes
    return throughput_page(rows, list(runs[0].case.settings), "On a machine.")


def test_only_what_is_swept_has_a_column_and_the_rest_is_said_once():
    page = page_of(
        fake_run([[0.1]], stack="chain"), fake_run([[0.2]], stack="scan+full")
    )
    assert page.header[:2] == ["stack", "images/s"]
    assert [line[:2] for line in page.cells] == [
        ["chain", "80.0"],
        ["scan+full", "40.0"],
    ]
    for name in ("mode", "batch", "precision", "parallel", "parameters"):
        assert name not in page.header
    assert page.heading == (
        "train, batch 8, float32, jit, images 4x4x1, 1,234 parameters, 0.5 GFLOP/image"
    )


def test_a_key_that_is_varied_goes_by_its_own_name():
    page = page_of(
        fake_run([[0.1]], **{"model.couplings": 4}),
        fake_run([[0.1]], **{"model.couplings": 8}),
    )
    assert page.header[0] == "couplings"
    assert [line[0] for line in page.cells] == ["4", "8"]


def test_markdown_is_a_table_with_its_failures_below():
    page = page_of(
        fake_run([[0.1]], stack="chain"),
        fake_run(stack="scan", startup=False, error="JaxRuntimeError: a|b"),
    )
    text = page.markdown()
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 4
    assert {line.count("|") for line in lines} == {lines[0].count("|")}
    assert lines[3].startswith("| scan | - | - |")
    assert text.startswith("train, batch 8,")
    assert "\nOn a machine.\n" in text
    assert "Failed: train scan: JaxRuntimeError: a\\|b\n" in text
    assert page.failed == ["train scan: JaxRuntimeError: a|b"]


def test_the_printed_table_is_whole(capsys):
    page = page_of(
        fake_run([[0.1]], stack="chain"),
        fake_run([[0.1]], stack="scan+reversible"),
        device_peak_mib=4321.0,
    )
    page.print()
    shown = capsys.readouterr().out
    for cell in (*page.header, "scan+reversible", "4,321", "1.00"):
        assert cell in shown
    assert "On a machine." in shown
