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


def test_the_figure_says_that_the_axis_is_compressed():
    def text(ood):
        sets = {"id": NEAR, "ood": ood}
        figure = figures.likelihood_histograms(
            {"flow": sets}, id_name="id", unit="nats"
        )
        return " ".join(
            t.get_text() for t in figure.findobj() if hasattr(t, "get_text")
        )

    assert "compressed" in text(30 * NEAR).replace("\n", " ")
    assert "compressed" not in text(NEAR - 100)


def test_bits_per_dim_stay_on_a_linear_axis():
    sets = {"id": RNG.normal(3, 0.1, 200), "ood": RNG.normal(300, 0.1, 200)}
    figure = figures.likelihood_histograms({"flow": sets}, id_name="id")
    low, high = figure.axes[0].get_xlim()
    assert low < -299
    assert high > -4


def test_terms_are_drawn_in_nats():
    parts = {"id": (NEAR, NEAR / 100), "ood": (40 * NEAR, NEAR / 90)}
    figure = figures.split_likelihood(
        {"flow": parts}, id_name="id", dims=9, unit="nats"
    )
    assert [a.get_xlabel() for a in figure.axes] == [
        "log p(z) (nats)",
        "log |det dz/dx| (nats)",
    ]
    # the second term is on a linear axis: as it is, whatever `dims` says
    low, high = figure.axes[1].get_xlim()
    assert -20 < low < high < -13


def test_another_unit_is_refused():
    sets = {"flow": {"id": NEAR}}
    with pytest.raises(ValueError, match="unknown unit 'bits'; known: bits/dim, nats"):
        figures.likelihood_histograms(sets, id_name="id", unit="bits")
