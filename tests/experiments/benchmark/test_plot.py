"""The figure of a benchmark: which one, and what is in it."""

import pytest

from experiments.benchmark.plot import _look, draw
from experiments.benchmark.throughput import make_rows
from flowjax_ood.figures.layout import png_bytes
from tests.helpers.benchmark_runs import fake_run

PEAKS = {"float32": 1e12, "bfloat16": 1e12}


def drawn(*runs):
    rows = make_rows(runs, PEAKS, paired=False)
    figure = draw(rows, list(runs[0].case.settings))
    assert png_bytes(figure)[:4] == b"\x89PNG"
    return figure


def names_in_key(figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


@pytest.mark.thorough
def test_a_number_that_is_varied_has_three_panels_and_a_line_for_each_stacking():
    figure = drawn(
        *(
            fake_run([[0.1 * depth]], stack=stack, **{"model.couplings": depth})
            for depth in (8, 4)
            for stack in ("chain", "scan+full")
        )
    )
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels == ["compile time (s)", "temporary memory (MiB)", "step time (ms)"]
    assert names_in_key(figure) == ["chain", "scan+full"]
    for axes in figure.axes:
        assert axes.get_xlabel() == "couplings"
        assert axes.get_xscale() == axes.get_yscale() == "log"
        assert [list(line.get_xdata()) for line in axes.lines] == [[4, 8], [4, 8]]
    assert list(figure.axes[2].lines[0].get_ydata()) == pytest.approx([400, 800])
    assert "train, batch 8, float32, jit" in figure.texts[1].get_text()


def test_batch_sizes_are_drawn_with_images_a_second():
    figure = drawn(
        *(
            fake_run([[0.1], [0.2]], mode=mode, batch_size=size)
            for size in (8, 16)
            for mode in ("train", "sample")
        )
    )
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("batch size (images)", "images/s")
    assert names_in_key(figure) == ["train", "sample"]
    assert list(axes.lines[0].get_ydata()) == pytest.approx([60, 120])
    spreads = axes.collections[0].get_segments()
    assert [list(s[:, 1]) for s in spreads] == [
        pytest.approx([40, 80]),
        pytest.approx([80, 160]),
    ]


def test_anything_else_is_bars():
    figure = drawn(
        fake_run([[0.1]], mode="train"),
        fake_run([[0.2]], mode="sample", stack="chain"),
        fake_run(mode="sample", error="JaxRuntimeError: no", startup=False),
    )
    (axes,) = figure.axes
    ticks = [tick.get_text() for tick in axes.get_yticklabels()]
    assert ticks == ["train scan", "sample chain", "sample scan"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([80, 40])
    assert [text.get_text() for text in axes.texts] == ["80.0", "40.0", "failed"]
    # from the top
    assert axes.yaxis_inverted()


@pytest.mark.thorough
def test_more_lines_than_can_be_told_apart_are_bars():
    runs = [
        fake_run([[0.1]], batch_size=size, **{"optimizer.name": f"number_{index}"})
        for index in range(37)
        for size in (8, 16)
    ]
    rows, settings = make_rows(runs, PEAKS, paired=False), list(runs[0].case.settings)
    assert len(draw(rows, settings).axes[0].patches) == len(runs)
    (axes,) = draw(rows[:-2], settings).axes
    assert len(axes.lines) == len({str(_look(index)) for index in range(36)}) == 36


def test_what_failed_or_is_not_known_is_left_out_and_said():
    whole = fake_run([[0.1]], **{"model.couplings": 4})
    pmap = fake_run([[0.2]], **{"model.couplings": 8})
    pmap.startup = pmap.startup._replace(compile_seconds=None, temporary_mib=None)
    broken = fake_run(
        error="JaxRuntimeError: full", startup=False, **{"model.couplings": 16}
    )
    figure = drawn(whole, pmap, broken)
    lengths = [len(axes.lines[0].get_xdata()) for axes in figure.axes]
    assert lengths == [1, 1, 2]
    notes = " ".join(figure.texts[1].get_text().split())
    assert "Failed: train couplings 16: JaxRuntimeError: full" in notes


def test_zero_has_no_place_on_a_logarithmic_axis():
    figure = drawn(*(fake_run([[0.1]], **{"model.blocks": n}) for n in (0, 1)))
    assert {axes.get_xscale() for axes in figure.axes} == {"linear"}
