"""Histograms of likelihood and of its terms: what they show, and what they refuse."""

import numpy as np
import pytest

from flowjax_ood import figures
from flowjax_ood.figures.likelihoods import area_under_roc
from tests.helpers.drawings import ID, MAP, OOD, histograms, normal, texts

NEAR = np.random.default_rng(0).normal(-1500, 40, 500)


def test_histograms_put_more_likely_at_the_right_and_say_what_they_show():
    figure = histograms()
    (axes,) = figure.axes
    assert "log-likelihood (bits/dim)" in axes.get_xlabel()
    peak = {}
    for patch in axes.patches:
        density, edges, _ = patch.get_data()
        peak[patch.get_label()] = edges[np.argmax(density)]
    assert peak[ID] == pytest.approx(-4, abs=0.4)
    assert peak[OOD] == pytest.approx(-3, abs=0.4)
    shown = texts(figure)
    assert f"{OOD} more likely than {ID}" in shown
    assert "AUROC 0.040\n[0.030, 0.050]" in shown


@pytest.mark.parametrize(
    ("shift", "verdict"), [(-1, "more likely than"), (0, "as likely as"), (1, "less")]
)
def test_verdict_of_a_panel_follows_the_data(shift, verdict):
    panels = {"flow": {ID: normal(4.0), OOD: normal(4.0) + shift}}
    shown = texts(figures.likelihood_histograms(panels, id_name=ID))
    assert any(text.startswith(f"{OOD} {verdict}") for text in shown)


def test_histogram_is_a_density_over_all_images_also_those_outside():
    bits = np.concatenate([normal(4.0, 990), np.full(10, 1e6)])
    figure = figures.likelihood_histograms({"flow": {ID: bits}}, id_name=ID)
    patch = next(p for p in figure.axes[0].patches if p.get_label() == ID)
    density, edges, _ = patch.get_data()
    inside = np.sum(density * np.diff(edges))
    assert 0.97 < inside <= 0.9901


def test_limits_ignore_outliers_and_the_caption_counts_them():
    bits = normal(4.0, 1000)
    bits[:60] = 10.0 ** np.arange(60)  # 6%: more than the quantiles alone would cut
    bits[60], bits[61] = np.inf, np.nan
    panels = {"flow": {ID: bits, OOD: normal(3.0)}}
    figure = figures.likelihood_histograms(panels, id_name=ID)
    low, high = figure.axes[0].get_xlim()
    assert -7 < low < -4.5
    assert -2.5 < high < 0
    caption = next(t for t in texts(figure) if t.startswith("Outside"))
    hidden = int(np.sum(~((-bits >= low) & (-bits <= high))))
    assert hidden >= 60
    assert f"{hidden} of 1,000 {ID} (1 not a number)" in caption.replace("\n", " ")


def test_panels_share_the_axis_only_if_their_ranges_are_comparable():
    near = {"a": {ID: normal(4.0)}, "b": {ID: normal(4.5)}}
    far = {"a": {ID: normal(4.0)}, "b": {ID: normal(40.0)}}
    a, b = figures.likelihood_histograms(near, id_name=ID).axes
    assert a.get_xlim() == b.get_xlim()
    a, b = figures.likelihood_histograms(far, id_name=ID).axes
    assert a.get_xlim()[0] > b.get_xlim()[1]


def test_one_constant_set_still_has_an_axis():
    panels = {"flow": {ID: np.full(5, 4.0)}}
    (axes,) = figures.likelihood_histograms(panels, id_name=ID).axes
    assert axes.get_xlim()[0] < -4 < axes.get_xlim()[1]
    with pytest.raises(ValueError, match="not one value is finite"):
        figures.likelihood_histograms({"flow": {ID: np.full(5, np.inf)}}, id_name=ID)


def test_split_shows_bits_per_dimension():
    pair = (np.full(9, -784 * np.log(2)), np.full(9, 3 * 784 * np.log(2)))
    figure = figures.split_likelihood({"f": {ID: pair}}, id_name=ID, dims=784)
    for axes, bits in zip(figure.axes, (-1.0, 3.0)):
        assert np.mean(axes.get_xlim()) == pytest.approx(bits)


def test_what_is_not_a_number_is_the_least_likely():
    assert area_under_roc(np.array([1.0, 2.0]), np.array([np.nan, 1.0])) == 0.875
    assert area_under_roc(np.array([np.nan]), np.array([0.0, -np.inf])) == 0.25


def test_the_figure_says_that_the_axis_is_compressed():
    def said(ood):
        sets = {"id": NEAR, "ood": ood}
        figure = figures.likelihood_histograms(
            {"flow": sets}, id_name="id", unit="nats"
        )
        return " ".join(texts(figure)).replace("\n", " ")

    assert "compressed" in said(30 * NEAR)
    assert "compressed" not in said(NEAR - 100)


def test_bits_per_dim_stay_on_a_linear_axis():
    sets = {"id": normal(3), "ood": normal(300)}
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


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: figures.likelihood_histograms({}, id_name=ID), "no flow to draw"),
        (
            lambda: figures.likelihood_histograms({"f": {OOD: [1.0]}}, id_name=ID),
            "no in-distribution set 'FashionMNIST'",
        ),
        (
            lambda: figures.likelihood_histograms({"f": {ID: MAP}}, id_name=ID),
            r"bits_per_dim of 'FashionMNIST' \(f\).*\(8, 8, 1\)",
        ),
        (
            lambda: figures.likelihood_histograms(
                {"f": {ID: [1.0], OOD: [2.0]}},
                id_name=ID,
                auroc={"f": {OOD: (0.9, 0.95, 0.99)}},
            ),
            r"low <= value <= high",
        ),
        (
            lambda: figures.likelihood_histograms(
                {"f": {ID: [1.0]}}, id_name=ID, auroc={"f": {OOD: (0.5, 0.4, 0.6)}}
            ),
            r"names \['MNIST'\]; its OOD sets are \[\]",
        ),
        (
            lambda: figures.split_likelihood(
                {"f": {ID: ([1.0], [1.0, 2.0])}}, id_name=ID, dims=4
            ),
            "must describe the same images",
        ),
    ],
)
def test_bad_input_is_named(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
