"""Colours say what a thing is, in every figure."""

import pytest
from matplotlib.colors import to_hex

from flowjax_ood.figures import style
from tests.helpers.drawings import (
    ID,
    OOD,
    coupling,
    histograms,
    latents,
    roc,
    split,
    training,
)


def test_id_is_blue_and_the_first_ood_set_vermilion_in_every_figure():
    for figure in (histograms(), split()):
        for axes in figure.axes:
            drawn = {p.get_label(): to_hex(p.get_edgecolor()) for p in axes.patches}
            assert drawn[ID].upper() == style.ID_COLOR
            assert drawn[OOD].upper() == style.OOD_COLORS[0]
    for figure in (latents(), coupling()):
        labels = {a.get_ylabel().split("\n")[0]: a.yaxis.label for a in figure.axes}
        assert labels[ID].get_color() == style.ID_COLOR
        assert labels[OOD].get_color() == style.OOD_COLORS[0]
    assert style.OOD_COLORS[0] in [line.get_color() for line in roc().axes[0].lines]
    flow_colors = [line.get_color() for line in training().axes[0].lines]
    assert not set(flow_colors) & {style.ID_COLOR, *style.OOD_COLORS}


def test_colours_follow_the_order_of_the_sets_and_run_out_loudly():
    colors = style.set_colors("id", ["a", "id", "b", "a"])
    assert colors == {
        "id": style.ID_COLOR,
        "a": style.OOD_COLORS[0],
        "b": style.OOD_COLORS[1],
    }
    with pytest.raises(ValueError, match="7 OOD sets"):
        style.set_colors("id", "abcdefg")


def test_numbers_of_ticks_are_short():
    values = (0, 0.5, 999, 2500, -40_000, -3e6)
    shown = [style.short_number(v) for v in values]
    assert shown == ["0", "0.5", "999", "2.5k", "−40k", "−3M"]
