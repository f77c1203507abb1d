"""Likelihoods of a set: every image once, in order, however it is cut into batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.data.dequantize import dequantize, example_keys
from flowjax_ood.distributions import ConditionalNormal, one_hot_condition
from flowjax_ood.evaluation.likelihood import Likelihoods, evaluate_likelihood
from flowjax_ood.models import RealNVP
from flowjax_ood.runtime.parallel import MODES, Parallel
from tests.helpers.tiny_run import KEY, SHAPE, OneConvolution, images, tiny_flow

COUNT = 13


@pytest.fixture(scope="module")
def variables():
    return tiny_flow("light").init(jax.random.key(0), jnp.full((1, *SHAPE), 0.5))


def evaluate(variables, batch_size, flow=None, mode="jit", count=COUNT, key=KEY):
    return evaluate_likelihood(
        flow or tiny_flow("light"),
        variables,
        images(count),
        key=key,
        batch_size=batch_size,
        parallel=Parallel(mode, jax.devices()[:1]),
    )


def direct(variables, count=COUNT):
    keys = example_keys(KEY, jnp.arange(count))
    x = dequantize(jnp.asarray(images(count)), keys)
    return tiny_flow("light").apply(variables, x, method="log_prob_parts")


@pytest.mark.thorough
@pytest.mark.accelerator
@pytest.mark.parametrize("batch_size", [1, 4, 12, 13, 14, 100])
def test_it_is_the_flows_own_log_prob(variables, batch_size):
    found, expected = evaluate(variables, batch_size), direct(variables)
    assert found.log_pz.shape == found.logdet.shape == (COUNT,)
    assert found.log_pz.dtype == found.logdet.dtype == np.float32
    np.testing.assert_allclose(found.log_pz, expected.log_pz, rtol=1e-5)
    np.testing.assert_allclose(found.logdet, expected.logdet, rtol=1e-5)
    # the images differ, so that order shows
    assert len(np.unique(found.log_pz)) == COUNT


@pytest.mark.accelerator
@pytest.mark.parametrize("mode", MODES)
def test_every_parallel_mode_serves(variables, mode):
    found = evaluate(variables, 4, mode=mode)
    np.testing.assert_allclose(found.log_prob, direct(variables).log_prob, rtol=1e-5)


def test_a_subset_has_the_same_values(variables):
    """An image's noise depends on its position, not on how many follow."""
    np.testing.assert_allclose(
        evaluate(variables, 4, count=5).log_prob,
        evaluate(variables, 4).log_prob[:5],
        rtol=1e-6,
    )


def test_the_key_matters(variables):
    other = evaluate(variables, 4, key=jax.random.fold_in(KEY, 1))
    assert (other.log_prob != evaluate(variables, 4).log_prob).all()


@pytest.mark.thorough
@pytest.mark.parametrize("mode", MODES)
def test_a_condition_for_each_image(mode):
    flow = tiny_flow("light").clone(base=ConditionalNormal())
    keys = example_keys(KEY, jnp.arange(COUNT))
    x = dequantize(jnp.asarray(images(COUNT)), keys)
    cond = one_hot_condition(np.arange(COUNT) % 3, 3)
    start = flow.init(jax.random.key(0), x, cond)
    variables = jax.tree.map(
        lambda p: p + jnp.sin(jnp.arange(p.size).reshape(p.shape)), start
    )
    expected = flow.apply(variables, x, cond)
    found = evaluate_likelihood(
        flow,
        variables,
        images(COUNT),
        key=KEY,
        batch_size=4,
        parallel=Parallel(mode, jax.devices()[:1]),
        cond=cond,
    )
    np.testing.assert_allclose(found.log_prob, expected, rtol=1e-4)
    other = flow.apply(variables, x, cond[::-1])
    assert (np.abs(other - expected) > 1e-2 * np.abs(expected)).any()


@pytest.mark.parametrize("count", [COUNT - 1, COUNT + 1])
def test_conditions_of_other_images(variables, count):
    with pytest.raises(ValueError, match=rf"the 13 images, got shape \({count}, 2\)"):
        evaluate_likelihood(
            tiny_flow("light"),
            variables,
            images(COUNT),
            key=KEY,
            batch_size=4,
            parallel=Parallel("jit", jax.devices()[:1]),
            cond=np.zeros((count, 2), np.float32),
        )


def test_bits_per_dim():
    found = Likelihoods(
        np.array([-20.0, -30.0], "f4"), np.array([12.0, -10.0], "f4"), dims=16
    )
    np.testing.assert_array_equal(found.log_prob, [-8, -40])
    expected = [8 + 8 / (16 * np.log(2)), 8 + 40 / (16 * np.log(2))]
    np.testing.assert_allclose(found.bits_per_dim, expected, rtol=1e-12)


def test_images_of_five_bits_fill_the_domain(variables):
    five = images(COUNT) // 8
    options = {"key": KEY, "batch_size": COUNT, "bins": 32}
    options["parallel"] = Parallel("jit", jax.devices()[:1])
    found = evaluate_likelihood(tiny_flow("light"), variables, five, **options)
    x = dequantize(five, example_keys(KEY, jnp.arange(COUNT)), 32)
    parts = tiny_flow("light").apply(variables, x, method="log_prob_parts")
    np.testing.assert_allclose(found.log_prob, parts.log_prob, rtol=1e-5)
    dims = np.prod(SHAPE)
    expected = 5 - np.float64(parts.log_prob) / (dims * np.log(2))
    np.testing.assert_allclose(found.bits_per_dim, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="and bins=32 are"):
        evaluate_likelihood(tiny_flow("light"), variables, images(COUNT), **options)


def test_terms_that_cancel_are_added_exactly():
    pz, logdet = np.float32(-123456.78), np.float32(123450.12)
    found = Likelihoods(np.array([pz]), np.array([logdet]), dims=3072)
    assert found.log_prob.dtype == np.float64
    np.testing.assert_array_equal(found.log_prob, [np.float64(pz) + np.float64(logdet)])


def test_a_second_set_does_not_compile_again(variables):
    traced = []

    class Counted(OneConvolution):
        def __call__(self, x, features, cond=None):
            traced.append(x.shape)
            return super().__call__(x, features, cond)

    def flow():
        return RealNVP(SHAPE, scales=1, couplings=2, st_net=Counted)

    one, other = flow(), flow()
    found = evaluate(variables, 4, one)
    assert traced == [(4, *SHAPE)] * 2
    evaluate(variables, 4, one, count=3)
    changed = jax.tree.map(lambda p: p + 0.1, variables)
    assert (evaluate(changed, 4, one).log_prob != found.log_prob).all()
    assert len(traced) == 2
    evaluate(variables, 4, other)  # a flow of its own
    assert len(traced) == 4


def test_bad_input(variables):
    with pytest.raises(ValueError, match="num_examples must be at least 1"):
        evaluate(variables, 4, count=0)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        evaluate(variables, 0)
