"""Guided samples: plain at weight 0, and pushed towards their condition above."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.models import MAF, TarFlow, drop_condition, guided_sample
from tests.helpers.generic_variables import generic_variables

KEY = jax.random.key(1)
COND = jnp.asarray(np.eye(3)[[0, 2]], jnp.float32)


@pytest.fixture(scope="module")
def trained():
    flow = TarFlow((4, 4, 1), patch=2, blocks=2, width=4, layers=1, soft_clip=0.5)
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.uniform(size=(2, 4, 4, 1)), jnp.float32)
    return flow, generic_variables(flow, rng, x, COND)


@pytest.mark.thorough
def test_weight_0_is_the_plain_sample(trained):
    plain = trained[0].apply(trained[1], KEY, 2, cond=COND, method="sample")
    for annealed in (False, True):
        found = guided_sample(*trained, KEY, COND, 0.0, annealed=annealed)
        np.testing.assert_array_equal(found, plain)
    # and it is what guided samples tend to
    near = guided_sample(*trained, KEY, COND, 1e-6)
    np.testing.assert_allclose(near, plain, atol=1e-4)


@pytest.mark.thorough
def test_guidance_reaches_every_block_of_a_repeat(trained):
    flow, variables = trained
    plain = flow.apply(variables, KEY, 2, cond=COND, method="sample")
    found = guided_sample(flow, variables, KEY, COND, 2.0)
    # the first token of the one block is the last of the other: all are moved
    assert (jnp.abs(found - plain).reshape(2, 2, 2, 2, 2).max((2, 4)) > 1e-4).all()
    # where the condition says nothing, there is nothing to push towards
    nothing = jnp.zeros_like(COND)
    plain = flow.apply(variables, KEY, 2, cond=nothing, method="sample")
    found = guided_sample(flow, variables, KEY, nothing, 2.0)
    np.testing.assert_allclose(found, plain, atol=1e-5)


def test_conditions_are_dropped_by_rows():
    cond = jnp.ones((2000, 3))
    kept = np.asarray(drop_condition(KEY, cond, 0.1))
    assert set(kept.sum(1)) == {0, 3}
    # five standard deviations about 0.9
    assert abs(kept.mean() - 0.9) < 5 * np.sqrt(0.09 / 2000)
    np.testing.assert_array_equal(drop_condition(KEY, cond, 0.0), cond)
    with pytest.raises(ValueError, match=r"rate must lie in \[0, 1\], got 1.5"):
        drop_condition(KEY, cond, 1.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cond": None}, "guidance needs cond, the condition to push towards"),
        ({"weight": -1.0}, "weight of guidance must be at least 0, got -1.0"),
        ({"what": "s"}, "guidance is of 'ab', 'a', 'b', got 's'"),
        ({"flow": MAF(4, hidden=(8,))}, "flows with a CausalAffine"),
        (
            {"flow": TarFlow((4, 4, 1), patch=2, conditional_bijector=False)},
            "flows with a CausalAffine that is given the condition",
        ),
    ],
)
def test_bad_arguments(trained, arguments, message):
    given = {"flow": trained[0], "variables": trained[1], "key": KEY, "cond": COND}
    with pytest.raises(ValueError, match=message):
        guided_sample(**given | {"weight": 1.0} | arguments)
