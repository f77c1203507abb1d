"""Who knows whom, in every order; that the maps invert is in `test_laws.py`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.bijectors import MaskedAffine, MaskedSpline, autoregressive_order
from flowjax_ood.bijectors.autoregressive import solve_jacobi
from flowjax_ood.networks.made import MADE, made_masks
from tests.helpers.generic_variables import generic_variables
from tests.helpers.law_table import net

SHAPE = (2, 3, 1)
ORDERS = ["raster", "reversed", "columns", 3, (4, 1, 0, 5, 2, 3)]


def built(bijector, shape=SHAPE, cond=None, batch=4):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(batch, *shape)), jnp.float32)
    return generic_variables(bijector, rng, x, cond), x


@pytest.mark.thorough
@pytest.mark.parametrize("order", ORDERS)
def test_the_jacobian_is_lower_triangular_in_its_order(order):
    # wide, and at many places: of few units some are dead
    bijector = MaskedAffine(net(24, 20), order)
    variables, x = built(bijector, batch=16)

    def z(x):
        return bijector.apply(variables, x.reshape(1, *SHAPE))[0].ravel()

    jacobian = jax.vmap(jax.jacfwd(z))(x.reshape(len(x), -1))
    place = autoregressive_order(order, SHAPE)
    jacobian = np.asarray(jacobian)[:, place][:, :, place]
    above = np.triu(np.ones((6, 6), bool), 1)
    # exact zeros above the diagonal, and every pair below it
    assert (jacobian[:, above] == 0).all()
    assert (np.abs(jacobian[:, above.T]).max(axis=0) > 0).all()
    # the first value has a scale of its own, the same for all
    assert np.ptp(jacobian[:, 0, 0]) == 0


def test_orders_are_those_that_they_say():
    raster = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(autoregressive_order("raster", SHAPE), range(6))
    np.testing.assert_array_equal(autoregressive_order("columns", SHAPE), raster.T.flat)
    backwards = autoregressive_order("reversed", SHAPE)
    np.testing.assert_array_equal(backwards, range(6)[::-1])
    drawn = [autoregressive_order(seed, SHAPE).tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_reversing_the_order_and_the_image_changes_nothing():
    bijector, other = MaskedAffine(net(7)), MaskedAffine(net(7), "reversed")
    variables, x = built(bijector)
    z, logdet = bijector.apply(variables, x)
    turned, same = other.apply(variables, x[:, ::-1, ::-1])
    np.testing.assert_array_equal(turned[:, ::-1, ::-1], z)
    np.testing.assert_array_equal(same, logdet)


@pytest.mark.thorough
@pytest.mark.parametrize("make", [MaskedAffine, MaskedSpline])
def test_both_solvers_find_the_same(make):
    variables, x = built(make(net(8)))
    z, _ = make(net(8)).apply(variables, x)
    found = [
        make(net(8), solver=solver, tol=0.0).apply(variables, z, method="inverse")[0]
        for solver in ("jacobi", "sequential")
    ]
    np.testing.assert_array_equal(*found)
    np.testing.assert_allclose(found[0], x, atol=1e-5)


@pytest.mark.thorough
def test_the_inverse_of_the_sequential_solver_has_gradients():
    bijector = MaskedAffine(net(8), solver="sequential")
    variables, x = built(bijector)
    z, _ = bijector.apply(variables, x)

    def inverse(z):
        return bijector.apply(variables, z, method="inverse")[0].ravel()

    def forward(x):
        return bijector.apply(variables, x)[0].ravel()

    there = jax.jacrev(forward)(x[:1]).reshape(6, 6)
    back = jax.jacrev(inverse)(z[:1]).reshape(6, 6)
    np.testing.assert_allclose(back @ there, np.eye(6), atol=1e-4)


def test_jacobi_is_exact_after_as_many_rounds_as_values():
    def step(x):
        # every value is that before it plus one: nilpotent of full depth
        return jnp.concatenate([jnp.ones((1, 1)), x[:, :-1] + 1], axis=1)

    found, rounds = solve_jacobi(step, jnp.zeros((1, 5)), tol=0.0)
    np.testing.assert_array_equal(found, [[1, 2, 3, 4, 5]])
    assert rounds == 5


def test_jacobi_ends_early_once_nothing_moves():
    still = jnp.full((1, 50), 2.0)
    _, rounds = solve_jacobi(lambda x: still, jnp.zeros((1, 50)), tol=1e-6)
    assert rounds == 2


@pytest.mark.thorough
@pytest.mark.parametrize("dims", [1, 4])
def test_every_dimension_hears_the_condition(dims):
    """The first one, too: it has no value before it to hear it from."""
    network = MADE((5,), 2)
    rng = np.random.default_rng(0)
    x, cond = rng.normal(size=(2, 3, dims)).astype(np.float32)
    variables = generic_variables(network, rng, x, cond)
    by_cond = jax.jacfwd(lambda c: network.apply(variables, x[:1], c))(cond[:1])
    assert (np.abs(by_cond).max(axis=(0, 2, 3, 4)) > 0).all()


def test_a_condition_cannot_be_left_out():
    """Its weights would have no use: the density would be another one."""
    bijector = MaskedAffine(net(8))
    variables, x = built(bijector, cond=jnp.eye(4))
    with pytest.raises(ValueError, match="this MADE was initialised with cond"):
        bijector.apply(variables, x)


def test_it_begins_as_the_identity():
    for bijector in (MaskedAffine(net(8)), MaskedSpline(net(8))):
        x = built(bijector)[1]
        z, logdet = bijector.apply(bijector.init(jax.random.key(0), x), x)
        np.testing.assert_allclose(z, x, atol=1e-6)
        np.testing.assert_allclose(logdet, 0, atol=1e-5)


def test_a_linear_one_is_a_cholesky_factor():
    """With s and t linear it holds every Gaussian: z = L^-1 x."""
    rng = np.random.default_rng(3)
    factor = np.tril(rng.normal(size=(3, 3)), -1) + np.diag([0.5, 2.0, 1.5])
    x = rng.normal(size=(50, 3)) @ factor.T
    inverse = np.linalg.inv(factor)
    # t_i = (sum over j < i of inverse_ij x_j) / inverse_ii
    kernel = np.zeros((3, 6))
    kernel[:, 1::2] = (np.tril(inverse, -1) / np.diag(inverse)[:, None]).T
    (mask,) = made_masks(3, (), 2)
    assert (kernel * ~mask == 0).all()
    scale = np.log(np.diag(inverse))
    bias = np.stack([3 * np.arctanh(scale / 3), np.zeros(3)], axis=1).ravel()
    params = {"layer_0_kernel": kernel, "layer_0_bias": bias}
    with jax.enable_x64(True):
        variables = {"params": {"net": jax.tree.map(jnp.asarray, params)}}
        z, logdet = MaskedAffine(net()).apply(variables, jnp.asarray(x))
    np.testing.assert_allclose(z, x @ inverse.T, atol=1e-9)
    np.testing.assert_allclose(logdet, np.log(np.diag(inverse)).sum(), atol=1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MaskedAffine(net(4)), "of at least 5 units, got"),
        (lambda: MaskedAffine(net(8, 3)), "of at least 5 units, got"),
        (lambda: MaskedAffine(net(8), "rows"), "unknown order 'rows'; known: raster"),
        (lambda: MaskedAffine(net(8), (0, 1)), "not a permutation of the 6 values"),
        (lambda: MaskedAffine(net(8), -1), "order must be at least 0, got -1"),
        (lambda: MaskedAffine(net(8), solver="newton"), "unknown solver 'newton'"),
        (lambda: MaskedAffine(net(8), tol=-1.0), "tol must be at least 0, got -1"),
        (lambda: MaskedAffine(net(8), max_log_scale=0.0), "max_log_scale must be posi"),
        (lambda: MaskedSpline(net(8), bins=0), "a spline needs 1 <= bins"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(make().init, jax.random.key(0), jnp.zeros((1, *SHAPE)))


def test_a_condition_needs_a_unit_more_and_columns_an_image():
    x, cond = jnp.zeros((1, 6)), jnp.zeros((1, 2))
    with pytest.raises(ValueError, match=r"with a condition needs .* at least 6 units"):
        MaskedAffine(net(5)).init(jax.random.key(0), x, cond)
    with pytest.raises(ValueError, match="'columns' is of images"):
        MaskedAffine(net(5), "columns").init(jax.random.key(0), x)
