"""Panels of likelihood maps: one symmetric scale, and what they refuse."""

import numpy as np
import pytest

from flowjax_ood import figures
from tests.helpers.drawings import ID, IMAGES, OOD

MAPS = {"a": np.arange(64.0).reshape(8, 8), "b": -np.ones((8, 8))}


def rows(**changes):
    return [(ID, True, IMAGES[0], MAPS), (OOD, False, IMAGES[1], MAPS | changes)]


def test_maps_share_one_symmetric_scale_and_notes_are_below():
    figure = figures.likelihood_map_panels(
        rows(a=np.full((8, 8), np.nan)),
        notes=[{"a": "3.1"}, {"a": "2.0", "image": "mean"}],
    )
    axes = [a for a in figure.axes if a.images]
    maps = [a.images[0] for a in axes if a.images[0].get_array().ndim == 2]
    assert len(maps) == 4
    ((low, high),) = {image.get_clim() for image in maps}
    assert low == -high
    assert 60 < high <= 63
    said = [a.get_xlabel() for a in axes]
    assert said == ["", "3.1", "", "mean", "2.0", ""]
    assert maps[2].get_array().mask.all()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (rows(c=MAPS["a"]), "all rows need the same"),
        (rows(a=np.zeros((8, 8, 1))), r"'MNIST' by 'a' must be \[H, W\].*\(8, 8, 1\)"),
        ([], "nothing to draw"),
    ],
)
def test_bad_input_is_named(wrong, said):
    with pytest.raises(ValueError, match=said):
        figures.likelihood_map_panels(wrong)
