"""A flow of classes is the mixture of what it is by class."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from flowjax_ood.distributions import (
    ClassMixture,
    ConditionalNormal,
    Flow,
    StandardNormal,
    class_log_posterior,
    class_log_prob,
    marginal_log_prob,
    one_hot_condition,
)
from flowjax_ood.models import TabularRealNVP, class_conditional
from tests.helpers.conditional_flows import (
    BATCH,
    FLOWS,
    K,
    image_flow,
    run,
    vector_flow,
)
from tests.helpers.generic_variables import generic_variables

PLAIN = {
    "vector": vector_flow(StandardNormal()),
    "image": image_flow(StandardNormal()),
}


def setting(name, part, absent=()):
    """`(the mixture, variables without zeros, x)`."""
    flow = class_conditional(PLAIN[name], K, part, absent)
    rng = np.random.default_rng(3)
    x = jnp.asarray(rng.uniform(0.05, 0.95, (BATCH, *flow.event_shape)), jnp.float32)
    cond = one_hot_condition(np.arange(BATCH) % K, K)
    return flow, generic_variables(flow, rng, x, cond), x


def by_class(flow, variables, x):
    """`log p(x | y)`, class by class, as the flow without a mixture has it."""
    plain = Flow(flow.bijector, flow.event_shape, flow.base, flow.conditional_bijector)
    return class_log_prob(plain, variables, x, K)


@pytest.mark.thorough
@pytest.mark.parametrize("part", ["base", "couplings"])
@pytest.mark.parametrize("name", PLAIN)
def test_without_a_class_it_is_the_mixture(name, part):
    flow, variables, x = setting(name, part)
    each = run(partial(by_class, flow), variables, x)
    assert np.ptp(each, 1).min() > 0.1
    joint = run(partial(flow.apply, method="class_log_joint"), variables, x)
    np.testing.assert_allclose(joint, each - np.log(K), rtol=2e-5, atol=2e-5)
    found = run(flow.apply, variables, x)
    np.testing.assert_allclose(found, marginal_log_prob(each), rtol=2e-5, atol=2e-5)
    posterior = jax.nn.log_softmax(joint)
    np.testing.assert_allclose(posterior, class_log_posterior(each), atol=3e-5)
    for k in range(K):
        given = run(flow.apply, variables, x, one_hot_condition(np.full(BATCH, k), K))
        np.testing.assert_allclose(given, each[:, k], rtol=2e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("part", ["base", "couplings"])
def test_absent_classes_have_no_part(part):
    flow, variables, x = setting("vector", part, absent=(1,))
    each = run(partial(by_class, flow), variables, x)
    joint = run(partial(flow.apply, method="class_log_joint"), variables, x)
    assert np.isneginf(joint[:, 1]).all()
    expected = marginal_log_prob(each[:, [0, 2]])
    np.testing.assert_allclose(run(flow.apply, variables, x), expected, rtol=2e-5)
    labels = run(
        lambda v, key: drawn_classes(flow, v, key), variables, jax.random.key(0)
    )
    assert set(labels) == {0, 2}


def drawn_classes(flow, variables, key, num=3000):
    x = flow.apply(variables, key, num, method="sample")
    return flow.apply(variables, x, method="class_log_joint").argmax(1)


@pytest.mark.thorough
@pytest.mark.parametrize("part", ["base", "couplings"])
def test_the_two_terms_add_up_and_the_shared_determinant_is_that_of_the_flow(part):
    flow, variables, x = setting("image", part)
    parts = run(partial(flow.apply, method="log_prob_parts"), variables, x)
    whole = run(flow.apply, variables, x)
    np.testing.assert_allclose(parts.log_pz + parts.logdet, whole, rtol=1e-5)
    given = [
        run(
            partial(flow.apply, method="log_prob_parts"),
            *(variables, x, one_hot_condition(np.full(BATCH, k), K)),
        ).logdet
        for k in range(K)
    ]
    low, high = np.min(given, 0), np.max(given, 0)
    assert (low - parts.logdet).max() < 1e-4
    assert (parts.logdet - high).max() < 1e-4
    assert ((high - low).min() > 0.01) == (part == "couplings")


@pytest.mark.parametrize("part", ["base", "couplings"])
def test_its_density_integrates_to_one(part):
    flow = class_conditional(TabularRealNVP(2, couplings=2, width=4), K, part)
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(3, 2)), jnp.float32)
    start = generic_variables(flow, rng, x, one_hot_condition(np.arange(3), K))
    # so narrow that the square below holds all of it
    variables = jax.tree.map(lambda a: 0.3 * a, start)
    axis = np.linspace(-12, 12, 481, dtype=np.float32)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    density = np.exp(run(flow.apply, variables, grid))
    assert np.sum(density, dtype=float) * (axis[1] - axis[0]) ** 2 == pytest.approx(
        1, abs=2e-3
    )


@pytest.mark.thorough
@pytest.mark.parametrize("part", ["base", "couplings"])
def test_an_event_beyond_all_classes_has_no_density(part):
    """As of a flow without classes: -inf, and no NaN."""
    flow = class_conditional(TabularRealNVP(2, couplings=2, width=4), K, part)
    x = jnp.array([[1e20, 0.0], [0.1, 0.2]])
    variables = flow.init(jax.random.key(0), x, one_hot_condition(np.arange(2), K))
    parts = flow.apply(variables, x, method="log_prob_parts")
    assert np.isneginf(parts.log_pz[0])
    assert np.isfinite(parts.logdet).all()
    assert np.isneginf(flow.apply(variables, x)[0])


@pytest.mark.thorough
def test_samples_are_of_all_classes_alike():
    """Their classes are told apart, and as frequent as each other."""
    flow, variables, _ = setting("vector", "base")
    params = jax.tree.map(jnp.zeros_like, variables["params"])
    kernel = params["base"]["mean"]["kernel"]
    far = 20 * jnp.arange(K, dtype=jnp.float32)[:, None] * jnp.ones_like(kernel)
    params["base"]["mean"]["kernel"] = far
    labels = run(partial(drawn_classes, flow), {"params": params}, jax.random.key(1))
    assert chisquare(np.bincount(labels, minlength=K)).pvalue > 1e-3
    one = flow.apply(
        {"params": params},
        *(jax.random.key(2), 5, 1.0, one_hot_condition(np.full(5, 2), K)),
        method="sample",
    )
    joint = flow.apply({"params": params}, one, method="class_log_joint")
    assert (joint.argmax(1) == 2).all()
    drawn, log_prob = flow.apply(
        {"params": params}, jax.random.key(3), 7, method="sample_and_log_prob"
    )
    np.testing.assert_allclose(log_prob, flow.apply({"params": params}, drawn), 1e-6)


def test_all_classes_cost_one_pass_where_the_base_alone_is_given_them():
    flow, variables, x = setting("image", "base")
    cond = one_hot_condition(np.zeros(BATCH, int), K)

    def work(*args):
        return jax.jit(flow.apply).lower(*args).cost_analysis()["flops"]

    assert work(variables, x) < 1.3 * work(variables, x, cond)


@pytest.mark.thorough
def test_what_needs_a_class_says_so():
    flow, variables, x = setting("image", "couplings")
    for method in ("latents", "log_prob_scales"):
        with pytest.raises(ValueError, match=r"those of a class; give cond"):
            flow.apply(variables, x, method=method)
    scales = flow.apply(
        variables, x, one_hot_condition(np.arange(4) % K, K), method="log_prob_scales"
    )
    assert scales.log_pz.shape[0] == BATCH
    flow, variables, x = setting("image", "base")
    # the latents are those of all classes
    latents = flow.apply(variables, x, method="latents")
    back = flow.apply(variables, latents, method="from_latents")
    np.testing.assert_allclose(back, x, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": 0}, "classes must be at least 1, got 0"),
        ({"classes": 3, "absent": (3,)}, r"must lie in 0 ... 2, got 3"),
        ({"classes": 3, "absent": (1.7,)}, "absent must be a whole number, got 1.7"),
        ({"classes": 2, "absent": (0, 1)}, "all 2 classes are absent"),
        ({"classes": 2, "base": StandardNormal()}, "nothing of this flow depends"),
    ],
)
def test_settings_that_make_no_mixture(arguments, message):
    plain = FLOWS["vector"]
    given = {"base": ConditionalNormal(), "conditional_bijector": False} | arguments
    with pytest.raises(ValueError, match=message):
        ClassMixture(plain.bijector, plain.event_shape, **given)


def test_flows_that_cannot_be_conditioned():
    with pytest.raises(ValueError, match="unknown part 'all'; known: base, couplings"):
        class_conditional(PLAIN["vector"], K, "all")
    with pytest.raises(ValueError, match="conditioned already"):
        class_conditional(FLOWS["vector"], K)
