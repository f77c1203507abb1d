"""Figures of couplings, one or all: scales, masks and pages."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from flowjax_ood import figures
from flowjax_ood.figures import coupling_pages, style
from tests.helpers.drawings import ID, MAP, OOD, RNG, coupling, texts


def test_coupling_shows_prediction_and_target_on_one_scale_and_masked_in_grey():
    figure = coupling({ID: 0.91, OOD: 0.93})
    limits = {}
    for axes in figure.axes[:10]:
        image = axes.images[0]
        limits.setdefault(axes.get_subplotspec().colspan.start, set()).add(
            image.get_clim()
        )
    _, seen, predicted, target, scale = (limits[c] for c in range(5))
    assert seen == predicted == target
    assert len(seen) == 1
    ((low, high),) = scale
    assert low == -high
    image = figure.axes[2].images[0]
    masked = image.cmap(image.norm(image.get_array()))[0, 0]
    assert to_hex(masked).upper() == style.MASKED
    shown = texts(figure)
    assert any("predicts hidden pixels of MNIST as well as" in t for t in shown)
    assert any("corr(−t, x) = 0.93" in text for text in shown)
    worse = texts(coupling({ID: 0.91, OOD: 0.4}))
    assert any("less well than" in text.replace("\n", " ") for text in worse)
    assert not any("as well as" in text for text in texts(coupling()))


def row(label, count, channels=1):
    image = np.zeros((4, 4, channels), np.uint8)
    maps = []
    for k in range(count):
        values = RNG.standard_normal((4, 4, channels))
        values[k % 2 :: 2] = np.nan
        maps.append({"-t": values, "s": 0.1 * values})
    return label, label == ID, image, maps


def said(figure) -> str:
    return " ".join(texts(figure)).replace("\n", " ")


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("count", "per_page", "pages"), [(1, 8, 1), (9, 8, 2), (5, 2, 3), (4, 2, 2)]
)
def test_every_coupling_is_on_one_page(count, per_page, pages):
    rows = [row(ID, count), row(OOD, count)]
    names = [f"event {k}" for k in range(count)]
    drawn = coupling_pages(rows, names=names, per_page=per_page)
    assert len(drawn) == pages
    shown = [t for f in drawn for t in said(f).split("event ")[1:]]
    assert [int(t.split()[0]) for t in shown] == list(range(count))
    # an image and two maps of each coupling, for each row; bars below, and one beside
    for figure in drawn:
        images = [a for a in figure.axes if a.images]
        columns = (len(images) - 2) // 4
        assert len(figure.axes) == len(images) + columns + 1
        assert columns <= per_page


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


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda: figures.coupling_panels([(ID, True, {"t": MAP})]),
            r"unknown panels \['t'\]",
        ),
        (
            lambda: figures.coupling_panels(
                [(ID, True, {"s": MAP})], correlation={OOD: 1.0}
            ),
            "which no row shows",
        ),
        (lambda: coupling_pages([]), "nothing to draw"),
        (lambda: coupling_pages([row(ID, 2), row(OOD, 3)]), "all rows need the same"),
        (lambda: coupling_pages([row(ID, 2)], names=["a"]), "1 names for 2"),
        (lambda: coupling_pages([row(ID, 2)], per_page=0), "at least 1, got 0"),
        (lambda: coupling_pages([row(ID, 2)], channel=1), "with a channel 1"),
        (
            lambda: coupling_pages([(ID, True, np.zeros((4, 4, 1)), [{"s": 0}])]),
            r"has no \['-t'\]",
        ),
    ],
)
def test_bad_input_is_named(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
