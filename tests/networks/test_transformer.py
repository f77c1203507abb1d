"""Transformer blocks: who sees whom, and token by token as all at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from flowjax_ood.networks import Transformer
from flowjax_ood.networks.transformer import attend
from flowjax_ood.precision import BFLOAT16, FLOAT32
from tests.helpers.generic_variables import generic_variables

B, T, C = 2, 5, 6


def built(**arguments):
    network = Transformer(2, **arguments)
    rng = np.random.default_rng(0)
    h = jnp.asarray(rng.normal(size=(B, T, C)), jnp.float32)
    return network, generic_variables(network, rng, h), h


@pytest.fixture(scope="module")
def causal():
    return built(causal=True, positions=0.1)


@pytest.mark.thorough
def test_blocks_are_what_is_published():
    network, variables, h = built(heads=3, causal=True, positions=0.1)
    found = network.apply(variables, h)
    params = jax.tree.map(lambda a: np.asarray(a, np.float64), variables["params"])

    def linear(weights, x):
        return x @ weights["kernel"] + weights["bias"]

    def norm(weights, x):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * weights["scale"] + weights["bias"]

    for own, x in zip(found, np.asarray(h, np.float64), strict=True):
        x = x + params["positions"]
        for layer in (params["layer_0"], params["layer_1"]):
            qkv = linear(layer["query_key_value"], norm(layer["attention_norm"], x))
            attended = np.zeros((T, C))
            for head in range(3):
                at = slice(2 * head, 2 * head + 2)
                q, k, v = (
                    qkv[:, C * part : C * (part + 1)][:, at] for part in range(3)
                )
                for i in range(T):
                    weights = np.exp(k[: i + 1] @ q[i] / np.sqrt(2))
                    attended[i, at] = weights / weights.sum() @ v[: i + 1]
            x = x + linear(layer["attended"], attended)
            u = linear(layer["hidden"], norm(layer["hidden_norm"], x))
            x = x + linear(layer["out"], u * (1 + erf(u / np.sqrt(2))) / 2)
        np.testing.assert_allclose(own, x, atol=2e-5)


@pytest.mark.thorough
def test_a_token_knows_none_after_it(causal):
    network, variables, h = causal
    for i in range(T):
        # equal steps in all of its numbers would be lost in the norm
        after = jnp.zeros((B, T, C)).at[:, i].set(h[:, i] ** 2)
        _, moved = jax.jvp(lambda h: network.apply(variables, h), (h,), (after,))
        # zeros, not small numbers
        assert (moved[:, :i] == 0).all()
        assert (jnp.abs(moved[:, i:]).max((0, 2)) > 1e-3).all()


@pytest.mark.thorough
@pytest.mark.accelerator
@pytest.mark.parametrize(("wide", "tolerance"), [(False, 1e-5), (True, 1e-12)])
def test_token_by_token_as_all_at_once(causal, wide, tolerance):
    network, variables, h = causal

    def by_steps(variables, h):
        net = network.apply(variables, T, C, method="on")

        def step(cache, inputs):
            row, cache = net.step(cache, *inputs)
            return cache, row

        tokens = (h.swapaxes(0, 1), jnp.arange(T))
        return jax.lax.scan(step, net.start(B, h.dtype), tokens)[1].swapaxes(0, 1)

    with jax.enable_x64(wide):
        dtype = jnp.float64 if wide else jnp.float32
        variables, h = jax.tree.map(lambda a: a.astype(dtype), (variables, h))
        found, expected = jax.jit(by_steps)(variables, h), network.apply(variables, h)
        np.testing.assert_allclose(found, expected, atol=tolerance)


def test_without_positions_the_order_of_tokens_is_nothing_to_it():
    order = np.random.default_rng(1).permutation(T)
    network, variables, h = built()
    moved = network.apply(variables, h[:, order])
    np.testing.assert_allclose(moved, network.apply(variables, h)[:, order], atol=1e-5)
    # and with them it is something
    network, variables, h = built(positions=0.1)
    moved = network.apply(variables, h[:, order])
    assert jnp.abs(moved - network.apply(variables, h)[:, order]).max() > 1e-2


def test_softmax_is_float32_under_bfloat16():
    def traced(precision):
        q = jnp.ones((1, 3, 1, 4))
        return str(jax.make_jaxpr(lambda q: attend(q, q, q, None, precision))(q))

    assert "bf16" in traced(BFLOAT16)
    (exponential,) = [line for line in traced(BFLOAT16).split("\n") if "= exp " in line]
    assert "f32" in exponential
    assert "bf16" not in exponential
    assert "bf16" not in traced(FLOAT32)


@pytest.mark.accelerator
def test_bfloat16_is_near_float32():
    network, variables, h = built(causal=True)
    rounded = network.clone(precision=BFLOAT16).apply(variables, h)
    assert rounded.dtype == jnp.float32
    error = jnp.abs(rounded - network.apply(variables, h)).max()
    assert 1e-5 < error < 0.1


@pytest.mark.thorough
def test_a_query_that_sees_nothing_has_a_gradient():
    q = jnp.asarray(np.random.default_rng(0).normal(size=(1, 3, 1, 4)), jnp.float32)
    nothing = jnp.zeros((3, 3), bool)
    gradient = jax.grad(lambda q: attend(q, q, q, nothing).sum())(q)
    assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        ({"heads": 4}, (2, 5, 6), "heads=4 do not divide width=6"),
        ({"layers": 0}, (2, 5, 6), "layers must be at least 1, got 0"),
        ({"expansion": 0.5}, (2, 5, 6), "expansion must be a whole number"),
        ({"positions": 0.0}, (2, 5, 6), "positions must not be 0"),
        ({}, (5, 6), r"takes tokens \[B, T, C\], got shape \(5, 6\)"),
    ],
)
def test_bad_arguments(arguments, shape, message):
    with pytest.raises(ValueError, match=message):
        Transformer(**{"layers": 1} | arguments).init(
            jax.random.key(0), jnp.zeros(shape)
        )


def test_steps_are_of_causal_networks_alone():
    network, variables, _ = built()
    net = network.apply(variables, T, C, method="on")
    with pytest.raises(ValueError, match="not causal"):
        net.start(1, jnp.float32)
