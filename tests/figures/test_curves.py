"""ROC and training curves: what they show, and what they refuse."""

import numpy as np
import pytest

from flowjax_ood import figures
from tests.helpers.drawings import OOD, roc, texts


def test_roc_has_equal_axes_a_diagonal_and_a_title_that_fits_the_curves():
    figure = roc()
    (axes,) = figure.axes
    assert axes.get_aspect() == 1
    assert any(
        np.array_equal(line.get_xydata(), [[0, 0], [1, 1]]) for line in axes.lines
    )
    assert any(text.startswith("Below the diagonal") for text in texts(figure))
    good = figures.roc_curves({"f": {OOD: (np.array([0, 0, 1]), [0, 1, 1], 1.0)}})
    assert any(text.startswith("Above the diagonal") for text in texts(good))


def test_training_curve_is_not_squashed_by_its_first_steps():
    seen = np.arange(1, 101)
    bits = np.full(100, 3.0) + 0.01 * np.sin(seen)
    bits[:3] = 1e5
    figure = figures.training_curves({"flow": (seen, bits)})
    assert figure.axes[0].get_ylim()[1] < 4
    assert "Outside the axes: 3 of 100 records (flow)." in texts(figure)


def test_training_curves_of_vectors_are_in_nats():
    figure = figures.training_curves({"flow": ([10, 20], [9.0, 8.0])}, unit="nats")
    axes = figure.axes[0]
    assert axes.get_xlabel() == "training vectors seen"
    assert axes.get_ylabel() == "negative log-likelihood (nats)"
    title = "Negative log-likelihood (nats) during training (lower is better)"
    assert title in texts(figure)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: figures.roc_curves({}), "no ROC curve"),
        (lambda: figures.roc_curves({"f": {OOD: ([0, 1], [0, 2], 0.5)}}), "tpr of"),
        (lambda: figures.roc_curves({"f": {OOD: ([0, 1], [1], 0.5)}}), "one length"),
        (lambda: figures.training_curves({"f": ([1, 2], [3.0])}), "one length"),
        (
            lambda: figures.training_curves({"f": ([1], [3.0])}, unit="bits"),
            "unknown unit 'bits'; known: bits/dim, nats",
        ),
        (lambda: figures.training_curves({"f": ([2, 1], [3.0, 3.0])}), "falls"),
    ],
)
def test_bad_input_is_named(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
