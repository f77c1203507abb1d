"""AUROC against severity: every number is drawn where it belongs, bad input named."""

import numpy as np
import pytest

from flowjax_ood.figures.layout import png_bytes
from flowjax_ood.figures.severities import LOOKS, plot_auroc_by_severity

KINDS = ("gaussian_noise", "fog", "jpeg_compression")
ROWS = {
    "FSSD": {
        k: [0.5 + 0.1 * s - 0.02 * i for s in range(5)] for i, k in enumerate(KINDS)
    },
    "MSP": {k: [0.5, 0.52, 0.55, 0.6, 0.4 + 0.1 * i] for i, k in enumerate(KINDS)},
}


def lines(axes):
    return {line.get_label(): line for line in axes.lines if line.get_label() in ROWS}


def key(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_panel_for_the_mean_and_one_for_each_kind():
    figure = plot_auroc_by_severity(ROWS, id_name="FashionMNIST")
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [
        "mean of 3 kinds",
        "gaussian noise",
        "fog",
        "jpeg compression",
    ]
    mean, *panels = figure.axes
    for name, by_kind in ROWS.items():
        for axes, kind in zip(panels, KINDS):
            np.testing.assert_array_equal(lines(axes)[name].get_xdata(), range(1, 6))
            np.testing.assert_array_equal(lines(axes)[name].get_ydata(), by_kind[kind])
        average = np.mean([by_kind[kind] for kind in KINDS], axis=0)
        np.testing.assert_allclose(lines(mean)[name].get_ydata(), average)
        assert len({lines(axes)[name].get_color() for axes in figure.axes}) == 1
    for axes in figure.axes:
        assert axes.get_ylim() == (0, 1)
        chance = [line for line in axes.lines if set(line.get_ydata()) == {0.5}]
        assert len(chance) == 1
    assert png_bytes(figure)[:4] == b"\x89PNG"


def test_severities_stand_where_they_are():
    few = {n: {k: v[:2] for k, v in by.items()} for n, by in ROWS.items()}
    figure = plot_auroc_by_severity(few, severities=(1, 5))
    for axes in figure.axes:
        assert list(axes.get_xticks()) == [1, 5]
        assert all(list(line.get_xdata()) == [1, 5] for line in lines(axes).values())
    for wrong in ((1, 2, 3), (5, 1)):
        with pytest.raises(ValueError, match="need 2 rising severities"):
            plot_auroc_by_severity(few, severities=wrong)


def test_the_key_is_sorted_by_the_mean():
    figure = plot_auroc_by_severity(dict(reversed(ROWS.items())))
    assert key(figure) == ["FSSD 0.680", "MSP 0.534"]


def test_kinds_may_come_in_another_order():
    other = {"MSP": {k: ROWS["MSP"][k] for k in reversed(KINDS)}}
    figure = plot_auroc_by_severity({"FSSD": ROWS["FSSD"], **other})
    for axes, kind in zip(figure.axes[1:], KINDS):
        np.testing.assert_array_equal(lines(axes)["MSP"].get_ydata(), ROWS["MSP"][kind])


def test_a_missing_value_is_a_gap_and_no_mean():
    rows = {
        "FSSD": ROWS["FSSD"],
        "MSP": ROWS["MSP"] | {"fog": [0.5, None, 0.6, 0.7, 1]},
    }
    figure = plot_auroc_by_severity(rows)
    assert np.isnan(lines(figure.axes[2])["MSP"].get_ydata()).tolist() == [
        *(False, True, False, False, False)
    ]
    assert np.isnan(lines(figure.axes[0])["MSP"].get_ydata()).sum() == 1
    assert key(figure) == ["FSSD 0.680", "MSP"]
    png_bytes(figure)


@pytest.mark.parametrize("count", [1, 2, 4, 18, 19])
def test_any_number_of_kinds_has_its_panels(count):
    rows = {"FSSD": {f"kind_{i}": [0.5, 0.6] for i in range(count)}}
    figure = plot_auroc_by_severity(rows)
    assert len(figure.axes) == 1 + count
    corners = [tuple(axes.get_position().bounds[:2]) for axes in figure.axes]
    assert len(set(corners)) == 1 + count
    bottom = [axes for axes in figure.axes if axes.get_xlabel() == "severity"]
    assert 1 <= len(bottom) <= 5


def test_bad_input_is_named():
    draw = plot_auroc_by_severity
    for nothing in ({}, {"FSSD": {}}):
        with pytest.raises(ValueError, match="nothing to draw"):
            draw(nothing)
    with pytest.raises(ValueError, match=r"9 detectors.*only 8 can be told apart"):
        draw({f"d{i}": ROWS["FSSD"] for i in range(len(LOOKS) + 1)})
    with pytest.raises(ValueError, match=r"'MSP' and 'FSSD'.*only one.*has fog"):
        draw(ROWS | {"MSP": {k: v for k, v in ROWS["MSP"].items() if k != "fog"}})
    with pytest.raises(ValueError, match="'MSP' has 4 severities of 'fog', not 5"):
        draw(ROWS | {"MSP": ROWS["MSP"] | {"fog": [0.5] * 4}})
    with pytest.raises(ValueError, match=r"'MSP' for 'fog' must lie in \[0, 1\]"):
        draw(ROWS | {"MSP": ROWS["MSP"] | {"fog": [0.5, 99.6, 0.6, 0.7, 0.8]}})
