"""The picture of a monitor: drawn of any number of sets, and nothing of none."""

import numpy as np
import pytest

from flowjax_ood import figures

ITEMS = np.random.default_rng(0).integers(0, 256, (3, 6, 6, 1), np.uint8)
SCENES = {"usual": (ITEMS, [0.5] * 3, [0.02] * 3, [0, 1, 2])}
AREAS = {"first": {"a": 0.9, "b": 0.3}, "second": {"b": 0.5}}
ALARMS = {"usual": (0.02, 0.01), "a": (0.9, 0.0), "b": (0.1, 0.4)}
GAINS = {"without": {"a": (0.1, -0.1, 0.3)}}
OPTIONS = {"alpha": 0.05, "usual": "usual"}


def texts(figure) -> set[str]:
    return {t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text"))}


def test_rows_sets_and_scenes_are_named():
    figure = figures.monitor_panels(SCENES, AREAS, ALARMS, GAINS, **OPTIONS)
    shown = texts(figure)
    assert {"first", "second", "without", "a", "b", "usual"} <= shown
    assert "p 0.50, 0.020" in shown
    assert figures.png_bytes(figure)[:4] == b"\x89PNG"
    # worse than the least that is shown by default
    axes = next(a for a in figure.axes if a.get_xlabel() == "AUROC")
    assert axes.get_xlim()[0] == 0.3


def test_without_scenes_it_is_shorter():
    heights = [
        figures.monitor_panels(s, AREAS, ALARMS, GAINS, **OPTIONS).get_figheight()
        for s in (SCENES, {})
    ]
    assert heights[1] < heights[0]


def test_nothing_is_not_drawn():
    for given in (({}, ALARMS, GAINS), (AREAS, {}, GAINS), (AREAS, ALARMS, {})):
        with pytest.raises(ValueError, match="nothing to draw"):
            figures.monitor_panels(SCENES, *given, **OPTIONS)
