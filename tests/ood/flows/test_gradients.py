"""Scores of gradients against closed forms on a Gaussian with trained scales."""

import numpy as np
import pytest
from scipy import stats

from flowjax_ood import ood
from flowjax_ood.bijectors import ActNorm, Chain
from flowjax_ood.distributions import Flow
from flowjax_ood.ood.flows.gradients import reference_gradients
from tests.helpers.scored_flows import gaussian_flow, image_flow, images

SCALE, BIAS = np.array([0.3, -0.2, 0.1]), np.array([0.5, 0.0, -1.0])


def scaled(bias=BIAS, log_scale=SCALE):
    """`z = (x + b) exp(s)`: its gradients are `1 - z^2` and `-z exp(s)`."""
    params = {"log_scale": np.float32(log_scale), "bias": np.float32(bias)}
    variables = {"params": {"bijector": {"bijectors_0": params}}}
    return ood.ScoredFlow(Flow(Chain([ActNorm()]), (3,)), variables)


def drawn(count, seed):
    """Points of the flow's own density: its parameters are the optimum for them."""
    z = np.random.default_rng(seed).normal(size=(count, 3))
    return (z * np.exp(-SCALE) - BIAS).astype(np.float32)


@pytest.fixture(scope="module")
def flow():
    return scaled()


@pytest.fixture(scope="module")
def given(flow):
    return ood.Given(train=flow.collect(drawn(400, 0)))


def gradients(x):
    """By hand, of bias and log scale: `[N, 3]` each."""
    z = (x.astype(float) + BIAS) * np.exp(SCALE)
    return -z * np.exp(SCALE), 1 - z**2


def test_gradient_norms_are_a_sum_of_log_normals(flow, given):
    x, train = drawn(20, 1), drawn(400, 0)
    expected = 0
    for at, fit in zip(gradients(x), gradients(train), strict=True):
        logs = np.log((fit**2).sum(1))
        law = stats.norm(logs.mean(), logs.std())
        expected = expected + law.logpdf(np.log((at**2).sum(1)))
    found = ood.GradientNorms().fit(flow, given).score(x)
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-4)


def test_a_gradient_of_zero_counts_as_the_smallest_of_reference(flow, given):
    at_mean = (-BIAS[None]).astype(np.float32)
    bias, scale = gradients(drawn(400, 0))
    expected = 0
    for fit, value in ((bias, None), (scale, 3.0)):
        norms = (fit**2).sum(1)
        law = stats.norm(np.log(norms).mean(), np.log(norms).std())
        expected += law.logpdf(np.log(norms.min() if value is None else value))
    found = ood.GradientNorms().fit(flow, given).score(at_mean)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_norms_are_those_of_the_same_density_of_moved_data():
    """An affine map of x with its log-determinant leaves them: no parameters in it."""
    train, plain = drawn(60, 0), scaled()
    first = {"log_scale": np.full(3, 0.7, np.float32), "bias": np.ones(3, np.float32)}
    second = plain.variables["params"]["bijector"]["bijectors_0"]
    params = {"bijectors_0": first, "bijectors_1": second}
    flow = Flow(Chain([ActNorm(), ActNorm()]), (3,))
    moved = ood.ScoredFlow(flow, {"params": {"bijector": params}})
    back = (train * np.exp(-0.7) - 1).astype(np.float32)
    norms = [
        reference_gradients(f, ood.Given(train=f.collect(x)), "norms").norms
        for f, x in ((plain, train), (moved, back))
    ]
    # tensors in the order of a tree: bias and scale of the map, then of the flow
    np.testing.assert_allclose(norms[1][:, 2:], norms[0], rtol=1e-3, atol=1e-5)


def test_mean_gradient_is_zero_and_information_two_at_the_optimum(flow):
    """Fisher information of a log-scale is 2, of a mean exp(2 s)."""
    x = drawn(20000, 3)
    bias, scale = gradients(x)
    assert np.abs(scale.mean(0)).max() < 5 * np.sqrt(2 / 20000)
    given = ood.Given(train=flow.collect(x[:4000]))
    fitted = ood.RaoScore(damping=0).fit(flow, given)
    closed = (bias**2 / np.exp(2 * SCALE) + scale**2 / 2).sum(1)
    found = fitted.score(x[:50])
    np.testing.assert_allclose(-found, closed[:50], rtol=0.25, atol=0.3)
    means = ((bias[:4000] ** 2).mean(0), (scale[:4000] ** 2).mean(0))
    exact = (bias**2 / means[0] + scale**2 / means[1]).sum(1)
    np.testing.assert_allclose(-found, exact[:50], rtol=1e-4)
    # the mean over reference images is the number of parameters, whatever the data
    assert abs(-fitted.score(x[:4000]).mean() - 6) < 1e-3


def test_rao_and_typicality_reject_as_often_as_they_say(flow):
    held_out = flow.collect(drawn(400, 5))
    given = ood.Given(train=flow.collect(drawn(100, 0)), id_validation=held_out)
    fitted = ood.rao_and_typicality().fit(flow, given)
    p = fitted.p_values(drawn(400, 6))
    assert abs((p < 0.2).mean() - 0.2) < 0.13
    far = fitted.p_values(drawn(20, 7) + 5)
    assert far.max() <= 2 / 201


@pytest.fixture(scope="module")
def pictures():
    return image_flow(scales=1)


@pytest.mark.thorough
def test_scores_belong_to_the_image_alone(pictures):
    x = images(20)
    given = ood.Given(train=pictures.collect(x))
    order = np.random.default_rng(0).permutation(20)
    for score in (ood.GradientNorms(), ood.RaoScore()):
        fitted = score.fit(pictures, given)
        once = fitted.score(x)
        np.testing.assert_allclose(fitted.score(x[order]), once[order], rtol=1e-4)
    assert len(given._kept) == 1


def test_regret_is_zero_without_steps_and_first_order_in_one(flow):
    x = drawn(20, 1)
    none = ood.LikelihoodRegret(steps=0).fit(flow).score(x)
    np.testing.assert_array_equal(none, 0)
    bias, scale = gradients(x)
    rate = 1e-3
    found = ood.LikelihoodRegret(steps=1, learning_rate=rate).fit(flow).score(x)
    first = rate * (abs(bias) + abs(scale)).sum(1)
    np.testing.assert_allclose(-found, first, rtol=0.05, atol=2e-6)
    more = ood.LikelihoodRegret(steps=5, learning_rate=rate).fit(flow).score(x)
    assert (more <= found).all()


def test_regret_trains_the_parameters_of_the_path_alone(flow):
    x = drawn(20, 1)
    path = ("bijector", "bijectors_0", "bias")
    score = ood.LikelihoodRegret(steps=1, learning_rate=1e-3, path=path)
    bias, _ = gradients(x)
    found = score.fit(flow).score(x)
    np.testing.assert_allclose(-found, 1e-3 * abs(bias).sum(1), rtol=0.02, atol=2e-6)


@pytest.mark.thorough
def test_regret_by_default_trains_the_last_coupling(pictures):
    path = ("bijector", "bijectors_3")
    ours = ood.LikelihoodRegret(1).fit(pictures).score(images(4))
    named = ood.LikelihoodRegret(1, path=path).fit(pictures).score(images(4))
    np.testing.assert_array_equal(ours, named)
    assert (ours < 0).all()


def test_what_has_no_gradients_is_refused(flow):
    plain = gaussian_flow(3)
    given = ood.Given(train=plain.collect(drawn(5, 0)))
    for score in (ood.GradientNorms(), ood.RaoScore(), ood.LikelihoodRegret()):
        with pytest.raises(ValueError, match="this flow has none"):
            score.fit(plain, given)
    one = ood.Given(train=flow.collect(drawn(1, 0)))
    with pytest.raises(ValueError, match="needs 2 reference images"):
        ood.RaoScore().fit(flow, one)
    same = ood.Given(train=flow.collect(np.repeat(drawn(1, 0), 4, 0)))
    with pytest.raises(ValueError, match="same norm in all 4 reference"):
        ood.GradientNorms().fit(flow, same)
    with pytest.raises(ValueError, match="no parameters below conv"):
        ood.LikelihoodRegret(path=("conv",)).fit(flow)
    with pytest.raises(ValueError, match="steps must be"):
        ood.LikelihoodRegret(steps=-1)
