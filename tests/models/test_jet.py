"""Jet: its published size, its start, its stacks, and what it refuses."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.bijectors import (
    ElementAffine,
    Inverse,
    Patches,
    Repeat,
    SigmoidCoupling,
    restack,
    unstacked,
    walk,
)
from flowjax_ood.models import Jet
from flowjax_ood.precision import Precision
from flowjax_ood.training.state import parameter_count
from tests.helpers.generic_variables import generic_variables
from tests.helpers.law_runs import flat, run

SHAPE, DIMS = (6, 6, 1), 36
# 3 x 3 tokens: an odd number; two turns and one coupling more
small = partial(
    Jet,
    SHAPE,
    patch=2,
    couplings=5,
    kinds=("channel", "spatial"),
    width=4,
    expansion=2,
)


@pytest.fixture(scope="module")
def built():
    """`(flow, variables, images)`, nothing of which is zero."""
    flow, rng = small(), np.random.default_rng(0)
    x = jnp.asarray(rng.uniform(0.02, 0.98, (3, *SHAPE)), jnp.float32)
    return flow, generic_variables(flow, rng, x), x


def count(flow) -> int:
    x = jax.ShapeDtypeStruct((2, *flow.event_shape), "float32")
    return parameter_count(jax.eval_shape(flow.init, jax.random.key(0), x)["params"])


@pytest.mark.parametrize(("couplings", "depth"), [(32, 2), (64, 5)])
def test_the_published_sizes(couplings, depth):
    shape, patch, w = (64, 64, 3), 4, 512
    flow = Jet(shape, patch=patch, couplings=couplings, width=w, depth=depth, heads=8)
    tokens = 16 * 16
    attention = 4 * (w * w + w)
    hidden = w * 4 * w + 4 * w + 4 * w * w + w
    inside = tokens * w + depth * (attention + hidden + 4 * w) + 2 * w

    def coupling(seen, changed):
        return (seen * w + w) + inside + (w * 2 * changed + 2 * changed)

    spatial = couplings // 5
    # the published network is given half of a token at a time by both kinds
    expected = (couplings - spatial) * coupling(24, 24) + spatial * coupling(48, 48)
    assert expected == {32: 207_398_688, 64: 1_020_055_104}[couplings]
    assert count(flow) == expected


def test_it_is_made_of_turns_and_what_is_left():
    flow = Jet((8, 8, 1), patch=2, couplings=12)
    first, patches, turns, *left, last = flow.bijector.bijectors
    assert first == ElementAffine(2.0, -1.0)
    assert patches == Patches((8, 8, 1), 2)
    assert last == Inverse(Patches((8, 8, 1), 2))
    assert isinstance(turns, Repeat)
    assert (turns.n, [c.index for c in turns.block.bijectors]) == (2, [0, 1, 2, 3, 4])
    assert [c.index for c in left] == [10, 11]
    alone = Jet((8, 8, 1), patch=2, couplings=12, stack="chain")
    couplings = [b for _, b in walk(alone.bijector) if isinstance(b, SigmoidCoupling)]
    assert [c.index for c in couplings] == list(range(12))
    of_turns = [
        b for _, b, _ in unstacked(flow.bijector, {}) if isinstance(b, SigmoidCoupling)
    ]
    assert of_turns == couplings
    assert flow.latent_shape() == (8, 8, 1)


@pytest.mark.thorough
def test_it_starts_as_the_images_between_minus_one_and_one(built):
    *_, x = built
    flow = small(couplings=2, kinds=("spatial",))

    def compute(key, x):
        variables = flow.init(key, x)
        parts = flow.apply(variables, x, method="log_prob_parts")
        return flow.apply(variables, x, method="latents"), parts.logdet

    z, logdet = run(compute, jax.random.key(0), x)
    np.testing.assert_array_equal(z, 2 * x - 1)
    np.testing.assert_allclose(logdet, DIMS * math.log(2), rtol=1e-6)


@pytest.mark.thorough
def test_every_value_is_changed_and_log_determinants_are_bounded(built):
    flow, variables, x = built

    def compute(variables, x):
        parts = flow.apply(variables, x, method="log_prob_parts")
        z = flow.apply(variables, x, method="latents")
        x = flow.apply(variables, z, method="from_latents")
        return z, parts.logdet, x

    z, logdet, again = run(compute, variables, x)
    assert (np.abs(z - (2 * x - 1)) > 1e-4).all()
    np.testing.assert_allclose(again, x, atol=1e-5)
    # 3 channel couplings change half of each token, the spatial ones 4 tokens and 5
    changed = 3 * DIMS // 2 + DIMS
    heads = jax.tree.map(lambda p: 20 * p, variables)
    for some in (variables, heads):
        _, logdet, _ = run(compute, some, x)
        assert (logdet <= (DIMS + changed) * math.log(2) + 1e-3).all()
    assert (logdet < 0).any()


def densities(flow, x):
    def nll(params):
        return -flow.apply({"params": {"bijector": params}}, x).mean()

    return jax.value_and_grad(nll)


@pytest.mark.thorough
def test_separate_couplings_are_those_that_are_scanned_and_rematerialised(built):
    _, variables, x = built
    flow, other = small(remat="full"), small(stack="chain")
    scanned = variables["params"]["bijector"]
    params = restack(flow.bijector, scanned, other.bijector)
    expected, slope = run(densities(flow, x), scanned)
    found, chained = run(densities(other, x), params)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    back = restack(other.bijector, chained, flow.bijector)
    for a, b in zip(jax.tree.leaves(back), jax.tree.leaves(slope), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-4)


@pytest.mark.thorough
def test_a_condition_moves_every_density_and_samples_have_it():
    flow, rng = small(), np.random.default_rng(1)
    x = jnp.asarray(rng.uniform(0.1, 0.9, (3, *SHAPE)), jnp.float32)
    cond = jnp.asarray(rng.normal(size=(3, 2)), jnp.float32)
    variables = generic_variables(flow, rng, x, cond)

    def compute(variables, cond):
        key = jax.random.key(0)
        x, log_prob = flow.apply(
            variables, key, 3, cond=cond, method="sample_and_log_prob"
        )
        return log_prob, flow.apply(variables, x, cond), flow.apply(variables, x, -cond)

    drawn, scored, other = run(compute, variables, cond)
    np.testing.assert_allclose(drawn, scored, rtol=1e-4)
    assert (np.abs(scored - other) > 1e-3).all()


def test_densities_in_bfloat16_are_float32():
    flow, x = small(precision="bfloat16"), jax.ShapeDtypeStruct((2, *SHAPE), "float32")
    density, variables = jax.eval_shape(flow.init_with_output, jax.random.key(0), x)
    assert density.dtype == jnp.float32
    assert {p.dtype.name for p in jax.tree.leaves(variables)} == {"float32"}


@pytest.mark.thorough
def test_the_seed_draws_the_channels(built):
    _, variables, x = built
    one, other = (
        flat(run(partial(small(seed=seed).apply, method="latents"), variables, x))
        for seed in (0, 1)
    )
    assert np.abs(one - other).max() > 1e-2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patch": 4}, "patches of side 4 do not divide 6x6 pixels; those that do: 2"),
        ({"width": 6, "heads": 4}, "heads=4 do not divide width=6"),
        ({"depth": 0}, "Jet needs depth >= 1, got depth=0"),
        ({"couplings": 0}, "Jet needs couplings >= 1, got couplings=0"),
        ({"couplings": 1}, "1 couplings with this mask never change 18 of 36"),
        ({"kinds": ()}, "kinds is empty; known: channel, spatial"),
        ({"kinds": ("row",)}, "kinds names 'row'"),
        ({"patch": 6, "kinds": ("spatial",)}, "at least 2 x 2 tokens"),
        ({"patch": 1, "kinds": ("channel",)}, "tokens of 1 channel cannot be halved"),
        ({"scale": 0.0}, "scale must be positive, got 0.0"),
        ({"stack": "loop"}, "unknown stack 'loop'"),
        ({"stack": "chain", "remat": "full"}, "remat and reversible are options"),
        ({"precision": "float16"}, "unknown precision 'float16'"),
        ({"precision": Precision(jnp.float16)}, "ViT overflows in float16"),
        ({"image_shape": (36,)}, r"image_shape must be \(H, W, C\), got \(36,\)"),
    ],
)
def test_bad_arguments(arguments, message):
    shape = arguments.pop("image_shape", SHAPE)
    given = {"patch": 2, "kinds": ("channel", "spatial"), "couplings": 5} | arguments
    with pytest.raises(ValueError, match=message):
        Jet(shape, **given)
