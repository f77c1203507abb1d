"""The couplings that RealNVP and Glow are built with, by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.bijectors import MixtureCoupling, SplineCoupling, restack, walk
from flowjax_ood.models import Glow, RealNVP
from flowjax_ood.models.couplings import COUPLINGS

SHAPE = (4, 4, 1)
SMALL = {
    Glow: {"scales": 1, "steps": 2, "width": 4, "layers": 1},
    RealNVP: {
        "scales": 1,
        "couplings": 2,
        "width": 4,
        "blocks": 1,
        "norm": "none",
        "zero_init": True,
    },
}


def images():
    return jax.random.uniform(jax.random.key(0), (3, *SHAPE))


@pytest.mark.thorough
@pytest.mark.parametrize("model", SMALL)
def test_all_couplings_start_as_the_identity(model):
    x, log_probs = images(), []
    for coupling in COUPLINGS:
        flow = model(SHAPE, coupling=coupling, components=3, **SMALL[model])
        variables = jax.jit(flow.init)(jax.random.key(1), x)
        log_probs.append(jax.jit(flow.apply)(variables, x))
    for log_prob in log_probs[1:]:
        np.testing.assert_allclose(log_prob, log_probs[0], rtol=1e-5, atol=1e-4)
    assert np.ptp(log_probs[0]) > 0.1


@pytest.mark.parametrize("model", SMALL)
def test_affine_is_the_default_and_its_parameters_keep_their_names(model):
    x = jax.ShapeDtypeStruct((2, *SHAPE), jnp.float32)

    def shapes(**arguments):
        flow = model(SHAPE, **SMALL[model], **arguments)
        return jax.eval_shape(flow.init, jax.random.key(0), x)["params"]

    default = shapes()
    assert default == shapes(coupling="affine")
    couplings = [node for node in default["bijector"].values() if "rescale" in node]
    assert len(couplings) == 2
    assert all(set(node) == {"rescale", "st_net"} for node in couplings)
    assert default != shapes(coupling="spline")


def test_numbers_reach_the_couplings():
    spline = Glow(SHAPE, coupling="spline", bins=5, bound=2.0, **SMALL[Glow])
    mixture = RealNVP(SHAPE, coupling="mixture", components=6, **SMALL[RealNVP])
    bounded = Glow(SHAPE, coupling="mixture", max_log_scale=0.5, **SMALL[Glow])

    def of(flow, kind):
        return [each for _, each in walk(flow.bijector) if isinstance(each, kind)]

    assert [(c.bins, c.bound) for c in of(spline, SplineCoupling)] == [(5, 2.0)] * 2
    assert [c.components for c in of(mixture, MixtureCoupling)] == [6] * 2
    assert [c.max_log_scale for c in of(mixture, MixtureCoupling)] == [2.0] * 2
    assert [c.max_log_scale for c in of(bounded, MixtureCoupling)] == [0.5] * 2


@pytest.mark.thorough
def test_scanned_mixtures_are_those_of_the_chain():
    x, arguments = images(), {"coupling": "mixture", "components": 2, **SMALL[Glow]}
    chain = Glow(SHAPE, **arguments)
    scan = Glow(SHAPE, stack="scan", **arguments)
    params = jax.jit(scan.init)(jax.random.key(1), x)["params"]
    # off the identity
    draw = np.random.default_rng(0)
    params = jax.tree.map(lambda a: a + 0.05 * draw.normal(size=a.shape), params)
    params = jax.tree.map(jnp.float32, params)
    apart = restack(scan.bijector, params["bijector"], chain.bijector)
    same, variables = {"params": {"bijector": apart}}, {"params": params}
    expected = jax.jit(scan.apply)(variables, x)
    found = jax.jit(chain.apply)(same, x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coupling": "cubic"}, "unknown coupling 'cubic'; known: affine, spline"),
        ({"coupling": "spline", "bins": 0}, "a spline needs 1 <= bins"),
        ({"coupling": "spline", "bound": -1.0}, "bound must be positive"),
        ({"coupling": "mixture", "components": 0}, "components must be at least 1"),
        (
            {"coupling": "spline", "max_log_scale": 1.0},
            "max_log_scale is 1.0, and splines have no log-scale",
        ),
    ],
)
@pytest.mark.parametrize("model", SMALL)
def test_what_does_not_fit_is_refused(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        model(SHAPE, **SMALL[model], **arguments)
