"""The heat map of AUROC: every number where it belongs, bad input named."""

import numpy as np
import pytest

from flowjax_ood import figures
from flowjax_ood.figures.layout import png_bytes

GROUPS = {"seen": ["far", "upside_down"], "told": ["noise"]}
VALUES = {
    "log p(x)": {"far": 0.1, "upside_down": 0.5, "noise": 1.0},
    "PPCA": {"far": 0.9, "upside_down": 0.256, "noise": 0.0},
}


def test_numbers_stand_in_their_cells():
    figure = figures.auroc_heat_map(VALUES, GROUPS, marked=["PPCA"], title="t")
    assert [axes.get_title() for axes in figure.axes] == ["seen", "told"]
    for axes, kinds in zip(figure.axes, GROUPS.values()):
        labels = [label.get_text() for label in axes.get_xticklabels()]
        assert labels == ["mean", "worst", *(k.replace("_", " ") for k in kinds)]
        own = np.array([[row[k] for k in kinds] for row in VALUES.values()])
        table = np.column_stack([own.mean(1), own.min(1), own])
        np.testing.assert_allclose(axes.images[0].get_array(), table)
        shown = {t.get_position(): float(t.get_text()) for t in axes.texts}
        for (row, column), value in np.ndenumerate(table):
            assert shown[column, row] == pytest.approx(value, abs=0.00501)
        assert axes.images[0].get_clim() == (0, 1)
    names = figure.axes[0].get_yticklabels()
    assert [n.get_text() for n in names] == list(VALUES)
    assert [n.get_fontstyle() for n in names] == ["normal", "italic"]
    assert png_bytes(figure)[:4] == b"\x89PNG"


def test_what_is_aside_counts_for_no_mean():
    """It has no colour, and stands in brackets."""
    aside = {"PPCA": ["far"]}
    axes, _ = figures.auroc_heat_map(VALUES, GROUPS, aside=aside).axes
    table = axes.images[0].get_array()
    np.testing.assert_allclose(table[:, :2], [[0.3, 0.1], [0.256, 0.256]])
    assert np.argwhere(table.mask).tolist() == [[1, 2]]
    shown = {t.get_position(): t.get_text() for t in axes.texts}
    assert (shown[2, 1], shown[2, 0]) == ("(.90)", ".10")
    with pytest.raises(ValueError, match="PPCA has all kinds of 'told' aside"):
        figures.auroc_heat_map(VALUES, GROUPS, aside={"PPCA": ["noise"]})


@pytest.mark.parametrize(
    ("match", "values", "groups"),
    [
        ("needs scores", {}, GROUPS),
        ("kinds in every group", VALUES, {"seen": ["far"], "told": []}),
        ("PPCA has no value of far", {"PPCA": {"noise": 0.5}}, GROUPS),
        ("an AUROC of 1.5", {"x": VALUES["PPCA"] | {"noise": 1.5}}, GROUPS),
        ("an AUROC of nan", {"x": VALUES["PPCA"] | {"far": float("nan")}}, GROUPS),
    ],
)
def test_what_cannot_be_drawn_is_named(match, values, groups):
    with pytest.raises(ValueError, match=match):
        figures.auroc_heat_map(values, groups)
