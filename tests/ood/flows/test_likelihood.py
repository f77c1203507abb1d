"""Likelihood scores: exact values, and what they refuse."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from flowjax_ood import ood
from tests.helpers.scored_flows import gaussian_flow, image_flow, images, vector_flow


@pytest.fixture(scope="module")
def flow():
    return image_flow(scales=3)


def test_terms_on_a_gaussian_are_exact():
    x = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    flow = gaussian_flow()
    expected = -0.5 * (x.astype(float) ** 2 + np.log(2 * np.pi)).sum(1)
    for score in (ood.LogLikelihood(), ood.LatentLikelihood(), ood.ScaleLikelihood()):
        np.testing.assert_allclose(score.fit(flow).score(x), expected, rtol=1e-6)
    np.testing.assert_array_equal(ood.LogDeterminant().fit(flow).score(x), 0)


@pytest.mark.thorough
def test_the_two_terms_and_the_scales_add_up(flow):
    outputs = flow.collect(images(5))

    def of(score):
        return score.fit(flow).score_outputs(outputs)

    total = of(ood.LogLikelihood())
    two = of(ood.LatentLikelihood()) + of(ood.LogDeterminant())
    np.testing.assert_allclose(two, total)
    scales = sum(of(ood.ScaleLikelihood(k)) for k in range(3))
    np.testing.assert_allclose(scales, total, rtol=1e-6)
    np.testing.assert_array_equal(of(ood.ScaleLikelihood()), of(ood.ScaleLikelihood(2)))


@pytest.mark.thorough
def test_typicality_is_zero_at_the_mean_of_calibration(flow):
    held_out, others = flow.collect(images(50)), flow.collect(images(9, seed=1))
    fitted = ood.Typicality().fit(flow, ood.Given(id_validation=held_out))
    mean = held_out.log_prob.mean()
    expected = -np.abs(others.log_prob - mean)
    np.testing.assert_allclose(fitted.score_outputs(others), expected)
    assert fitted.score(images(9, seed=1)).dtype == np.float64


@pytest.mark.thorough
def test_missing_and_wrong_data_are_refused(flow):
    with pytest.raises(ValueError, match="calibration images"):
        ood.Typicality().fit(flow)
    with pytest.raises(TypeError, match=r"flow\.collect\(images\)"):
        ood.Typicality().fit(flow, ood.Given(id_validation=images(5)))
    held_out = flow.collect(images(20))
    few = ood.Given(id_validation=held_out.rows(slice(19)))
    with pytest.raises(ValueError, match=r"needs 20 calibration images.*; got 19"):
        ood.Typicality().fit(flow, few)
    equal = ood.Given(id_validation=held_out.rows(np.zeros(20, int)))
    with pytest.raises(ValueError, match=r"is .* for all 20 .*give images that differ"):
        ood.Typicality().fit(flow, equal)
    both = ood.Given(train=held_out.rows([3, 5]), id_validation=held_out)
    with pytest.raises(ValueError, match=r"2 of 20 .* reference .*number 3"):
        ood.Typicality().fit(flow, both)
    # of a score that is not calibrated, nothing is wrong
    ood.LogLikelihood().fit(flow, both)
    vectors = vector_flow().collect(np.zeros((5, 5), np.float32))
    with pytest.raises(ValueError, match="this flow's are"):
        ood.Typicality().fit(flow, ood.Given(id_validation=vectors))
    with pytest.raises(TypeError, match=r"ood\.ScoredFlow\(flow, variables\)"):
        ood.LogLikelihood().fit(flow.flow)
    with pytest.raises(ValueError, match="scale 3 of a flow of 3"):
        ood.ScaleLikelihood(3).fit(flow)


@pytest.mark.thorough
def test_scores_that_are_nan_are_refused(flow):
    outputs = flow.collect(images(3))
    outputs.log_pz[1] = np.nan
    with pytest.raises(ValueError, match="number 1"):
        ood.LogLikelihood().fit(flow).score_outputs(outputs)
    with pytest.raises(ValueError, match="no finite log-density"):
        ood.Typicality().fit(flow, ood.Given(id_validation=outputs))


def test_outputs_of_another_flow_are_refused(flow):
    """They have the same shapes: only a digest of the variables tells them apart."""
    other, same = (
        replace(flow, variables=jax.tree.map(lambda a, c=c: c * a, flow.variables))
        for c in (np.float32(1.1), np.float32(1))
    )
    assert other.digest != flow.digest == same.digest
    mine, foreign = flow.collect(images(20)), other.collect(images(20))
    assert "made_by" not in repr(mine)
    assert mine.rows([2]).made_by == flow.digest
    for name in ("train", "id_validation"):
        with pytest.raises(ValueError, match=rf"Given\.{name} .* another flow.*anew"):
            ood.LogLikelihood().fit(flow, ood.Given(**{name: foreign}))
    with pytest.raises(ValueError, match="these are outputs of another flow"):
        ood.LogLikelihood().fit(flow).score_outputs(foreign)
    # made by hand, it is not known
    made = ood.FlowOutputs(mine.events, mine.log_pz, mine.logdet, mine.latents)
    np.testing.assert_array_equal(
        ood.LogLikelihood().fit(flow).score_outputs(made), made.log_prob
    )
