"""Figures of ablations: what is drawn where, and what is refused."""

import numpy as np
import pytest

from flowjax_ood import figures
from flowjax_ood.figures.style import FLOW_COLORS, ID_COLOR, OOD_COLORS


def row(area, bits):
    return {
        "auroc": {"digits": [area, area + 0.1]},
        "bits_per_dim": {"clothing": [bits, bits + 0.2], "digits": [bits + 1, None]},
    }


def color(artist) -> str:
    from matplotlib.colors import to_hex

    return to_hex(artist.get_facecolor()[0]).upper()


def test_a_dot_a_seed_and_a_bar_at_their_mean():
    rows = {"a": row(0.1, 4.0), "b": row(0.6, 6.0)}
    figure = figures.ablation_rows(rows, id_name="clothing")
    areas, bits = figure.axes
    dots = [np.asarray(c.get_offsets()) for c in areas.collections]
    np.testing.assert_allclose(dots, [[[0.1, 0], [0.2, 0]], [[0.6, 1], [0.7, 1]]])
    bars = [line.get_xdata()[0] for line in areas.lines[:2]]
    np.testing.assert_allclose(bars, [0.15, 0.65])
    assert [t.get_text() for t in areas.get_yticklabels()] == ["a", "b"]
    # the first row is the upper one
    assert areas.get_ylim()[0] > areas.get_ylim()[1]
    # bits of a set that are not finite are left out
    assert [len(c.get_offsets()) for c in bits.collections] == [2, 1, 2, 1]
    assert [color(c) for c in bits.collections[:2]] == [ID_COLOR, OOD_COLORS[0]]
    assert color(areas.collections[0]) == OOD_COLORS[0]


def test_curves_run_over_the_widths_and_end_at_none():
    series = {
        "cycle": {10: row(0.6, 6.0), 100: row(0.4, 5.0), None: row(0.2, 4.0)},
        "checkerboard": {10: row(0.5, 5.0), 100: row(0.3, 4.5)},
    }
    figure = figures.bottleneck_curves(series, id_name="clothing")
    areas, bits = figure.axes
    assert [t.get_text() for t in areas.get_xticklabels()] == ["10", "100", "none"]
    ticks = areas.get_xticks()
    curve, to_none, other = areas.lines[0], areas.lines[1], areas.lines[2]
    np.testing.assert_allclose(curve.get_xdata(), np.log([10, 100]))
    np.testing.assert_allclose(curve.get_ydata(), [0.65, 0.45])
    np.testing.assert_allclose(to_none.get_xdata(), ticks[1:])
    np.testing.assert_allclose(to_none.get_ydata(), [0.45, 0.25])
    assert (curve.get_color(), other.get_color()) == FLOW_COLORS[:2]
    np.testing.assert_allclose(bits.lines[0].get_ydata(), [6.1, 5.1])
    assert "clothing" in bits.get_ylabel()
    assert "digits" in areas.get_ylabel()


def test_a_panel_for_every_ood_set():
    found = {"auroc": {"a": [0.1], "b": [0.9]}, "bits_per_dim": {"id": [3.0]}}
    figure = figures.bottleneck_curves({"x": {1: found, 2: found}}, id_name="id")
    assert len(figure.axes) == 3


@pytest.mark.parametrize("draw", [figures.ablation_rows, figures.bottleneck_curves])
def test_nothing_to_draw_is_refused(draw):
    with pytest.raises(ValueError, match="to draw"):
        draw({}, id_name="clothing")
