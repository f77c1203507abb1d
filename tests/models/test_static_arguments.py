"""Flows are hashable and compare by value: JAX takes them as static arguments."""

import pickle
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood import masks, models
from flowjax_ood.bijectors import Chain, ChannelPermutation
from flowjax_ood.bound import Bound
from flowjax_ood.distributions import ConditionalNormal, Flow
from flowjax_ood.networks import MLP

SMALL = {"width": 2, "scales": 1}
FLOWS = {
    "tabular": partial(models.TabularRealNVP, 4, couplings=2, width=3),
    "real_nvp": partial(models.RealNVP, [4, 4, 1], blocks=1, **SMALL),
    "multi_scale": partial(models.RealNVP, (4, 4, 1), width=2, st_net="resnet_ae"),
    "glow": partial(models.Glow, (4, 4, 1), steps=2, mask="cycle", **SMALL),
    "jet": partial(models.Jet, [4, 4, 1], patch=2, heads=1, width=3),
    "repeat": partial(models.Glow, (4, 4, 1), steps=2, stack="scan", **SMALL),
    "own": lambda width=3: Flow(
        Chain(
            [
                ChannelPermutation([1, 0, 3, 2]),
                *models.TabularRealNVP(
                    4,
                    couplings=2,
                    mask=masks.alternate(masks.tabular, "channel"),
                    width=width,
                ).bijector.bijectors,
            ]
        ),
        [4],
        ConditionalNormal(hidden=[3]),
    ),
}


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_built_anew_is_the_same_flow(name):
    make = FLOWS[name]
    flow, again, other = make(), make(), make(width=5)
    assert hash(flow) == hash(again)
    assert flow == again != other
    assert pickle.loads(pickle.dumps(flow)) == flow


@pytest.mark.thorough
def test_a_flow_built_anew_is_not_compiled_again():
    @partial(jax.jit, static_argnums=0)
    def log_prob(flow, variables, x):
        return flow.apply(variables, x)

    make, x = FLOWS["tabular"], jnp.ones((2, 4))
    variables = make().init(jax.random.key(0), x)
    expected = make().apply(variables, x)
    for _ in range(2):
        np.testing.assert_allclose(log_prob(make(), variables, x), expected, rtol=1e-5)
    assert log_prob._cache_size() == 1


def test_bound_arguments_compare_by_value():
    net = Bound(MLP, width=3, layers=2)
    assert net == Bound(MLP, layers=2, width=3)
    assert net == Bound(Bound(MLP, width=3), layers=2)
    assert net != Bound(MLP, width=3)
    assert net != partial(MLP, width=3, layers=2)
    assert net() == MLP(width=3, layers=2)
