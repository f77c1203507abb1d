"""Autoregressive flows of vectors and images, and the inverse ones."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flowjax_ood.bijectors import Logit, walk
from flowjax_ood.models import IAF, MAF
from flowjax_ood.training.state import parameter_count
from tests.helpers.generic_variables import generic_variables
from tests.helpers.law_runs import flat, run


def built(flow, shape, cond=None, seed=0):
    rng = np.random.default_rng(seed)
    x = jnp.asarray(rng.uniform(0.05, 0.95, (4, *shape)), jnp.float32)
    return generic_variables(flow, rng, x, cond), x


@pytest.mark.thorough
@pytest.mark.parametrize("model", [MAF, IAF])
@pytest.mark.parametrize(
    ("transform", "shape", "given"),
    [("affine", (2, 3, 1), (2, 3, 1)), ("spline", (5,), 5)],
)
def test_densities_are_those_of_the_map(model, transform, shape, given):
    flow = model(given, transform=transform, bins=4, layers=2, hidden=(8,))
    variables, x = built(flow, shape)

    def compute(variables, x):
        def latents(one):
            z = flow.apply(variables, one.reshape(1, *shape), method="latents")
            return flat(z)[0]

        z = flow.apply(variables, x, method="latents")
        jacobians = jax.vmap(jax.jacfwd(latents))(x.reshape(len(x), -1))
        again = flow.apply(variables, z, method="from_latents")
        return flow.apply(variables, x), flat(z), jacobians, again

    density, z, jacobians, again = run(compute, variables, x)
    expected = -0.5 * np.sum(z**2 + np.log(2 * np.pi), axis=1)
    expected += np.linalg.slogdet(jacobians)[1]
    np.testing.assert_allclose(density, expected, rtol=2e-4)
    np.testing.assert_allclose(again, x, atol=1e-4)


@pytest.mark.thorough
def test_an_inverse_flow_is_the_inverse_of_its_layers():
    one = {"layers": 1, "hidden": (8,), "solver": "sequential"}
    variables, x = built(MAF(5, **one), (5,))
    (inner,) = variables["params"]["bijector"].values()
    z = MAF(5, **one).apply(variables, x, method="latents")
    (name,) = variables["params"]["bijector"]
    inverse = {"params": {"bijector": {name: {"bijector": inner}}}}
    again = IAF(5, **one).apply(inverse, z, method="latents")
    np.testing.assert_allclose(jax.tree.leaves(again)[0], x, atol=1e-5)


def test_the_layers_take_the_orders_in_turn():
    flow = MAF((2, 3, 1), layers=4, orders=("raster", "columns", 7), hidden=(8,))
    parts = [leaf for _, leaf in walk(flow.bijector)]
    assert isinstance(parts[0], Logit)
    assert [p.order for p in parts[1:]] == ["raster", "columns", 7, "raster"]
    assert len([*walk(MAF(6, layers=2, hidden=(8,)).bijector)]) == 2


def test_the_published_size():
    flow = MAF((28, 28, 1))
    shapes = jax.eval_shape(flow.init, jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    # 5 layers of 784 -> 1,024 -> 2 * 784
    assert parameter_count(shapes["params"]) == 12_055_200


def test_a_condition_moves_every_density():
    flow = MAF(4, layers=1, hidden=(8,))
    cond = jnp.asarray(np.random.default_rng(1).normal(size=(4, 2)), jnp.float32)
    variables, x = built(flow, (4,), cond)
    given = flow.apply(variables, x, cond)
    assert (np.abs(given - flow.apply(variables, x, cond + 1)) > 1e-4).all()


@pytest.mark.thorough
def test_a_few_steps_fit_a_correlated_gaussian():
    rng = np.random.default_rng(0)
    factor = np.array([[1.0, 0, 0], [0.8, 0.6, 0], [-0.5, 0.5, 0.7]])
    x = jnp.asarray(rng.normal(size=(2000, 3)) @ factor.T, jnp.float32)
    flow = MAF(3, layers=1, hidden=(16,))
    variables = flow.init(jax.random.key(0), x[:1])

    @jax.jit
    def train(variables):
        adam = optax.adam(2e-2)

        def step(carry, _):
            variables, state = carry
            gradient = jax.grad(lambda v: -jnp.mean(flow.apply(v, x)))(variables)
            updates, state = adam.update(gradient, state)
            return (optax.apply_updates(variables, updates), state), None

        start = (variables, adam.init(variables))
        return jax.lax.scan(step, start, length=100)[0][0]

    found = jnp.mean(flow.apply(train(variables), x))
    z = np.linalg.solve(factor, np.asarray(x).T)
    exact = -0.5 * (z**2 + np.log(2 * np.pi)).sum(0) - np.log(np.diag(factor)).sum()
    assert abs(found - exact.mean()) < 0.03


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": (4, 4)}, r"shape must be D, \(D,\) or \(H, W, C\), got \(4, 4\)"),
        ({"shape": 0}, "shape must be a tuple of whole numbers"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"orders": ()}, "orders names no order"),
        ({"orders": ("rows",)}, "unknown order 'rows'"),
        ({"transform": "cubic"}, "unknown transform 'cubic'; known: affine, spline"),
        ({"alpha": 0.5}, "alpha must be at least 0 and below 0.5"),
        ({"hidden": (0,)}, "hidden must be at least 1, got 0"),
        ({"solver": "newton"}, "unknown solver 'newton'"),
    ],
)
def test_bad_arguments(arguments, message):
    def built():
        flow = MAF(**{"shape": 6, "hidden": (8,)} | arguments)
        jax.eval_shape(flow.init, jax.random.key(0), jnp.zeros((1, 6)))

    with pytest.raises(ValueError, match=message):
        built()
