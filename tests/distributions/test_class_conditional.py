"""Flows conditioned on a class: one-hot conditions, Bayes' rule, learning."""

from functools import cache, partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flowjax_ood import masks
from flowjax_ood.bijectors import ActNorm, AffineCoupling, Chain
from flowjax_ood.distributions import (
    ConditionalNormal,
    Flow,
    class_log_posterior,
    class_log_prob,
    marginal_log_prob,
    one_hot_condition,
)
from flowjax_ood.networks import MLP
from tests.helpers.conditional_flows import BATCH, FLOWS, K, drawn, inputs, run


def test_one_hot_conditions():
    rows = one_hot_condition(np.array([2, 0]), 3)
    np.testing.assert_array_equal(rows, [[0, 0, 1], [1, 0, 0]])
    assert rows.dtype == jnp.float32
    labels = jnp.array([0, 3, -1, 2], jnp.int8)
    traced = jax.jit(partial(one_hot_condition, num_classes=3))(labels)
    np.testing.assert_array_equal(traced[jnp.array([0, 3])], [[1, 0, 0], [0, 0, 1]])
    assert np.isnan(traced[1:3]).all()


@pytest.mark.parametrize(
    ("labels", "num_classes", "message"),
    [
        ([0, 3, 1], 3, "must lie in 0 ... 2, got 3 at position 1"),
        ([0, 1, -1], 3, "got -1 at position 2"),
        ([[0], [1]], 3, r"integers \[B\], got int\d+ of shape \(2, 1\)"),
        ([0.0, 1.0], 3, r"integers \[B\], got float\d+"),
        ([True, False], 3, r"integers \[B\], got bool"),
        ([0], 0, "num_classes must be at least 1, got 0"),
    ],
)
def test_labels_that_are_none(labels, num_classes, message):
    for given in (np.array(labels), jnp.array(labels)):
        with pytest.raises(ValueError, match=message):
            one_hot_condition(given, num_classes)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["vector", "image"])
def test_class_log_prob_is_that_of_each_class(name):
    flow = FLOWS[name]
    variables, (x, _) = drawn(flow), inputs(flow)
    found = run(lambda v, x: class_log_prob(flow, v, x, K), variables, x)
    assert found.shape == (BATCH, K)
    for k in range(K):
        cond = one_hot_condition(np.full(BATCH, k), K)
        expected = run(flow.apply, variables, x, cond)
        np.testing.assert_allclose(found[:, k], expected, rtol=2e-5)
    assert (np.ptp(found, axis=1) > 0.1).all()


@pytest.mark.thorough
def test_bayes_rule():
    rng = np.random.default_rng(4)
    class_log_probs = -3000 + 3 * rng.normal(size=(BATCH, K))
    prior = np.array([0.5, 0.3, 0.2])
    with jax.enable_x64(True):
        for log_prior, weights in (
            (None, np.full(K, 1 / K)),
            (np.log(prior), prior),
            (np.log(prior) + 7, prior),  # up to a constant
        ):
            posterior = class_log_posterior(class_log_probs, log_prior)
            marginal = marginal_log_prob(class_log_probs, log_prior)
            np.testing.assert_allclose(np.exp(posterior).sum(1), 1, rtol=1e-12)
            joint = class_log_probs + np.log(weights)
            np.testing.assert_allclose(posterior + marginal[:, None], joint, rtol=1e-12)
        # a class that cannot be
        posterior = class_log_posterior(
            class_log_probs, np.array([-np.inf, 0, -np.inf])
        )
        np.testing.assert_array_equal(np.exp(posterior), np.eye(K)[[1] * BATCH])


@pytest.mark.thorough
def test_where_classes_do_not_matter_the_posterior_is_the_prior():
    flow = Flow(Chain([ActNorm()]), (3,))
    x, _ = inputs(flow)
    variables = flow.init(jax.random.key(0), x)
    found = class_log_prob(flow, variables, x, K)
    np.testing.assert_array_equal(found, np.tile(flow.apply(variables, x)[:, None], K))
    prior = np.log([0.5, 0.3, 0.2])
    np.testing.assert_allclose(class_log_posterior(found, prior)[0], prior, rtol=1e-6)


class TwoLayers(nn.Module):
    """A dense layer that sees no condition, and one that does if there is one."""

    @nn.compact
    def __call__(self, x, features, cond=None):
        h = nn.Dense(7)(x)
        if cond is not None:
            h = jnp.concatenate([h, cond], axis=-1)
        return nn.Dense(features)(h)


@pytest.mark.parametrize("conditional", [False, True])
def test_what_classes_share_is_computed_once(conditional):
    coupling = AffineCoupling(TwoLayers, masks.alternate_tabular)
    flow = Flow(coupling, (5,), ConditionalNormal(), conditional)
    jaxpr = jax.make_jaxpr(partial(class_log_prob, flow, num_classes=K))
    products = [
        e.outvars[0].aval.size
        for e in jaxpr(drawn(flow), inputs(flow)[0]).eqns
        if e.primitive.name == "dot_general"
    ]
    # two layers of the coupling, then mean and log scale of the base
    second = K if conditional else 1
    expected = [7 * BATCH, 10 * BATCH * second, 5 * BATCH * K, 5 * BATCH * K]
    assert sorted(products) == sorted(expected)


@pytest.mark.parametrize("function", [class_log_posterior, marginal_log_prob])
def test_bad_class_log_probabilities(function):
    with pytest.raises(ValueError, match=r"must be \[B, K\], got \(4,\)"):
        function(np.zeros(4))
    with pytest.raises(ValueError, match=r"\[K\] with K = 3, got \(1, 3\)"):
        function(np.zeros((4, 3)), np.zeros((1, 3)))


CENTRES = np.array([[-1.5, 1.0], [1.5, -1.0]])


def clusters(seed, num):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, num)
    x = CENTRES[labels] + 0.6 * rng.normal(size=(num, 2))
    return jnp.asarray(x, jnp.float32), labels


@cache
def trained():
    """A flow with conditional couplings and base, fit to two clusters."""
    x, labels = clusters(5, 512)
    cond = one_hot_condition(labels, 2)
    net = partial(MLP, width=8, zero_init=True)
    couplings = [AffineCoupling(net, masks.alternate_tabular, k) for k in range(2)]
    flow = Flow(Chain(couplings), (2,), ConditionalNormal())
    optimizer = optax.adam(3e-2)

    def step(carry, _):
        variables, state = carry
        gradient = jax.grad(lambda v: -flow.apply(v, x, cond).mean())(variables)
        changes, state = optimizer.update(gradient, state)
        return (optax.apply_updates(variables, changes), state), None

    def fit():
        variables = flow.init(jax.random.key(0), x, cond)
        start = variables, optimizer.init(variables)
        return jax.lax.scan(step, start, length=100)[0][0]

    return flow, run(fit)


@pytest.mark.thorough
def test_a_class_conditional_flow_learns_to_tell_classes_apart():
    flow, variables = trained()
    x, labels = clusters(6, 1000)
    far = jnp.array([[3.0, 3.0], [-3.0, -3.0]])
    both = jnp.concatenate([x, far])
    by_class = run(lambda v, x: class_log_prob(flow, v, x, 2), variables, both)
    predicted = class_log_posterior(by_class[:1000]).argmax(1)
    assert (predicted == labels).mean() > 0.95
    # no density of the classes does better than the true one: log(2 pi e 0.6^2)
    loss = -by_class[np.arange(1000), labels].mean()
    assert loss == pytest.approx(np.log(2 * np.pi * np.e * 0.36), abs=0.15)
    # far from both clusters is unlikely, whatever the class
    score = marginal_log_prob(by_class)
    assert (score[1000:] < np.percentile(score[:1000], 2)).all()


@pytest.mark.thorough
def test_conditional_samples_lie_in_their_cluster():
    flow, variables = trained()
    labels = np.arange(400) % 2
    cond = one_hot_condition(labels, 2)
    x = flow.apply(variables, jax.random.key(1), 400, cond=cond, method="sample")
    distances = np.linalg.norm(np.asarray(x)[:, None] - CENTRES, axis=-1)
    assert (distances.argmin(1) == labels).mean() > 0.95
    for k, centre in enumerate(CENTRES):
        np.testing.assert_allclose(x[labels == k].mean(0), centre, atol=0.2)
