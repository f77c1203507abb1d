"""Scores of several flows: a background, and an ensemble."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from flowjax_ood import ood
from tests.helpers.scored_flows import gaussian_flow, image_flow, images, vector_flow


@pytest.fixture(scope="module")
def flows():
    return tuple(vector_flow(seed=seed) for seed in range(3))


@pytest.fixture(scope="module")
def of_images():
    return image_flow()


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)


def same(flow, **changes):
    """Another object of the same numbers."""
    return replace(flow, **changes)


@pytest.mark.thorough
def test_the_ratio_is_the_difference_of_log_densities(flows, x):
    flow, background, _ = flows
    got = ood.BackgroundRatio(background).fit(flow).score(x)
    law = flow.collect(x).log_prob - background.collect(x).log_prob
    assert np.abs(law).max() > 0.1
    np.testing.assert_allclose(got, law, rtol=1e-12)
    back = ood.BackgroundRatio(flow).fit(background).score(x)
    np.testing.assert_allclose(back, -got, rtol=1e-12)
    normal = -0.5 * (x.astype(float) ** 2 + np.log(2 * np.pi)).sum(1)
    ratio = ood.BackgroundRatio(gaussian_flow()).fit(flow).score(x)
    np.testing.assert_allclose(ratio, flow.collect(x).log_prob - normal, atol=1e-5)


def test_waic_is_the_mean_less_the_unbiased_variance(flows, x):
    log_probs = np.stack([flow.collect(x).log_prob for flow in flows])
    mean = log_probs.sum(0) / 3
    variance = ((log_probs - mean) ** 2).sum(0) / 2
    score = ood.WAIC(flows[1:])
    assert score.passes == 3
    got = score.fit(flows[0]).score(x)
    np.testing.assert_allclose(got, mean - variance, rtol=1e-10)
    order = ood.WAIC((flows[0], flows[2])).fit(flows[1]).score(x)
    np.testing.assert_allclose(order, got, rtol=1e-10)


@pytest.mark.thorough
def test_equal_flows_see_the_same_noise(of_images):
    """So the ratio is 0 and WAIC is l, whatever the seeds of their own."""
    flow = of_images
    x = images(5)
    outputs = flow.collect(x)
    other = same(flow, seed=7)
    assert (other.collect(x).log_prob != outputs.log_prob).all()
    ratio = ood.BackgroundRatio(other).fit(flow)
    np.testing.assert_array_equal(ratio.score_outputs(outputs), 0)
    waic = ood.WAIC((other, same(flow, seed=8))).fit(flow)
    np.testing.assert_allclose(waic.score_outputs(outputs), outputs.log_prob)
    np.testing.assert_allclose(
        waic.score(x[::-1], batch_size=2), outputs.log_prob[::-1], rtol=1e-5
    )


@pytest.mark.parametrize("score", [ood.BackgroundRatio, lambda f: ood.WAIC((f,))])
def test_other_events_are_refused(of_images, score):
    flow = of_images
    with pytest.raises(TypeError, match="must be a ScoredFlow, got Flow"):
        score(flow.flow).fit(flow)
    with pytest.raises(ValueError, match=r"shape \(5,\).* the flow of \(8, 8, 1\)"):
        score(vector_flow()).fit(flow)
    with pytest.raises(ValueError, match=r"32 bins, the flow of .* 256"):
        score(same(flow, bins=32)).fit(flow)


@pytest.mark.parametrize("score", [ood.BackgroundRatio, lambda f: ood.WAIC((f,))])
def test_a_flow_without_a_finite_density_gives_no_score(flows, x, score):
    broken = jax.tree.map(lambda a: np.full_like(a, np.nan), flows[1].variables)
    with pytest.raises(ValueError, match="no score for 7 of 7"):
        score(same(flows[1], variables=broken)).fit(flows[0]).score(x)


def test_members_are_other_flows(flows):
    for members in ((), flows[0], [flows[1]]):
        with pytest.raises(ValueError, match="one or more other flows"):
            ood.WAIC(members)
    with pytest.raises(ValueError, match="twice"):
        ood.WAIC((flows[0],)).fit(flows[0])
    with pytest.raises(ValueError, match="twice"):
        ood.WAIC((flows[1], flows[1])).fit(flows[0])
