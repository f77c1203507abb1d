"""FLOPs by the jaxpr: against hand counts and XLA's own for unrolled programs."""

import jax
import jax.numpy as jnp
import pytest

from flowjax_ood.analysis.flops import count_flops
from flowjax_ood.models import Glow, RealNVP


def test_a_matrix_product_inside_calls_and_loops():
    a = jnp.zeros((3, 5))
    b = jnp.zeros((5, 7))
    assert count_flops(jnp.matmul, a, b) == 2 * 3 * 5 * 7
    assert count_flops(jax.jit(jax.checkpoint(jnp.matmul)), a, b) == 2 * 3 * 5 * 7

    def loop(x):
        return jax.lax.scan(lambda c, _: (c @ jnp.ones((3, 3)), None), x, length=11)

    assert count_flops(loop, jnp.ones((2, 3))) == 11 * 2 * 2 * 3 * 3


def test_a_convolution_counts_taps_that_meet_the_image():
    x, kernel = jnp.zeros((2, 4, 5, 3)), jnp.zeros((3, 3, 3, 6))

    def convolution(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    # along an axis of n pixels, 3 taps meet 3 n - 2 stored values
    assert count_flops(convolution, x, kernel) == 2 * 2 * (10 * 13) * 3 * 6


def test_a_while_loop_has_no_known_count():
    def loop(x):
        return jax.lax.while_loop(lambda x: x[0, 0] < 1, lambda x: x @ x, x)

    with pytest.raises(ValueError, match="while loop"):
        count_flops(loop, jnp.zeros((2, 2)))


@pytest.mark.thorough
@pytest.mark.parametrize(
    "make",
    [
        lambda **k: RealNVP(
            (8, 8, 1), scales=1, couplings=4, width=32, blocks=1, norm="none", **k
        ),
        lambda **k: Glow((8, 8, 1), width=32, steps=2, **k),
    ],
    ids=["real_nvp", "glow"],
)
def test_models_against_xla(make):
    """Within 10% of XLA's count of the chain, which has no loops; scan is the same."""
    x = jnp.zeros((4, 8, 8, 1))

    def gradient(flow):
        def loss(params, x):
            return jnp.mean(flow.apply({"params": params}, x))

        return jax.grad(loss)

    counts = []
    for stack in ("chain", "scan"):
        flow = make(stack=stack)
        params = jax.eval_shape(flow.init, jax.random.key(0), x)["params"]
        counts.append(count_flops(gradient(flow), params, x))
        if stack == "chain":
            compiled = jax.jit(gradient(flow)).lower(params, x).compile()
            measured = compiled.cost_analysis()["flops"]
    # a loop computes the first block's gradient by x too, which nobody asks for
    assert counts[1] == pytest.approx(counts[0], rel=0.01)
    assert abs(counts[0] / measured - 1) < 0.1
