"""`conditional_bijector=False`: the base alone is given the class, in one pass."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.distributions import (
    ConditionalNormal,
    class_log_prob,
    one_hot_condition,
)
from flowjax_ood.models import Glow, RealNVP, TabularRealNVP
from tests.helpers.generic_variables import generic_variables
from tests.helpers.law_runs import run

BATCH, CLASSES = 3, 6
MODELS = {
    "real_nvp": partial(RealNVP, (4, 4, 1), width=3, blocks=1, norm="none", scales=1),
    "glow": partial(Glow, (4, 4, 1), scales=1, steps=2, width=3, layers=1),
    "tabular": partial(TabularRealNVP, 5, couplings=2, width=12),
}


def setting(name, **arguments):
    flow = MODELS[name](base=ConditionalNormal(), **arguments)
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.uniform(0.1, 0.9, (BATCH, *flow.event_shape)), jnp.float32)
    cond = one_hot_condition(np.arange(BATCH), CLASSES)
    return flow, generic_variables(flow, rng, x, cond), x


@pytest.mark.thorough
@pytest.mark.parametrize("name", MODELS)
def test_all_classes_are_those_one_by_one(name):
    flow, variables, x = setting(name, conditional_bijector=False)

    def one_by_one(variables, x):
        rows = [jnp.full(BATCH, k) for k in range(CLASSES)]
        conds = [jax.nn.one_hot(row, CLASSES) for row in rows]
        return jnp.stack([flow.apply(variables, x, cond) for cond in conds], 1)

    found = run(lambda v, x: class_log_prob(flow, v, x, CLASSES), variables, x)
    np.testing.assert_allclose(found, run(one_by_one, variables, x), rtol=1e-5)
    assert found.std(1).min() > 0.1


@pytest.mark.thorough
@pytest.mark.parametrize("name", MODELS)
def test_couplings_are_computed_once_for_all_classes(name):
    def work(function, *args):
        return jax.jit(function).lower(*args).cost_analysis()["flops"]

    def ratio(given):
        flow, variables, x = setting(name, conditional_bijector=given)
        cond = jnp.ones((BATCH, CLASSES))
        alone = work(partial(flow.apply, variables), x, cond)
        by_class = work(lambda x: class_log_prob(flow, variables, x, CLASSES), x)
        return by_class / alone

    assert ratio(True) > CLASSES - 2
    assert ratio(False) < CLASSES / 2


@pytest.mark.parametrize("name", MODELS)
def test_with_the_default_base_a_class_is_refused(name):
    flow = MODELS[name](conditional_bijector=False)
    x, cond = jnp.ones((BATCH, *flow.event_shape)) / 2, jnp.ones((BATCH, CLASSES))
    with pytest.raises(ValueError, match="base=ConditionalNormal"):
        jax.eval_shape(flow.init, jax.random.key(0), x, cond)
