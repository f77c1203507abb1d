"""Tests of one image's latents: published formulas, laws on noise, invariances."""

import numpy as np
import pytest
from scipy import stats

from flowjax_ood import ood
from flowjax_ood.bijectors import Chain, Patches
from flowjax_ood.distributions import Flow
from flowjax_ood.ood.flows.latent_tests import anderson_darling, variation
from tests.helpers.scored_flows import (
    gaussian_flow,
    identity_flow,
    images,
    normal_outputs,
    shaped_outputs,
    two_scales,
)

RNG = np.random.default_rng


def noise(count: int, seed: int = 0, channels: int = 1) -> np.ndarray:
    return RNG(seed).normal(size=(count, 8, 8, channels))


def scored(score, z, **given):
    network = identity_flow(z.shape[-1])
    return score.fit(network, ood.Given(**given)).score_outputs(normal_outputs(z))


@pytest.mark.filterwarnings("ignore:As of SciPy")
def test_anderson_darling_is_that_of_scipy():
    z = RNG(0).gamma(3, size=(6, 40))
    expected = [stats.anderson(row, dist="norm").statistic for row in z]
    np.testing.assert_allclose(anderson_darling(z), expected, rtol=1e-10)
    images = z[:, :36].reshape(6, 6, 6)
    padded = np.pad(images, ((0, 0), (0, 2), (0, 2)), mode="reflect")[..., None]
    expected = [-stats.anderson(row.ravel(), dist="norm").statistic for row in padded]
    np.testing.assert_allclose(scored(ood.AndersonDarling(), padded), expected)


def test_anderson_darling_of_noise_has_the_law_of_its_tables():
    """Stephens 1974, case 3: A^2 (1 + 4/n - 25/n^2) passes 0.787 in 5 % of samples."""
    count, dims = 4000, 64
    statistic = anderson_darling(RNG(1).normal(3, 2, (count, dims)))
    modified = statistic * (1 + 4 / dims - 25 / dims**2)
    for level, critical in ((0.1, 0.656), (0.05, 0.787), (0.01, 1.092)):
        share = np.mean(modified > critical)
        # the table has three digits
        assert abs(share - level) < 4 * np.sqrt(level / count) + 0.05 * level


def test_shifts_scales_and_permutations_leave_anderson_darling_alone():
    z = RNG(2).gamma(2, size=(5, 30))
    before = anderson_darling(z)
    np.testing.assert_allclose(anderson_darling(7 - 3 * z), anderson_darling(-z))
    np.testing.assert_allclose(anderson_darling(3 * z + 7), before)
    np.testing.assert_allclose(anderson_darling(z[:, RNG(0).permutation(30)]), before)


def test_degenerate_rows_are_infinitely_far_and_nan_stays():
    z = np.full((3, 12), 0.1)
    z[1] = RNG(0).normal(size=12)
    z[2, 3] = np.nan
    ad = anderson_darling(z)
    np.testing.assert_array_equal(np.isinf(ad), [True, False, False])
    np.testing.assert_array_equal(np.isnan(ad), [False, False, True])
    assert variation(np.zeros((1, 5)))[0] == np.inf
    with pytest.raises(ValueError, match="at least 3"):
        anderson_darling(np.zeros((4, 2)))


def test_spectra_of_noise_vary_as_an_exponential_does():
    """Power of white noise is exponential but at few frequencies: CV is about 1."""
    network, outputs = identity_flow(3), normal_outputs(noise(300, channels=3))
    for scale in (None, 0):
        cv = -ood.SpectrumVariation(scale).fit(network).score_outputs(outputs)
        # of 2-D spectra, most powers come twice: fewer numbers are independent
        assert abs(cv.mean() - 1) < 0.05
    smooth = np.cumsum(noise(50, channels=3), axis=1)
    assert (-scored(ood.SpectrumVariation(0), smooth)).min() > 1.5


def test_spectra_are_the_published_ones():
    z = noise(4, channels=2)
    signal = np.concatenate([z[..., 0].reshape(4, -1), z[..., 1].reshape(4, -1)], 1)
    frequencies = np.exp(-2j * np.pi * np.outer(np.arange(65), np.arange(128)) / 128)
    power = np.abs(signal @ frequencies.T) ** 2
    expected = -power.std(1, ddof=1) / power.mean(1)
    np.testing.assert_allclose(scored(ood.SpectrumVariation(), z), expected)
    # in 2-D, rolled and transposed positions have the same powers
    moved = np.roll(z, (3, 1), (1, 2)).swapaxes(1, 2)
    spectra = ood.SpectrumVariation(0)
    np.testing.assert_allclose(scored(spectra, moved), scored(spectra, z))
    shuffled = z[:, RNG(0).permutation(8)]
    assert np.abs(scored(spectra, shuffled) - scored(spectra, z)).min() > 1e-6


def test_sitn_is_the_larger_share_of_calibration():
    held_out, z = normal_outputs(noise(80, seed=1)), noise(30, seed=2)
    z[0] *= np.linspace(0.1, 4, 8)[:, None, None] ** 2
    got = scored(ood.SITN(), z, id_validation=held_out)
    expected = np.zeros(30)
    for score in (ood.AndersonDarling(), ood.SpectrumVariation()):
        own, theirs = scored(score, z), scored(score, held_out.latents[0])
        share = (theirs[None] >= own[:, None]).mean(1)
        expected = np.maximum(expected, share)
    np.testing.assert_allclose(got, -expected)
    assert got[0] == -1


def test_sitn_sees_no_shift_of_latents_but_their_order():
    given = {"id_validation": normal_outputs(noise(200, seed=1))}
    z = noise(40, seed=3)
    ordered = np.sort(z.reshape(40, -1), 1).reshape(z.shape)
    assert (scored(ood.SITN(), ordered, **given) == -1).all()
    np.testing.assert_allclose(
        scored(ood.AndersonDarling(), ordered), scored(ood.AndersonDarling(), z)
    )


def test_spread_is_of_one_scale_and_grows_with_noise():
    flow = two_scales()
    outputs = shaped_outputs(flow, images(6))
    for scale in (0, 1):
        got = ood.LatentSpread(scale).fit(flow).score_outputs(outputs)
        expected = outputs.latents[scale].astype(float).reshape(6, -1).std(1)
        np.testing.assert_allclose(got, -expected)
    z = noise(5)
    np.testing.assert_allclose(
        scored(ood.LatentSpread(), 2 * z + 1), 2 * scored(ood.LatentSpread(), z)
    )


def test_klods_is_the_divergence_of_the_blocks():
    z = noise(3, channels=2)
    expected = []
    for image in z:
        corners = [(i, j, c) for i in range(4) for j in range(4) for c in range(2)]
        blocks = [
            image[2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c].ravel()
            for i, j, c in corners
        ]
        mean, s = np.mean(blocks, 0), np.cov(blocks, rowvar=False, bias=True)
        log_volume = np.log(np.linalg.eigvalsh(s)).sum()
        expected.append((np.trace(s) + mean @ mean - 4 - log_volume) / 2)
    np.testing.assert_allclose(scored(ood.KLODS(), z), -np.array(expected))


def test_klods_of_single_positions_is_of_mean_and_variance():
    z = 1.5 * noise(4) + 0.3
    mean, variance = z.mean((1, 2, 3)), z.var((1, 2, 3))
    expected = (variance + mean**2 - 1 - np.log(variance)) / 2
    np.testing.assert_allclose(scored(ood.KLODS(1), z), -expected)
    assert scored(ood.KLODS(), np.ones((1, 8, 8, 1)))[0] == -np.inf


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (ood.AndersonDarling(2), "scale 2 of a flow of 2"),
        (ood.SpectrumVariation(-3), "scale -3 of a flow of 2"),
        (ood.LatentSpread(2), "scale 2 of a flow of 2"),
        (ood.KLODS(4), "smaller block"),
    ],
)
def test_what_a_flow_does_not_have_is_refused(score, message):
    with pytest.raises(ValueError, match=message):
        score.fit(two_scales())


def test_vectors_have_no_positions_and_few_have_no_test():
    for score in (ood.SpectrumVariation(), ood.SITN(), ood.KLODS()):
        with pytest.raises(ValueError, match="score of images"):
            score.fit(gaussian_flow())
    with pytest.raises(ValueError, match="3 latents or more, the flow has 2"):
        ood.AndersonDarling().fit(gaussian_flow(2))
    few = ood.Given(id_validation=normal_outputs(noise(19)))
    with pytest.raises(ValueError, match=r"20 calibration images.*; got 19"):
        ood.SITN().fit(identity_flow(), few)
    # shifts of one image: A^2 is the same for all, but for rounding
    same = noise(1) + np.arange(20.0)[:, None, None, None]
    equal = ood.Given(id_validation=normal_outputs(same))
    with pytest.raises(ValueError, match=r"SITN .*A\^2 is .* for all 20 .*differ"):
        ood.SITN().fit(identity_flow(), equal)


def test_tokens_have_no_positions():
    tokens = ood.ScoredFlow(Flow(Chain([Patches((8, 8, 1), 4)]), (8, 8, 1)), {})
    held_out = ood.Given(id_validation=normal_outputs(noise(10)))
    for score in (ood.SpectrumVariation(), ood.SITN(), ood.KLODS()):
        with pytest.raises(ValueError, match=r"\(\(4, 16\),\); .* Inverse\(Patches"):
            score.fit(tokens, held_out)


def test_latents_that_are_nan_have_no_score():
    held_out, z = normal_outputs(noise(20)), noise(3)
    z[1, 2, 2] = np.nan
    for score in (ood.SITN(), ood.AndersonDarling(), ood.LatentSpread(), ood.KLODS()):
        with pytest.raises(ValueError, match="number 1"):
            scored(score, z, id_validation=held_out)
