"""Views, volumes and wealth: all that is given is drawn."""

import numpy as np
import pytest

from flowjax_ood import figures
from flowjax_ood.figures.light_fields import GAP, side_by_side

RNG = np.random.default_rng(0)
PARTS = tuple(RNG.uniform(-0.2, 1.2, size=(6, 5, count)) for count in (3, 2, 2))
SHOWN = {"clothing": PARTS, "digits": PARTS}
CURVES = {"couplings": [0.1, 0.5, 3.0, 40.0]}


def drawn(shown=SHOWN, wealth=CURVES, again=CURVES):
    return figures.light_field_panels(
        shown, wealth, again, change=2, alarm=100.0, id_name="clothing"
    )


def test_planes_stand_side_by_side():
    wide = side_by_side(PARTS[0])
    assert wide.shape == (6, 3 * 5 + 2 * GAP)
    for d in range(3):
        at = d * (5 + GAP)
        plane = np.clip(PARTS[0][..., d], 0, 1)
        np.testing.assert_array_equal(wide[:, at : at + 5], plane)
    assert (wide[:, 5 : 5 + GAP] == 1).all()


def test_every_set_has_a_row_and_every_monitor_a_line():
    figure = drawn()
    pictures = [axes for axes in figure.axes if axes.images]
    assert len(pictures) == 6
    titles = {axes.get_title() for axes in pictures}
    assert titles == {"", "views", "volume", "reconstruction"}
    assert {a.get_ylabel() for a in pictures} == {"", "clothing", "digits"}
    left, right = [axes for axes in figure.axes if not axes.images]
    for axes, rules in ((left, 2), (right, 1)):
        curve, *others = axes.lines
        np.testing.assert_array_equal(curve.get_xdata(), [1, 2, 3, 4])
        np.testing.assert_array_equal(curve.get_ydata(), CURVES["couplings"])
        assert len(others) == rules
        # the line that rings is seen, and wealth without end is cut off
        assert axes.get_ylim()[0] < 2 < axes.get_ylim()[1] <= 20
    assert figures.png_bytes(figure)[:4] == b"\x89PNG"


def test_nothing_to_draw():
    for empty in ({"shown": {}}, {"wealth": {}}, {"again": {}}):
        with pytest.raises(ValueError, match="nothing to draw"):
            drawn(**empty)
