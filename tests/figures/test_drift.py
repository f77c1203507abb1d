"""Drift: curves, delays and alarms are drawn where they belong."""

import numpy as np
import pytest

from flowjax_ood.figures.drift import drift_panels
from flowjax_ood.figures.layout import png_bytes

POINTS = np.linspace(0, -5, 10)
CURVES = {
    "none": [POINTS - 1, POINTS, POINTS + 1],
    "digits": [POINTS, -POINTS, 30 - POINTS],
}
OPTIONS = {"every": 10, "change": 40, "steps": 100, "alarm": 100.0, "detector": "KNN"}


def drawn(**changes):
    given = {
        "curves": CURVES,
        "changes": ["digits", "fog"],
        "delays": {"power": [8.0, None], "KS": [20.0, 40.0]},
        "false_alarms": {"power": (0.01, [0.0, 0.005]), "KS": (None, [0.3, 0.4])},
        "vanished": {"power": {"without class 0": [0.1, 0.2]}},
    }
    return drift_panels(**given | changes, **OPTIONS)


def test_numbers_stand_where_they_belong():
    figure = drawn()
    wealth, delays, alarms, vanished = figure.axes
    lines = {line.get_label(): line for line in wealth.lines}
    np.testing.assert_array_equal(lines["none"].get_xdata(), range(10, 101, 10))
    np.testing.assert_allclose(lines["digits"].get_ydata(), -POINTS)
    marked = [line for line in delays.lines if line.get_marker() not in ("", "None")]
    np.testing.assert_allclose(marked[1].get_xdata(), [20, 40])
    # a missed change is at the edge, beyond all delays
    at, beyond = marked[0].get_xdata()
    assert (at, beyond) == (8, delays.get_xlim()[1])
    assert beyond > OPTIONS["steps"] - OPTIONS["change"]
    rates = np.concatenate([c.get_offsets()[:, 0] for c in alarms.collections])
    np.testing.assert_allclose(rates, [0, 0.5, 30, 40])
    rates = np.concatenate([c.get_offsets()[:, 0] for c in vanished.collections])
    np.testing.assert_allclose(rates, [10, 20])
    assert png_bytes(figure)[:4] == b"\x89PNG"


def test_what_cannot_be_drawn():
    assert len([a for a in drawn(vanished=None).axes if a.axison]) == 3
    with pytest.raises(ValueError, match="nothing to draw"):
        drawn(curves={})
    many = {f"monitor {k}": [1.0, 2.0] for k in range(9)}
    with pytest.raises(ValueError, match="9 monitors in one figure, but only 8"):
        drawn(delays=many)
