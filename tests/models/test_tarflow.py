"""TarFlow: its size, its arrangement, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.bijectors import CausalAffine, Logit, unstacked
from flowjax_ood.distributions import one_hot_condition
from flowjax_ood.models import TarFlow
from flowjax_ood.precision import Precision
from flowjax_ood.training.state import parameter_count
from tests.helpers.generic_variables import generic_variables
from tests.helpers.law_runs import run

small = {"patch": 2, "blocks": 2, "width": 4, "layers": 1}


def built(flow, cond=None):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.uniform(0.05, 0.95, (3, *flow.event_shape)), jnp.float32)
    return generic_variables(flow, rng, x, cond), x


def count(flow):
    x = jax.ShapeDtypeStruct((1, *flow.event_shape), jnp.float32)
    return parameter_count(jax.eval_shape(flow.init, jax.random.key(0), x)["params"])


def expected_count(tokens, channels, width, depths):
    """By hand: norms, 4 width^2 of attention, 8 width^2 of hidden layers, biases."""
    layer = 12 * width**2 + 13 * width
    ends = (channels + 1) * width + tokens * width + (width + 1) * 2 * channels
    return sum(depth * layer + ends for depth in depths)


def test_the_published_size():
    flow = TarFlow((64, 64, 3), patch=2, blocks=8, width=768, layers=8, heads=12)
    assert count(flow) == expected_count(32 * 32, 12, 768, [8] * 8) == 460_142_784


def test_sizes_of_the_specification():
    assert count(TarFlow((28, 28, 1))) == expected_count(49, 16, 64, [2] * 6)
    deep = (1, 1, 1, 1, 1, 4)
    flow = TarFlow((28, 28, 1), layers=deep, stack="chain")
    assert count(flow) == expected_count(49, 16, 64, deep)
    maps = [leaf for _, leaf, _ in unstacked(flow.bijector, {})]
    maps = [leaf for leaf in maps if isinstance(leaf, CausalAffine)]
    assert tuple(leaf.net.keywords["layers"] for leaf in maps) == deep


@pytest.mark.thorough
def test_latents_are_images_and_densities_those_of_the_start():
    flow = TarFlow((4, 6, 1), **small)
    _, x = built(flow)
    log_prob, variables = flow.init_with_output(jax.random.key(0), x)
    z = flow.apply(variables, x, method="latents")
    # an even number of reversals is none: pixels in [-1, 1)
    np.testing.assert_allclose(z, 2 * x - 1, atol=1e-6)
    expected = -0.5 * ((2 * x - 1) ** 2 + np.log(2 * np.pi)) + np.log(2)
    np.testing.assert_allclose(log_prob, expected.sum((1, 2, 3)), rtol=1e-5)


@pytest.mark.accelerator
def test_samples_are_those_of_their_density_with_a_class():
    flow = TarFlow((4, 4, 1), soft_clip=0.5, **small)
    cond = one_hot_condition(np.array([0, 2, 1]), 3)
    variables, x = built(flow, cond)

    def compute(variables, x, cond):
        drawn, density = flow.apply(
            variables, jax.random.key(1), 3, 1.0, cond, method="sample_and_log_prob"
        )
        again = flow.apply(variables, drawn, cond)
        return (
            density,
            again,
            flow.apply(variables, x, cond),
            flow.apply(variables, x, 0 * cond),
        )

    density, again, given, without = run(compute, variables, x, cond)
    np.testing.assert_allclose(density, again, rtol=1e-4)
    assert (np.abs(given - without) > 1e-4).all()


def test_pixels_may_go_through_a_logit():
    first, *rest = TarFlow((4, 4, 1), logit=True, alpha=0.1, **small).bijector.bijectors
    assert first == Logit(0.1)
    assert tuple(rest) == TarFlow((4, 4, 1), **small).bijector.bijectors[1:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_shape": (28, 28)}, r"image_shape must be \(H, W, C\)"),
        ({"patch": 5}, "patches of side 5 do not divide 28x28 pixels; .*: 2, 4, 7, 14"),
        ({"patch": 0}, "TarFlow needs patch >= 1, got patch=0"),
        ({"heads": 3}, "heads=3 do not divide width=64"),
        ({"blocks": 2.5}, "blocks must be a whole number, got 2.5"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"layers": (1, 4)}, r"layers=\(1, 4\) are of 2 blocks, and blocks=6"),
        (
            {"layers": (1, 1, 1, 1, 1, 4)},
            "stack='scan' repeats one block, .* not alike; give stack='chain'",
        ),
        ({"soft_clip": -1.0}, "soft_clip must be positive, or None for no bound"),
        ({"scale": "sigmoid"}, "unknown scale 'sigmoid'; known: exp, softplus"),
        ({"stack": "loop"}, "unknown stack 'loop'"),
        ({"stack": "chain", "remat": "full"}, "remat and reversible are options of"),
        ({"alpha": 0.5, "logit": True}, "TarFlow needs 0 <= alpha < 0.5"),
        (
            {"precision": Precision(jnp.float16)},
            "Transformer overflows in float16",
        ),
        ({"precision": "half"}, "unknown precision 'half'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        TarFlow(**{"image_shape": (28, 28, 1)} | arguments)
