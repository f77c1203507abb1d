"""One pass of a flow: its terms add up, and belong to the image alone."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from flowjax_ood import ood
from flowjax_ood.distributions import ConditionalNormal, Flow
from tests.helpers.scored_flows import image_flow, images, vector_flow


@pytest.fixture(scope="module", params=[1, 2, 3])
def scored(request):
    return image_flow(scales=request.param)


@pytest.mark.thorough
def test_terms_of_scales_add_up_to_those_of_the_flow(scored):
    x = images(9)
    outputs = scored.collect(x)
    points = scored.points(scored.inputs(x))
    parts = scored.flow.apply(scored.variables, points, method="log_prob_parts")
    np.testing.assert_allclose(outputs.latent_log_prob, parts.log_pz, rtol=1e-5)
    np.testing.assert_allclose(outputs.log_determinant, parts.logdet, rtol=1e-5)
    np.testing.assert_allclose(
        outputs.log_prob, outputs.latent_log_prob + outputs.log_determinant
    )
    z = scored.flow.apply(scored.variables, points, method="latents")
    for ours, theirs in zip(outputs.latents, jax.tree.leaves(z), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    assert outputs.flat_latents().shape == (9, 64)


@pytest.mark.thorough
def test_gained_log_determinants_are_those_of_the_scale():
    """Of two scales: the flow cut after the first has the first's."""
    scored = image_flow(scales=2)
    x = images(4)
    outputs = scored.collect(x)
    points = scored.points(scored.inputs(x))
    *_, factor_out = scored.flow.bijector.bijectors
    bound = scored.flow.bind(scored.variables)
    before = points
    for part in bound.bijector.bijectors[:-1]:
        before, _ = part.forward(before)
    _, kept = factor_out.split(before)
    _, inner = bound.bijector.bijectors[-1].inner.forward(kept)
    np.testing.assert_allclose(outputs.logdet[:, 1], inner, rtol=1e-4, atol=1e-4)


@pytest.mark.thorough
def test_outputs_belong_to_the_image_alone(scored):
    x = images(20)
    once = scored.collect(x)
    order = np.random.default_rng(0).permutation(20)
    again = scored.collect(x[order], batch_size=7)
    np.testing.assert_allclose(again.log_prob, once.log_prob[order], rtol=1e-5)
    twice = scored.collect(np.concatenate([x[:1], x[:1]]))
    assert twice.log_prob[0] == twice.log_prob[1]


def test_draws_are_other_noise_of_the_same_image(scored):
    x = images(8)
    first, second = (scored.points(scored.inputs(x, draw)) for draw in (0, 1))
    assert np.abs(first - second).max() > 1 / 512
    for points in (first, second):
        np.testing.assert_array_equal(np.floor(256 * np.asarray(points)), x)


def test_vectors_are_scored_as_they_are():
    scored = vector_flow()
    x = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    expected = scored.flow.apply(scored.variables, x, method="log_prob")
    np.testing.assert_allclose(scored.collect(x).log_prob, expected, rtol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("events", "error", "message"),
    [
        (np.zeros((2, 8, 8, 3), np.uint8), ValueError, r"\[N, 8, 8, 1\]"),
        (np.zeros((0, 8, 8, 1), np.uint8), ValueError, "at least 1"),
        (np.zeros((2, 8, 8, 1)), TypeError, "before dequantisation"),
    ],
)
def test_bad_images_are_refused(events, error, message):
    with pytest.raises(error, match=message):
        image_flow().collect(events)


def test_bad_vectors_are_refused():
    x = np.zeros((3, 5), np.float32)
    x[1, 2] = np.nan
    with pytest.raises(ValueError, match="number 1"):
        vector_flow().collect(x)
    with pytest.raises(TypeError, match="standardised"):
        vector_flow().collect(np.zeros((3, 5), np.uint8))


def test_a_base_that_is_no_sum_over_scales_is_refused():
    conditional = Flow(vector_flow().flow.bijector, (5,), ConditionalNormal())
    scored = ood.ScoredFlow(conditional, vector_flow().variables)
    with pytest.raises(ValueError, match="StandardNormal"):
        scored.collect(np.zeros((3, 5), np.float32))


@pytest.mark.thorough
def test_outputs_are_replaced_and_taken_by_rows(scored):
    outputs = scored.collect(images(5))
    other = replace(outputs, logdet=outputs.logdet + 1)
    scales = outputs.logdet.shape[1]
    np.testing.assert_allclose(other.log_prob, outputs.log_prob + scales, rtol=1e-6)
    last = outputs.rows(np.array([4]))
    assert len(last) == 1
    np.testing.assert_array_equal(last.log_prob, outputs.log_prob[4:])
