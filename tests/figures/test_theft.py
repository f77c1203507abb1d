"""Theft: clones, AUROC and coherence are drawn where they belong."""

import numpy as np
import pytest

from flowjax_ood.figures.layout import png_bytes
from flowjax_ood.figures.theft import theft_panels

CLONES = {"one": ([0.8, 0.9], [0.5, 0.6]), "many": ([0.7], [0.2])}
AREAS = {"pixels": {"digits": 0.9, "fog": None}, "members": {"digits": 0.4, "fog": 0.7}}
COHERENCE = {
    "members": {"test": 0.9, "digits": 0.3, "fog": 0.5},
    "told": {"test": 0.8, "digits": None, "fog": 0.4},
}


def points(axes):
    return [c.get_offsets() for c in axes.collections]


def test_numbers_stand_where_they_belong():
    figure = theft_panels(CLONES, AREAS, COHERENCE, id_name="test")
    clones, areas, coherence = figure.axes
    one, many = points(clones)
    np.testing.assert_allclose(one, [[50, 0], [60, 0]])
    np.testing.assert_allclose(many, [[20, 1]])
    targets = [line.get_xdata()[0] for line in clones.lines if line.get_lw() == 1.6]
    np.testing.assert_allclose(targets, [85, 70])
    pixels, members = points(areas)
    # what is not scored is not drawn
    np.testing.assert_allclose(pixels[:, 0], [0.9])
    np.testing.assert_allclose(members[:, 0], [0.4, 0.7])
    assert (np.diff(members[:, 1]) == 1).all()
    assert [t.get_text() for t in areas.get_yticklabels()] == ["digits", "fog"]
    whole, told = points(coherence)
    np.testing.assert_allclose(whole[:, 0], [0.9, 0.3, 0.5])
    np.testing.assert_allclose(told[:, 0], [0.8, 0.4])
    assert png_bytes(figure)[:4] == b"\x89PNG"


def test_its_height_goes_by_sets_not_by_names():
    named = {f"{'a' * length}": rows for length, rows in enumerate(COHERENCE.values())}
    long = {f"{name:>99}": rows for name, rows in COHERENCE.items()}
    heights = {
        theft_panels(CLONES, AREAS, coherence, id_name="test").get_figheight()
        for coherence in (COHERENCE, named, long)
    }
    assert len(heights) == 1


def test_what_cannot_be_drawn():
    with pytest.raises(ValueError, match="nothing to draw"):
        theft_panels({}, AREAS, COHERENCE, id_name="test")
    many = {f"detector {k}": {"digits": 0.5} for k in range(9)}
    with pytest.raises(ValueError, match="9 detectors in one figure, but only 8"):
        theft_panels(CLONES, many, COHERENCE, id_name="test")
