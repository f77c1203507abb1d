"""`max_log_scale`: a bound that holds whatever is learned, and a bijector still."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.bijectors import AffineCoupling, walk
from flowjax_ood.models import Glow, RealNVP, TabularRealNVP

DIM, COUPLINGS, BOUND = 5, 3, 0.7


def flow(max_log_scale=BOUND):
    return TabularRealNVP(
        DIM, couplings=COUPLINGS, width=6, max_log_scale=max_log_scale
    )


def wild(scale: float) -> tuple[dict, jax.Array]:
    """Variables with every parameter `scale` times as large, and vectors."""
    x = jax.random.normal(jax.random.key(1), (6, DIM))
    variables = flow().init(jax.random.key(0), x)
    return jax.tree.map(lambda p: scale * p, variables), x


@pytest.mark.thorough
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_every_log_scale_is_within_the_bound(scale):
    variables, x = wild(scale)
    (_, logdet), seen = flow().bijector.apply(
        {"params": variables["params"]["bijector"]}, x, mutable=["intermediates"]
    )
    for coupling in seen["intermediates"].values():
        assert np.abs(coupling["s"][0]).max() <= BOUND
    # the halves of 5 dimensions: 3, 2 and 3 change
    assert np.abs(logdet).max() <= BOUND * (3 + 2 + 3)


@pytest.mark.parametrize("model", [Glow, RealNVP])
def test_image_flows_hand_it_to_every_coupling(model):
    layers = walk(model((4, 4, 1), width=2, max_log_scale=BOUND).bijector)
    couplings = [b for _, b in layers if isinstance(b, AffineCoupling)]
    assert couplings
    assert {b.max_log_scale for b in couplings} == {BOUND}
    with pytest.raises(ValueError, match="max_log_scale must be positive, or None"):
        model((4, 4, 1), width=2, max_log_scale=-1)


def test_without_a_bound_log_scales_go_beyond():
    variables, x = wild(30.0)
    bijector = flow(None).bijector
    _, logdet = bijector.apply({"params": variables["params"]["bijector"]}, x)
    assert np.abs(logdet).max() > BOUND * 8


def test_small_log_scales_are_left_alone():
    variables, x = wild(1e-3)
    bounded, free = (f.apply(variables, x) for f in (flow(), flow(None)))
    np.testing.assert_allclose(bounded, free, rtol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_the_inverse_and_the_log_determinant_are_exact(scale):
    with jax.enable_x64(True):
        variables, x = wild(scale)
        variables, x = jax.tree.map(lambda a: a.astype(jnp.float64), (variables, x))
        params = {"params": variables["params"]["bijector"]}
        bijector = flow().bijector
        z, logdet = bijector.apply(params, x)
        back, inverse = bijector.apply(params, z, method="inverse")
        np.testing.assert_allclose(back, x, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(inverse, -logdet, rtol=1e-9)
        jacobian = jax.vmap(jax.jacfwd(lambda v: bijector.apply(params, v[None])[0][0]))
        _, expected = np.linalg.slogdet(jacobian(x))
        np.testing.assert_allclose(logdet, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"max_log_scale": 0.0}, "max_log_scale must be positive, or None"),
        ({"max_log_scale": -1.0}, "got -1.0"),
        ({"couplings": 1}, "couplings >= 2, got couplings=1"),
        ({"couplings": None}, "couplings must be a whole number, got None"),
        ({"width": 0}, "width=0"),
        ({"layers": -1}, "layers=-1"),
        ({"dropout": 1.0}, "0 <= dropout < 1, got 1.0"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        TabularRealNVP(DIM, **arguments)
