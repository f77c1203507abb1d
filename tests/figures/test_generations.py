"""Flows side by side: every kind has its line, every score its row."""

import pytest

from flowjax_ood.figures.generations import flow_generations

LIKELIHOOD = {
    "glow": (3.5, {"digits": 0.1, "noisy": 0.9}),
    "tarflow": (2.9, {"digits": 0.2, "noisy": 0.8}),
}
MEANS = {"log p(x)": {"glow": 0.5, "tarflow": 0.6}, "typicality": {"glow": 0.7}}


def test_everything_is_drawn():
    left, right = flow_generations(LIKELIHOOD, MEANS).axes
    lines = [line.get_xydata().tolist() for line in left.lines]
    # from the better density to the worse
    assert [[2.9, 0.2], [3.5, 0.1]] in lines
    assert [[2.9, 0.8], [3.5, 0.9]] in lines
    # digits alone have the marks of the flows
    assert len(left.collections) == 2
    assert [t.get_text() for t in right.get_yticklabels()] == list(MEANS)
    assert len(right.collections) == 3


def test_without_a_flow_there_is_nothing_to_draw():
    with pytest.raises(ValueError, match="no flow to draw"):
        flow_generations({}, MEANS)
