"""Risk control: the expected loss is bounded, the least threshold is taken."""

import numpy as np
import pytest

from flowjax_ood import ood

RNG = np.random.default_rng
GRID = np.linspace(0, 1, 41)


def drawn_losses(rng, shape, bound):
    """Losses that fall along GRID in steps, at random places, from random heights."""
    heights = rng.uniform(0.5, 1, (*shape, 1)) * bound
    first, second = np.sort(rng.uniform(size=(2, *shape, 1)) ** 2, axis=0)
    return heights * np.where(first > GRID, 1, np.where(second > GRID, 0.4, 0))


@pytest.mark.parametrize(("bound", "alpha"), [(1.0, 0.1), (3.0, 0.5), (1.0, 0.02)])
def test_the_expected_loss_is_at_most_alpha(bound, alpha):
    rng, n, found = RNG(0), 60, []
    for losses in drawn_losses(rng, (2000, n + 1), bound):
        control = ood.control_risk(losses[:n], GRID, alpha, bound)
        at = np.searchsorted(GRID, control.threshold)
        found.append(losses[n, at])
    error = np.std(found) / np.sqrt(2000)
    assert np.mean(found) <= alpha + 4 * error
    # as tight as the grid and the n examples are
    assert np.mean(found) > alpha - 3 * bound / (n + 1) - 4 * error


def test_the_least_threshold_that_fits_is_taken():
    losses = drawn_losses(RNG(1), (50,), 1.0)
    for alpha in (0.03, 0.1, 0.4):
        found = ood.control_risk(losses, GRID, alpha)
        bounds = 50 / 51 * losses.mean(0) + 1 / 51
        first = next(i for i in range(41) if bounds[i] <= alpha)
        assert found.threshold == GRID[first]
        assert found.empirical == pytest.approx(losses[:, first].mean(), rel=1e-12)
        assert found.bound == pytest.approx(bounds[first], rel=1e-12)
        assert found.bound <= alpha


def test_where_no_threshold_fits_nothing_is_decided():
    losses = np.full((99, 3), 0.5)
    assert ood.control_risk(losses, [0, 1, 2], 0.4) == (np.inf, 0, 0)
    # one in a hundred is the least there can be, even without any loss
    assert ood.control_risk(0 * losses, [0, 1, 2], 0.01).threshold == 0
    with pytest.warns(UserWarning, match="takes at least 100$"):
        assert ood.control_risk(0 * losses, [0, 1, 2], 1 / 101).threshold == np.inf


def test_the_loss_of_accepting_gives_the_threshold_of_calibration():
    for n in (19, 20, 99):
        scores = np.round(RNG(n).normal(size=n), 1)
        grid = np.concatenate([[-np.inf], np.unique(scores)])
        accepted = scores[:, None] > grid
        for alpha in (0.05, 0.1, 0.3, 0.77):
            expected = ood.Calibration.fit(scores, side="high").threshold(alpha)
            assert ood.control_risk(accepted, grid, alpha).threshold == expected
            wrong = np.ones(n, bool)
            assert ood.abstain(scores, wrong, alpha).threshold == expected


@pytest.mark.parametrize("share", [0.0, 0.03, 0.3, 1.0])
def test_abstention_is_risk_control_over_all_thresholds(share):
    for n in (20, 57, 200):
        rng = RNG(n)
        scores = np.round(rng.normal(size=n), 1)
        wrong = rng.uniform(size=n) < share
        grid = np.concatenate([[-np.inf], np.unique(scores)])
        losses = (scores[:, None] > grid) & wrong[:, None]
        for alpha in (0.05, 0.1, 0.5):
            found = ood.abstain(scores, wrong, alpha)
            expected = ood.control_risk(losses, grid, alpha)
            assert found == pytest.approx(expected, rel=1e-12)
    if not share:
        assert found.threshold == -np.inf


def test_accepted_errors_are_at_most_alpha_of_all_inputs():
    rng, n, alpha = RNG(2), 100, 0.05
    scores = rng.normal(size=(2000, n + 1))
    wrong = rng.uniform(size=scores.shape) < 1 / (1 + np.exp(2 * scores))
    accepted = np.array(
        [
            s[n] > ood.abstain(s[:n], w[:n], alpha).threshold
            for s, w in zip(scores, wrong, strict=True)
        ]
    )
    error = 4 * np.sqrt(alpha * (1 - alpha) / 2000)
    assert abs(np.mean(accepted & wrong[:, n]) - alpha) < error + 1 / (n + 1)
    assert 0.2 < accepted.mean() < 0.9


def test_too_few_examples_abstain_always():
    with pytest.warns(UserWarning, match="accepts nothing; it takes at least 19$"):
        found = ood.abstain(np.arange(18.0), np.zeros(18, bool), 0.05)
    assert found == (np.inf, 0, 0)


@pytest.mark.parametrize(
    ("losses", "thresholds", "alpha", "bound", "match"),
    [
        (
            [[1, 0], [0, 0.5]],
            [0, 1],
            0.1,
            1,
            r"\[1, 0\] is 0 and the next .* 0.5",
        ),
        (
            [[1, 0], [1.5, 0]],
            [0, 1],
            0.1,
            1,
            r"\[1, 0\] is 1.5, outside \[0, 1\]",
        ),
        ([[1, -0.5]], [0, 1], 0.1, 1, r"losses\[0, 1\] is -0.5"),
        ([[1, np.nan]], [0, 1], 0.1, 1, r"losses\[0, 1\] is nan"),
        ([1, 0], [0, 1], 0.1, 1, r"\[n, 2\] of n >= 1 examples, got shape \(2,\)"),
        (np.zeros((0, 2)), [0, 1], 0.1, 1, "n >= 1"),
        ([[1, 0]], [0, 1, 2], 0.1, 1, r"\[n, 3\]"),
        ([[1, 0]], [1, 1], 0.1, 1, "number 0 is 1.0 and number 1 is 1.0"),
        ([[1, 0]], [0, np.nan], 0.1, 1, r"thresholds\[1\] is NaN"),
        ([[1, 0]], [0, 1], 0, 1, "alpha must lie"),
        ([[1, 0]], [0, 1], 1, 1, "alpha must lie"),
        ([[1, 0]], [0, 1], 0.1, np.inf, "bound must be positive"),
        ([[0, 0]], [0, 1], 0.1, 0, "bound must be positive"),
    ],
)
def test_bad_losses(losses, thresholds, alpha, bound, match):
    with pytest.raises(ValueError, match=match):
        ood.control_risk(losses, thresholds, alpha, bound)


def test_bad_abstention():
    scores, wrong = np.arange(30.0), np.zeros(30, bool)
    with pytest.raises(TypeError, match="wrong must be booleans, got dtype int"):
        ood.abstain(scores, wrong.astype(int), 0.1)
    with pytest.raises(ValueError, match=r"wrong of shape \(29,\)"):
        ood.abstain(scores, wrong[1:], 0.1)
    with pytest.raises(ValueError, match="alpha must lie"):
        ood.abstain(scores, wrong, 1.0)
    with pytest.raises(ValueError, match=r"scores\[0\] is NaN"):
        ood.abstain(scores * np.nan, wrong, 0.1)
