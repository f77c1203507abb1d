"""Decisions: every rate is drawn where it belongs."""

import numpy as np
import pytest

from flowjax_ood.figures.decisions import decision_panels
from flowjax_ood.figures.layout import png_bytes

ALARMS = {
    "calibrated": (0.05, [0.04, 0.06], (0.03, 0.07)),
    "by training": (0.05, [0.055, 0.9], None),
}
FOUND = {"digits": [(0.9, 0.2, 0.1), (0.99, 0.8, 0.6)]}


def dots(axes) -> np.ndarray:
    return np.concatenate([c.get_offsets() for c in axes.collections])


def test_dots_and_bars_stand_at_their_rates():
    classes = [[0.01, 0.2, None], [0.03, 0.4, 0.05]]
    abstain = {"clothing": (0.8, 0.01), "digits": (0.5, 0.5)}
    figure = decision_panels(ALARMS, FOUND, classes, abstain, id_name="clothing")
    alarms, power, by_class, abstention = figure.axes
    np.testing.assert_allclose(sorted(dots(alarms)[:, 0]), [4, 5.5, 6, 90])
    # what lies outside is written
    assert alarms.get_xlim()[1] < 90
    assert [text.get_text() for text in alarms.texts] == ["90 % →"]
    expected = [[0.9, 20], [0.99, 80], [0.9, 10], [0.99, 60]]
    np.testing.assert_allclose(dots(power), expected)
    # the class with most alarms at the top
    labels = [tick.get_text() for tick in by_class.get_yticklabels()]
    assert labels == ["class 1", "class 2", "class 0"]
    widths = [bar.get_width() for bar in abstention.patches]
    np.testing.assert_allclose(widths, [80, 1, 50, 50])
    assert png_bytes(figure)[:4] == b"\x89PNG"


def test_panels_without_numbers_are_left_out():
    figure = decision_panels(ALARMS, FOUND, id_name="clothing")
    assert len(figure.axes) == 2
    with pytest.raises(ValueError, match="nothing to draw"):
        decision_panels(ALARMS, {}, id_name="clothing")
