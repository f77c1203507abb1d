"""Measures against depth: every set, and what is off the scale."""

import numpy as np
import pytest

from flowjax_ood.figures import depth_profiles, style
from flowjax_ood.figures.depth import MEASURES
from tests.helpers.drawings import ID, OOD, texts


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
    assert f"{OOD} (OOD)" in texts(figure)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: depth_profiles({OOD: []}, id_name=ID), "no in-distribution set"),
        (lambda: depth_profiles({ID: []}, id_name=ID), "0 couplings"),
        (
            lambda: depth_profiles({ID: [measures(0)], OOD: []}, id_name=ID),
            "'MNIST' has 0 couplings, not 1",
        ),
        (
            lambda: depth_profiles({ID: [measures(0)]}, id_name=ID, groups=[]),
            "0 groups for 1",
        ),
    ],
)
def test_bad_input_is_named(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
