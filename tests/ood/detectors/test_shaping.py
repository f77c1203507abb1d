"""Shaped features by hand-computed values, and their detectors on blobs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from flowjax_ood.ood import ASH, DICE, SCALE, ReAct
from flowjax_ood.ood.detectors.shaping import ash, react, scale, sum_of_largest
from flowjax_ood.ood.network import Outputs
from tests.helpers import blobs

F = jnp.asarray([[4.0, 1, 3, 2, 0], [0, 0, 0, 8, 0]])
E = np.exp


def outputs_of(f):
    f = np.asarray(f, np.float32)
    return Outputs(f @ blobs.W + blobs.B, f, {})


def random_features(seed=0, count=40):
    return np.maximum(np.random.RandomState(seed).randn(count, blobs.UNITS), 0)


def energy_of(f, w=blobs.W):
    return special.logsumexp(np.asarray(f, np.float64) @ w + blobs.B, axis=1)


def test_react_clips():
    np.testing.assert_array_equal(
        react(F, 2.5), [[2.5, 1, 2.5, 2, 0], [0, 0, 0, 2.5, 0]]
    )


# pruned 0.6 of five keeps two: 4 and 3 of the first row, whose sum is 10; 8 and the
# first of the zeros of the second
@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("p", [[4, 0, 3, 0, 0], [0, 0, 0, 8, 0]]),
        ("b", [[5, 0, 5, 0, 0], [4, 0, 0, 4, 0]]),
        ("s", [[4 * E(10 / 7), 0, 3 * E(10 / 7), 0, 0], [0, 0, 0, 8 * E(1), 0]]),
    ],
)
def test_ash(variant, expected):
    np.testing.assert_allclose(ash(F, 0.6, variant), expected, rtol=1e-6)


def test_scale_keeps_all():
    expected = np.asarray(F) * E([[10 / 7], [1]])
    np.testing.assert_allclose(scale(F, 0.6), expected, rtol=1e-6)


@pytest.mark.thorough
def test_ash_b_keeps_the_published_count_whatever_is_tied():
    f = jnp.asarray(random_features() + 0.1) * (np.arange(blobs.UNITS) < 4)
    kept = ash(f, 0.65, "b")
    assert (kept > 0).sum(1).tolist() == [8] * len(f)  # 24 less 15.6, rounded
    np.testing.assert_allclose(kept.sum(1), f.sum(1), rtol=1e-5)


@pytest.mark.parametrize("variant", ["p", "b", "s"])
def test_a_row_of_zeros_stays_so(variant):
    assert not np.any(ash(jnp.zeros((2, 5)), 0.6, variant))
    assert not np.any(scale(jnp.zeros((2, 5)), 0.6))


def test_nothing_pruned_changes_nothing_but_the_factor():
    np.testing.assert_array_equal(ash(F, 0.0, "p"), F)
    np.testing.assert_allclose(ash(F, 0.0, "s"), F * E(1), rtol=1e-6)
    np.testing.assert_allclose(scale(F, 0.0), F * E(1), rtol=1e-6)


@pytest.mark.thorough
def test_a_tiny_share_of_the_sum_stays_finite():
    f = jnp.ones((1, 2000)) / 1000
    assert np.isfinite(ash(f, 0.999, "s")).all()
    assert np.isfinite(scale(f, 0.999)).all()


@pytest.mark.parametrize("at", [0, 4])
@pytest.mark.parametrize("row", [0, 1])
def test_nan_is_not_pruned_away(row, at):
    f = F.at[row, at].set(jnp.nan)
    for shaped in (*(ash(f, 0.6, v) for v in "pbs"), scale(f, 0.6)):
        assert np.isnan(shaped[row]).any()
        assert np.isfinite(shaped[1 - row]).all()


@pytest.mark.parametrize(
    ("size", "pruned", "kept"),
    [(512, 0.65, 179), (2048, 0.85, 307), (128, 0.85, 19), (100, 0.58, 42)],
)
def test_the_published_count_is_kept(size, pruned, kept):
    """`D - round(p D)`, of whole shares whatever floats make of them."""
    f = np.random.RandomState(0).rand(1, size).astype(np.float32) + 0.1
    assert np.sum(np.asarray(ash(f, pruned, "p")) > 0) == kept


@pytest.mark.parametrize("detector", [ASH(), SCALE()], ids=lambda d: d.name)
def test_negative_features_are_refused(detector):
    f = random_features()
    f[3, 5] = -0.25
    with pytest.raises(ValueError, match=r"not negative.* the least is -0\.25"):
        detector.fit(blobs.NETWORK, blobs.given(train=outputs_of(f)))
    with pytest.raises(ValueError, match=f"{detector.name} needs features that are"):
        detector.fit(blobs.NETWORK).score_outputs(outputs_of(f))


def test_react_clips_at_a_percentile_of_all_training_features():
    train, new = random_features(0), random_features(1)
    fitted = ReAct(70).fit(blobs.NETWORK, blobs.given(train=outputs_of(train)))
    expected = energy_of(np.minimum(new, np.percentile(train, 70)))
    found = fitted.score_outputs(outputs_of(new))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_dice_drops_weights_of_small_contribution():
    train, new = random_features(0), random_features(1)
    fitted = DICE(0.75).fit(blobs.NETWORK, blobs.given(train=outputs_of(train)))
    order = np.argsort((train.mean(0)[:, None] * blobs.W).ravel())
    w = blobs.W.ravel().copy()
    w[order[: len(order) * 3 // 4]] = 0
    found = fitted.score_outputs(outputs_of(new))
    expected = energy_of(new, w.reshape(blobs.W.shape))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("detector", "shape"),
    [
        (ASH("p", 0.8), lambda f: ash(f, 0.8, "p")),
        (ASH("b", 0.5), lambda f: ash(f, 0.5, "b")),
        (ASH("s", 0.7), lambda f: ash(f, 0.7, "s")),
        (SCALE(0.6), lambda f: scale(f, 0.6)),
    ],
)
def test_score_is_the_energy_of_shaped_features(detector, shape):
    f = random_features(1)
    found = detector.fit(blobs.NETWORK).score_outputs(outputs_of(f))
    expected = energy_of(jax.jit(shape)(f))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


ALL = [ReAct(), ASH("p"), ASH("b"), ASH("s"), SCALE(), DICE(0.5)]


# Their score is an energy: images far out get more of it, grey ones less.
@pytest.mark.parametrize("detector", ALL, ids=repr)
def test_grey_images_are_outliers(detector):
    fitted = detector.fit(blobs.NETWORK, blobs.given())
    assert blobs.area(fitted, blobs.grey()) > 0.95


@pytest.mark.parametrize("detector", ALL, ids=repr)
def test_dead_features(detector):
    train, new = (random_features(s) * (np.arange(24) < 8) for s in (0, 1))
    fitted = detector.fit(blobs.NETWORK, blobs.given(train=outputs_of(train)))
    assert np.isfinite(fitted.score_outputs(outputs_of(new))).all()
    assert np.isfinite(fitted.score_outputs(outputs_of(0 * new))).all()


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_largest_of_a_row_are_those_of_sorting(dtype):
    rng = np.random.default_rng(0)
    f = rng.choice([-2.5, -1, -0.0, 0.0, 1e-20, 0.3, 7], size=(40, 9)).astype(dtype)
    f[:20] = rng.normal(size=(20, 9))
    for count in (1, 4, 9):
        expected = np.sort(f.astype(np.float64), axis=1)[:, -count:].sum(1)
        np.testing.assert_allclose(
            sum_of_largest(jnp.asarray(f, jnp.float32), count)[:, 0],
            expected,
            rtol=1e-6,
            atol=1e-6,
        )
