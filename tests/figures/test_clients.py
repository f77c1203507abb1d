"""Clients: areas, differences and accuracies are drawn where they belong."""

import numpy as np
import pytest

from flowjax_ood.figures.clients import client_panels
from flowjax_ood.figures.layout import png_bytes
from tests.helpers.drawings import texts

AREAS = {
    "plain": {"near": [0.6, 0.7], "digits": [0.9, 0.8]},
    "told": {"near": [0.65, 0.75], "digits": [0.5, 0.7]},
}
APART = {"by_client": [[0.1, -0.2], [0.05, 0.3]], "mean": 0.0625}
DIFFERENCES = {
    "plain": APART | {"low": 0.0, "high": 0.0},
    "told": APART | {"low": -0.1, "high": 0.2},
}


def drawn(**changes):
    given = {"areas": AREAS, "differences": DIFFERENCES, "accuracies": {"told": [0.5]}}
    return client_panels(**given | changes, base="plain", of="near")


def dots(axes) -> np.ndarray:
    return np.concatenate([c.get_offsets() for c in axes.collections])


def test_numbers_stand_where_they_belong():
    figure = drawn()
    areas, apart, accuracy = figure.axes
    found = dots(areas)
    np.testing.assert_allclose(found[:, 0], [0.6, 0.7, 0.9, 0.8, 0.65, 0.75, 0.5, 0.7])
    np.testing.assert_array_equal(found[:, 1], [0, 0, 0, 0, 1, 1, 1, 1])
    # the base has no difference to itself
    assert (np.abs(dots(apart)[:, 1] - 1) < 0.2).all()
    np.testing.assert_allclose(dots(apart)[:, 0], [0.1, -0.2, 0.05, 0.3])
    ends, mean, _ = apart.lines
    np.testing.assert_allclose(ends.get_xdata(), [-0.1, 0.2])
    np.testing.assert_allclose(mean.get_xdata(), [0.0625])
    np.testing.assert_allclose(dots(accuracy), [[0.5, 1]])
    assert {"near", "digits", "plain", "told"} < {*texts(figure)}
    assert png_bytes(figure)[:4] == b"\x89PNG"


def test_one_seed_has_no_interval_and_no_row_is_refused():
    one = APART | {"low": None, "high": None}
    apart = drawn(differences={"told": one}).axes[1]
    assert len(apart.lines) == 2
    with pytest.raises(ValueError, match="no row to draw"):
        drawn(areas={})
