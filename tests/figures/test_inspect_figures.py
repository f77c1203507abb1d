"""Figures of couplings and interventions: what is on them, and what they refuse."""

import numpy as np
import pytest

from flowjax_ood.figures import style
from flowjax_ood.figures.coadaptation import LABELS, coadaptation_panels
from flowjax_ood.figures.couplings import coupling_pages
from flowjax_ood.figures.depth import MEASURES, depth_profiles

ID, OOD = "clothing", "digits"
RNG = np.random.default_rng(0)


def texts(figure) -> str:
    from matplotlib.text import Text

    return " ".join(t.get_text() for t in figure.findobj(Text)).replace("\n", " ")


def row(label, count, channels=1):
    image = np.zeros((4, 4, channels), np.uint8)
    maps = []
    for k in range(count):
        values = RNG.standard_normal((4, 4, channels))
        values[k % 2 :: 2] = np.nan
        maps.append({"-t": values, "s": 0.1 * values})
    return label, label == ID, image, maps


@pytest.mark.parametrize(("count", "pages"), [(1, 1), (8, 1), (9, 2), (17, 3), (32, 4)])
def test_every_coupling_is_on_one_page(count, pages):
    rows = [row(ID, count), row(OOD, count)]
    names = [f"event {k}" for k in range(count)]
    figures = coupling_pages(rows, names=names)
    assert len(figures) == pages
    shown = [t for f in figures for t in texts(f).split("event ")[1:]]
    assert [int(t.split()[0]) for t in shown] == list(range(count))
    # an image and two maps of each coupling, for each row; bars below, and one beside
    for figure in figures:
        images = [a for a in figure.axes if a.images]
        columns = (len(images) - 2) // 4
        assert len(figure.axes) == len(images) + columns + 1
        assert columns <= 8


def test_one_coupling_has_one_scale_for_all_images():
    rows = [row(ID, 2, 3), row(OOD, 2, 3)]
    (figure,) = coupling_pages(rows, channel=2)
    at = {}
    for axes in figure.axes:
        if axes.images:
            spec = axes.get_subplotspec()
            at[spec.rowspan.start, spec.colspan.start] = axes.images[0]
    for c in (1, 2):
        assert at[0, c].get_clim() == at[2, c].get_clim()
        # channel 2 of it; what a mask hides is left blank
        drawn = at[0, c].get_array()
        expected = rows[0][3][c - 1]["-t"][..., 2]
        np.testing.assert_array_equal(drawn.filled(np.nan), expected)
    low, high = at[1, 1].get_clim()
    assert low == -high, "white where exp(s) is 1"
    assert at[1, 1].get_clim() == at[3, 2].get_clim()


def measures(r2):
    return {"correlation": 0.5, "r2": r2, "mean_s": 0.1, "logdet": 10.0}


def test_depth_profiles_show_every_set_and_say_what_is_off_the_scale():
    layers = {
        ID: [measures(0.5), measures(0.2), measures(None)],
        OOD: [measures(-40.0), measures(0.1), measures(0.0)],
    }
    figure = depth_profiles(layers, id_name=ID, groups=["a", "a", "b"])
    panels = figure.axes
    assert len(panels) == len(MEASURES)
    r2 = panels[1]
    drawn = {
        line.get_label(): line.get_ydata()
        for line in r2.lines
        if line.get_marker() == "o"
    }
    np.testing.assert_array_equal(drawn[OOD], [-1, 0.1, 0])
    np.testing.assert_array_equal(drawn[ID], [0.5, 0.2, np.nan])
    (below,) = [x for x in r2.lines if x.get_marker() == "v" and len(x.get_xdata())]
    assert (list(below.get_xdata()), below.get_color()) == ([1], style.OOD_COLORS[0])
    assert r2.lines[-1].get_xdata()[0] == 2.5, "a line where the group changes"
    assert "digits (OOD)" in texts(figure)


def adapted(layers=3):
    own = {"r2": 0.4, "correlation_within": 0.3}
    low = {"r2": -0.1, "correlation_within": None}
    return {
        act: [
            {"own": own, "donor": low if "swapped" in act else None, "mean_s": 0.0}
            for _ in range(layers)
        ]
        for act in LABELS
    }


def test_interventions_show_the_image_and_its_donor():
    figure = coadaptation_panels({ID: adapted(8), OOD: adapted(8)}, id_name=ID)
    assert len(figure.axes) == 4, "two couplings, two measures"
    for axes, donors in zip(figure.axes, (3, 0, 3, 0)):
        points = [x for x in axes.lines if x.get_marker() == "o"]
        hollow = [x for x in points if x.get_markerfacecolor() == "white"]
        assert len(points) - len(hollow) == 2 * len(LABELS)
        assert len(hollow) == 2 * donors
        assert {x.get_xdata()[0] for x in hollow} <= {-0.1}
    assert "What coupling 2 reads" in texts(figure)
    last = coadaptation_panels({ID: adapted(2)}, id_name=ID)
    assert len(last.axes) == 2


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: coupling_pages([]), "nothing to draw"),
        (lambda: coupling_pages([row(ID, 2), row(OOD, 3)]), "all rows need the same"),
        (lambda: coupling_pages([row(ID, 2)], names=["a"]), "1 names for 2"),
        (lambda: coupling_pages([row(ID, 2)], per_page=0), "at least 1, got 0"),
        (lambda: coupling_pages([row(ID, 2)], channel=1), "with a channel 1"),
        (
            lambda: coupling_pages([(ID, True, np.zeros((4, 4, 1)), [{"s": 0}])]),
            r"has no \['-t'\]",
        ),
        (lambda: depth_profiles({OOD: []}, id_name=ID), "no in-distribution set"),
        (lambda: depth_profiles({ID: []}, id_name=ID), "0 couplings"),
        (
            lambda: depth_profiles({ID: [measures(0)], OOD: []}, id_name=ID),
            "'digits' has 0 couplings, not 1",
        ),
        (
            lambda: depth_profiles({ID: [measures(0)]}, id_name=ID, groups=[]),
            "0 groups for 1",
        ),
        (lambda: coadaptation_panels({OOD: {}}, id_name=ID), "no in-distribution set"),
        (
            lambda: coadaptation_panels({ID: adapted(1)}, id_name=ID),
            "no coupling after depth 1",
        ),
    ],
)
def test_bad_input_is_named(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
