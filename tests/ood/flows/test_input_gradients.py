"""Gradients by the input against closed forms on Gaussian flows."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from scipy import stats

from flowjax_ood import ood
from flowjax_ood.bijectors import ActNorm, Chain
from flowjax_ood.distributions import Flow
from flowjax_ood.ood.flows import densities
from flowjax_ood.ood.flows.input_gradients import fit_gaussian
from flowjax_ood.ood.flows.noise import normal_noise
from tests.helpers.scored_flows import gaussian_flow, identity_flow, images, simple_flow

LEVELS = (1 / 256, 1 / 64, 1 / 32, 1 / 16)


def vectors(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 5)).astype(np.float32)


def noise_of(flow, x):
    inputs = flow.inputs(x)
    return np.asarray(
        normal_noise(flow, inputs, "input gradients", flow.points(inputs)), np.float64
    )


def log_lengths(x):
    return np.log(np.linalg.norm(x.reshape(len(x), -1), axis=1))


def log_density(logs, train):
    """Of standardised numbers: a Gaussian with a little added to variances."""
    mean, scale = train.mean(0), train.std(0, ddof=1)
    covariance = np.cov((train - mean) / scale, rowvar=False, bias=True)
    covariance = covariance.reshape(len(scale), -1) + 1e-3 * np.eye(len(scale))
    law = stats.multivariate_normal(np.zeros(len(scale)), covariance)
    return law.logpdf((logs - mean) / scale)


def test_without_noise_it_is_a_gaussian_of_log_lengths():
    flow, train, x = gaussian_flow(5), vectors(200), vectors(30, 1)
    given = ood.Given(train=flow.collect(train))
    found = ood.InputGradients(levels=(0.0,)).fit(flow, given).score(x)
    logs = [log_lengths(v.astype(float))[:, None] for v in (x, train)]
    np.testing.assert_allclose(found, log_density(*logs), rtol=1e-4, atol=1e-4)


@pytest.mark.thorough
@pytest.mark.parametrize("coordinates", ["pixels", "logits"])
def test_images_are_reflected_and_their_gradients_of_logits(coordinates):
    flow, train, x = identity_flow(), images(60), images(20, seed=1)
    # dark and bright ones leave [0, 1]
    x[:5], x[5:10] = 0, 255

    def logs(x):
        points = np.asarray(flow.points(flow.inputs(x)), np.float64)
        columns = []
        for level in LEVELS:
            y = points + level * noise_of(flow, x)
            y = np.where(y < 0, -y, np.where(y > 1, 2 - y, y))
            v = 0.05 + 0.9 * y
            slope = v * (1 - v) / 0.9 if coordinates == "logits" else 1
            columns.append(log_lengths(y * slope))
        return np.stack(columns, 1)

    given = ood.Given(train=flow.collect(train))
    score = ood.InputGradients(coordinates=coordinates)
    found = score.fit(flow, given).score(x)
    expected = log_density(logs(x), logs(train))
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-2)


def test_scores_are_those_of_the_same_image_in_any_batch():
    flow, x = simple_flow(), images(40)
    given = ood.Given(train=flow.collect(x))
    fitted = ood.InputGradients().fit(flow, given)
    found = fitted.score(x)
    np.testing.assert_allclose(fitted.score(x[::-1]), found[::-1], atol=1e-3)
    noisy = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), np.uint8)
    assert np.median(fitted.score(noisy)) < found.min()


def test_noise_is_normal_and_of_one_purpose():
    flow, x = identity_flow(), images(30)
    inputs = flow.inputs(x)
    like = jax.numpy.zeros((30, 4))
    one, other = (normal_noise(flow, inputs, what, like) for what in ("a", "b"))
    both = np.concatenate([one, other]).ravel()
    assert stats.kstest(both, stats.norm.cdf).pvalue > 1e-3
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 4 / np.sqrt(120)
    again = normal_noise(flow, flow.inputs(x[::-1]), "a", like)
    np.testing.assert_array_equal(again[::-1], one)


def test_a_mixture_of_one_component_is_the_gaussian():
    flow, x = gaussian_flow(5), vectors(30, 1)
    given = ood.Given(train=flow.collect(vectors(200)))
    one, two = (
        ood.InputGradients(levels=(0.0, 0.5), components=k).fit(flow, given).score(x)
        for k in (1, 2)
    )
    assert stats.spearmanr(one, two).statistic > 0.5
    assert ood.InputGradients(components=2).requires.sklearn
    assert not ood.InputGradients().requires.sklearn
    y = np.random.default_rng(0).normal(size=(100, 3))
    same = densities.fit_mixture(y - y.mean(0), 1, seed=0)(y)
    np.testing.assert_allclose(fit_gaussian(y - y.mean(0))(y), same, rtol=1e-6)


def test_at_most_so_many_reference_images_are_looked_at():
    flow, train, x = gaussian_flow(5), vectors(300), vectors(9, 1)
    outputs = flow.collect(train)
    few = np.sort(np.random.default_rng(4).permutation(300)[:50])
    found = ood.InputGradients(references=50).fit(
        flow, ood.Given(train=outputs, seed=4)
    )
    same = ood.InputGradients().fit(flow, ood.Given(train=outputs.rows(few)))
    np.testing.assert_allclose(found.score(x), same.score(x), rtol=1e-5)


def test_what_cannot_be_fitted_is_refused():
    flow = gaussian_flow(5)
    with pytest.raises(ValueError, match="needs 40 reference images"):
        ood.InputGradients().fit(flow, ood.Given(train=flow.collect(vectors(39))))
    equal = ood.Given(train=flow.collect(np.ones((40, 5), np.float32)))
    with pytest.raises(
        ValueError, match=r"log \|grad\| at level 0.00390625 of all 40 .* constant"
    ):
        ood.InputGradients().fit(flow, equal)
    with pytest.raises(ValueError, match="references must be at least 40"):
        ood.InputGradients(references=30).fit(flow, equal)
    with pytest.raises(ValueError, match="levels must be"):
        ood.InputGradients(levels=())


def test_gradients_that_are_not_finite_are_refused():
    """A squared latent is beyond float32: its gradient, too."""
    params = {"log_scale": np.full(5, 60, np.float32), "bias": np.zeros(5, np.float32)}
    variables = {"params": {"bijector": {"bijectors_0": params}}}
    flow = ood.ScoredFlow(Flow(Chain([ActNorm()]), (5,)), variables)
    # what this flow would collect is not finite, and refused before its gradients are
    finite = replace(gaussian_flow(5).collect(vectors(40)), made_by=flow.digest)
    given = ood.Given(train=finite)
    with pytest.raises(ValueError, match="reference images is not finite at number 0"):
        ood.InputGradients().fit(flow, given)
