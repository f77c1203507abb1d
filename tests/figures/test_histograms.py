"""The compressed axis: monotone, exact to invert, with ticks one can read."""

import numpy as np
import pytest

from flowjax_ood import figures
from flowjax_ood.figures.histograms import FarAxis, far_axis

RNG = np.random.default_rng(0)
NEAR = RNG.normal(-1500, 40, 500)


@pytest.mark.parametrize("axis", [FarAxis(0.0, 1.0), FarAxis(-1500.0, 80.0)])
def test_places_and_values_are_each_others_inverse(axis):
    values = np.linspace(-1e5, 1e3, 301)
    np.testing.assert_allclose(axis.back(axis.to(values)), values, rtol=1e-9)
    assert (np.diff(axis.to(values)) > 0).all()
    assert axis.to(np.array([axis.center])) == 0


def test_it_is_linear_at_the_reference():
    axis = FarAxis(-1500.0, 80.0)
    near = np.array([-1500.4, -1500.0, -1499.6])
    np.testing.assert_allclose(np.diff(axis.to(near)), 0.4 / 80, rtol=1e-4)


def test_sets_that_are_near_need_no_such_axis():
    assert far_axis(NEAR, [NEAR, NEAR - 300]) is None
    found = far_axis(NEAR, [NEAR, 30 * NEAR])
    assert found.center == pytest.approx(np.median(NEAR))
    # the reference stays in sight
    u = found.to(NEAR), found.to(30 * NEAR)
    assert np.ptp(u[0]) > 0.2 * np.ptp(np.concatenate(u))


def test_what_is_not_finite_is_left_out():
    broken = np.append(NEAR, [np.nan, -np.inf])
    found = far_axis(broken, [broken, 30 * NEAR])
    assert found.center == pytest.approx(np.median(NEAR))


@pytest.mark.parametrize("scale", [3, 30, 1e4])
def test_ticks_are_where_they_say_in_order_and_apart(scale):
    sets = {"id": NEAR, "ood": scale * NEAR}
    figure = figures.likelihood_histograms({"flow": sets}, id_name="id", unit="nats")
    axes = figure.axes[0]
    found = far_axis(NEAR, sets.values())
    ticks = axes.get_xticks()
    labels = [t.get_text() for t in axes.get_xticklabels()]
    assert 3 <= len(ticks) <= 8
    assert (np.diff(ticks) >= np.ptp(axes.get_xlim()) / 7 - 1e-9).all()
    for at, label in zip(ticks, labels):
        text = label.replace("−", "-").replace("M", "e6").replace("k", "e3")
        assert found.back(at) == pytest.approx(float(text), rel=1e-9)
    assert "(nats)" in axes.get_xlabel()
