"""Interventions: predictions of images and of their donors."""

import pytest

from flowjax_ood.figures import coadaptation_panels
from flowjax_ood.figures.coadaptation import LABELS
from tests.helpers.drawings import ID, OOD, texts


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
    title = "What coupling 2 reads: a code, or the content?"
    assert title in texts(figure)
    last = coadaptation_panels({ID: adapted(2)}, id_name=ID)
    assert len(last.axes) == 2


@pytest.mark.parametrize(
    ("draw", "message"),
    [
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
