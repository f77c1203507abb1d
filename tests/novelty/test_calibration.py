"""p-values where some of those that calibrate are copies."""

import numpy as np
import pytest

from flowjax_ood.novelty.calibration import (
    TOLERANCE,
    NormalScores,
    find_repeated,
    with_tolerance,
)

RNG = np.random.default_rng(0)


def drawn(count: int, atom: float, rng=RNG) -> np.ndarray:
    """Scores of a law where a share `atom` has the least score of all."""
    scores = rng.normal(size=count)
    return np.where(rng.random(count) < atom, -9.0, scores)


def calibrated(known: np.ndarray, fitted: np.ndarray) -> NormalScores:
    return NormalScores(known, find_repeated(fitted[:, None], known[:, None]))


@pytest.mark.parametrize("atom", [0.0, 0.3])
def test_p_values_hold_where_normal_examples_repeat(atom):
    rng = np.random.default_rng(1)
    rates = []
    for _ in range(300):
        known, fitted = drawn(60, atom, rng), drawn(60, atom, rng)
        rates.append(calibrated(known, fitted).p_values(drawn(50, atom, rng)) <= 0.1)
    found = np.mean(rates)
    assert found <= 0.1 + 4 * np.std(np.mean(rates, 1)) / np.sqrt(300)
    # without copies nothing is lost
    assert atom or found > 0.07


def test_p_values_hold_where_copies_were_made_by_accident():
    rng = np.random.default_rng(2)
    rates = []
    for _ in range(300):
        # what was fitted to looks usual; half of what calibrates is of it
        fitted, fresh = rng.normal(3, 1, size=60), rng.normal(size=60)
        known = np.concatenate([fitted, fresh])
        rates.append(calibrated(known, fitted).p_values(rng.normal(size=50)) <= 0.1)
    error = np.std(np.mean(rates, 1)) / np.sqrt(300)
    assert abs(np.mean(rates) - 6 / 61) < 4 * error


def test_copies_are_those_of_others_before_them():
    x = np.array([[1.0, 2], [3, 4]])
    held_out = np.array([[3.0, 4], [5, 6], [5, 6], [7, 8]])
    np.testing.assert_array_equal(find_repeated(x, held_out), [1, 0, 1, 0])


def test_a_score_that_differs_in_the_last_bits_is_a_tie():
    known = NormalScores(-np.arange(1.0, 41), np.zeros(40, bool))
    exact = known.p_values(known.scores)
    off = known.p_values(known.scores * (1 + TOLERANCE / 2))
    np.testing.assert_array_equal(off, exact)
    assert known.p_values(np.array([-40.5]))[0] == known.least_p
    np.testing.assert_allclose(with_tolerance(np.array([-1.0, 2])), [-0.9999, 2.0002])


@pytest.mark.parametrize(
    ("count", "copies", "message"),
    [(19, 0, "19 examples calibrate, 19 of which"), (40, 22, "40 .*, 18 of which")],
)
def test_too_few_are_refused(count, copies, message):
    repeated = np.arange(count) < copies
    with pytest.raises(ValueError, match=message):
        NormalScores(np.arange(count, dtype=float), repeated)
