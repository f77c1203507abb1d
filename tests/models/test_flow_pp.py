"""Flow++: the published size, and couplings of columns and channels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.models import FlowPP
from flowjax_ood.networks import GatedAttention
from flowjax_ood.training.state import parameter_count
from tests.helpers.generic_variables import generic_variables
from tests.helpers.law_runs import COMPILER

SMALL = {"parts": (2, 1, 1), "width": 4, "blocks": 1, "heads": 2, "components": 2}


def published(positions, channels, width=96, blocks=10, components=32):
    """Parameters of one step: norm, two 1x1 convolutions, and coupling."""
    numbers = channels * (2 + 3 * components)
    conv = 9 * 2 * width * width + width + 2 * width * 2 * width + 2 * width
    attention = 3 * width * (width + 1) + 2 * width * (width + 1)
    block = conv + attention + 2 * 2 * width
    ends = 9 * channels * width + width + 9 * width * numbers + numbers
    net = positions * width + ends + blocks * block
    return net + 2 * 2 * positions * channels + 2 * channels**2


@pytest.mark.thorough
def test_the_published_size_for_cifar10():
    flow, x = FlowPP((32, 32, 3)), jax.ShapeDtypeStruct((2, 32, 32, 3), "float32")
    count = parameter_count(jax.eval_shape(flow.init, jax.random.key(0), x)["params"])
    steps = [(4, 32 * 16, 3), (2, 16 * 16, 6), (3, 16 * 8, 12)]
    expected = sum(n * published(*sizes) for n, *sizes in steps)
    # 31,443,440 with its dequantisation noise, which has 3,466,976
    assert expected == 31_443_440 - 3_466_976
    # one 1x1 convolution of all channels instead of two of half of them
    assert count == expected + sum(n * 2 * c**2 for n, _, c in steps)


@pytest.mark.thorough
def test_every_pixel_depends_on_every_other_and_comes_back():
    flow = FlowPP((2, 4, 1), **SMALL)
    x = jax.random.uniform(jax.random.key(0), (3, 2, 4, 1))
    variables = generic_variables(flow, np.random.default_rng(0), x)

    def compute(variables, x):
        def latents(x):
            return flow.apply(variables, x[None], method="latents")[0].ravel()

        z = flow.apply(variables, x, method="latents")
        again = flow.apply(variables, z, method="from_latents")
        return again, jax.vmap(jax.jacfwd(latents))(x)

    again, jacobian = jax.jit(compute, compiler_options=COMPILER)(variables, x)
    np.testing.assert_allclose(again, x, atol=1e-4)
    assert (np.abs(jacobian).max(axis=0) > 0).all()


@pytest.mark.thorough
def test_dropout_acts_when_its_stream_is_given():
    net = GatedAttention(4, 2, 1, dropout=0.5)
    x = jax.random.normal(jax.random.key(0), (2, 2, 3, 1))
    variables = generic_variables(net, np.random.default_rng(0), x, 5)
    still = net.apply(variables, x, 5)
    np.testing.assert_array_equal(net.apply(variables, x, 5), still)
    moved = net.apply(variables, x, 5, rngs={"dropout": jax.random.key(1)})
    assert np.abs(moved - still).max() > 0.01


def test_a_condition_is_a_vector_or_an_image():
    net, x = GatedAttention(4, 2, 1), jnp.ones((2, 2, 3, 1))
    for cond in (jnp.eye(2), jnp.arange(24.0).reshape(2, 2, 3, 2)):
        variables = generic_variables(net, np.random.default_rng(0), x, 5, cond)
        y = net.apply(variables, x, 5, cond)
        assert y.shape == (2, 2, 3, 5)
        assert np.abs(y[0] - y[1]).max() > 1e-3


@pytest.mark.parametrize(
    ("shape", "arguments", "message"),
    [
        ((32, 30, 3), {}, "a width that is a multiple of 4, got 32 x 30"),
        ((7, 8, 1), {}, "even height, and of a width .* got 7 x 8"),
        ((8, 8, 1), {"heads": 5}, "heads=5 do not divide width=96"),
        ((8, 8, 1), {"dropout": 1.0}, r"dropout must lie in \[0, 1\), got 1.0"),
        ((8, 8, 1), {"parts": (4, 2)}, "parts must be three numbers"),
        ((8, 8, 1), {"components": 0}, "components >= 1, got components=0"),
    ],
)
def test_what_does_not_fit_is_refused(shape, arguments, message):
    with pytest.raises(ValueError, match=message):
        FlowPP(shape, **arguments)
