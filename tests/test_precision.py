"""Precision policies, read off the traced programs and measured on their results."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from flowjax_ood.bijectors import AffineCoupling
from flowjax_ood.models import Glow, RealNVP, TabularRealNVP
from flowjax_ood.networks import ResNet
from flowjax_ood.precision import BFLOAT16, FLOAT32, PRECISIONS, Precision, as_precision

PRODUCTS = ("conv_general_dilated", "dot_general")
FAST = {"xla_backend_optimization_level": 0}

stack = partial(RealNVP, scales=1, couplings=2, width=4, blocks=2, latent_dim=3)
real_nvp = partial(stack, (4, 4, 1))
glow = partial(Glow, (4, 4, 1), scales=2, steps=1, width=4, layers=1)
FLOWS = {
    "resnet": real_nvp,
    "resnet without norm": partial(real_nvp, norm="none"),
    "resnet_ae": partial(real_nvp, st_net="resnet_ae"),
    "autoencoder": partial(stack, (14, 14, 1), st_net="autoencoder"),
    "scanned": partial(real_nvp, norm="none", stack="scan"),
    "highway": glow,
    "glow_convnet": partial(glow, st_net="glow_convnet", conv1x1="plu"),
    "mlp": partial(TabularRealNVP, 6, couplings=2, width=8),
}


def events(flow, num: int = 2):
    return jax.random.uniform(jax.random.key(0), (num, *flow.event_shape))


def loss(flow, x, variables):
    parts, _ = flow.apply(
        variables, x, method="log_prob_parts", mutable=["batch_stats"]
    )
    return -parts.log_prob.mean()


def equations(jaxpr):
    """All equations of a program, those of its loops and calls included."""
    for eqn in jaxpr.eqns:
        yield eqn
        for inner in jax.tree.leaves(
            tuple(eqn.params.values()),
            is_leaf=lambda p: isinstance(p, jax.extend.core.ClosedJaxpr),
        ):
            if isinstance(inner, jax.extend.core.ClosedJaxpr):
                yield from equations(inner.jaxpr)
            elif isinstance(inner, jax.extend.core.Jaxpr):
                yield from equations(inner)


def program(flow, gradient: bool):
    """Equations of a training loss of `flow`, or of its gradient, which holds them."""
    x = events(flow)
    variables = jax.eval_shape(flow.init, jax.random.key(0), x)
    of = partial(loss, flow, x)
    traced = jax.make_jaxpr(jax.grad(of) if gradient else of)(variables)
    return list(equations(traced.jaxpr))


def products(eqns):
    """`(is of the st-network, dtype of its operands, precision)` of each product."""
    found = []
    for eqn in eqns:
        if eqn.primitive.name in PRODUCTS:
            dtypes = {v.aval.dtype.name for v in eqn.invars}
            assert len(dtypes) == 1
            inside = "st_net" in str(eqn.source_info.name_stack)
            found.append((inside, dtypes.pop(), eqn.params["precision"]))
    return found


@pytest.mark.parametrize("name", FLOWS)
def test_every_product_is_exact_by_default(name):
    exact = (lax.Precision.HIGHEST, lax.Precision.HIGHEST)
    found = products(program(FLOWS[name](), gradient=True))
    assert found
    assert {(dtype, precision) for _, dtype, precision in found} == {("float32", exact)}


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("policy", ["tensorfloat32", "bfloat16"])
def test_st_networks_multiply_as_the_policy_says_and_nothing_else(name, policy):
    eqns = program(FLOWS[name](precision=policy), gradient=True)
    chosen = PRECISIONS[policy]
    dtype = "bfloat16" if chosen.compute else "float32"
    inside = {found[1:] for found in products(eqns) if found[0]}
    assert inside == {(dtype, (chosen.multiply, chosen.multiply))}
    outside = {found[1:] for found in products(eqns) if not found[0]}
    assert outside <= {("float32", (lax.Precision.HIGHEST, lax.Precision.HIGHEST))}
    assert bool(outside) == (name in ("highway", "glow_convnet"))


@pytest.mark.parametrize("name", FLOWS)
def test_what_a_flow_gives_and_keeps_is_float32(name):
    flow = FLOWS[name](precision="bfloat16")
    x = events(flow)

    def everything(key, x):
        variables = flow.init(key, x)
        call = partial(flow.apply, variables, mutable=["batch_stats"])
        z, stats = call(x, method="latents")
        back, _ = call(z, method="from_latents")
        return variables, z, stats, back, call(x, method="log_prob_parts")

    found = jax.tree.leaves(jax.eval_shape(everything, jax.random.key(0), x))
    assert {a.dtype.name for a in found} == {"float32"}
    dtypes = {
        v.aval.dtype.name
        for eqn in program(flow, gradient=True)
        for v in (*eqn.invars, *eqn.outvars)
        if hasattr(v.aval, "dtype")
    }
    assert "bfloat16" in dtypes
    assert "float64" not in dtypes


def trained_like(module, x):
    """Variables away from their start: networks that end in zeros say something."""
    variables = module.init(jax.random.key(1), x)
    leaves, structure = jax.tree.flatten(variables["params"])
    keys = jax.random.split(jax.random.key(2), len(leaves))
    moved = [a + 0.05 * jax.random.normal(k, a.shape) for a, k in zip(leaves, keys)]
    return variables | {"params": structure.unflatten(moved)}


SMALL = {
    "resnet": partial(
        RealNVP, (4, 4, 1), scales=1, couplings=2, width=8, blocks=1, norm="none"
    ),
    "highway": partial(Glow, (4, 4, 1), scales=1, steps=1, width=8, layers=1),
    "mlp": partial(TabularRealNVP, 16, couplings=2, width=8),
}


@pytest.mark.thorough
@pytest.mark.accelerator
@pytest.mark.parametrize("name", SMALL)
def test_bfloat16_is_near_float32_and_inverts(name):
    """Log-densities to 0.5 nats of 16 dimensions, and the inverse beyond bfloat16.

    An input that rounding of float32 tips over a boundary of bfloat16 is off by a step
    of the latter (2^-8); nearly all are not.
    """
    exact, rough = SMALL[name](), SMALL[name](precision="bfloat16")
    x = events(exact, 16)

    @partial(jax.jit, compiler_options=FAST)
    def both(x):
        variables = trained_like(exact, x)
        z = rough.apply(variables, x, method="latents")
        back = rough.apply(variables, z, method="from_latents")
        return exact.apply(variables, x), rough.apply(variables, x), back

    expected, log_prob, back = both(x)
    error = np.abs(log_prob - expected)
    assert error.max() > 1e-3, "nothing was rounded"
    assert error.max() < 0.5
    error = np.abs(back - x)
    assert np.quantile(error, 0.95) < 3e-6
    assert error.max() < 2**-8


@pytest.mark.thorough
@pytest.mark.accelerator
def test_a_coupling_in_bfloat16_inverts_as_exactly_as_in_float32():
    """The seen part is the same, bit for bit, so that s and t are."""
    net = partial(ResNet, width=8, blocks=1, norm="none", precision=BFLOAT16)
    coupling = AffineCoupling(net)
    x = jax.random.normal(jax.random.key(0), (8, 4, 4, 2))

    @partial(jax.jit, compiler_options=FAST)
    def there_and_back(x):
        variables = trained_like(coupling, x)
        call = partial(coupling.apply, variables, mutable=["intermediates"])
        (z, _), forth = call(x, method="forward")
        (back, _), again = call(z, method="inverse")
        return back, forth["intermediates"], again["intermediates"]

    back, forth, again = there_and_back(x)
    assert np.abs(forth["s"][0]).max() > 0.1
    for name in ("s", "t"):
        np.testing.assert_array_equal(again[name][0], forth[name][0])
    np.testing.assert_allclose(back, x, atol=1e-6)


def test_policies_have_names():
    for name, policy in PRECISIONS.items():
        assert as_precision(name) is policy
        assert as_precision(policy) is policy
        # JAX's own names mean the same
        assert lax.Precision(name) == policy.multiply
    assert PRECISIONS["float32"] == FLOAT32 == Precision()


@pytest.mark.parametrize(
    "name", ["float16", "", None, jnp.bfloat16, lax.Precision.HIGH]
)
def test_an_unknown_policy_is_named(name):
    with pytest.raises(
        ValueError, match="known: float32, tensorfloat32, bfloat16"
    ) as e:
        as_precision(name)
    assert repr(name) in str(e.value)


def test_a_policy_of_a_users_own():
    half = Precision(jnp.float16, lax.Precision.DEFAULT)
    assert half != BFLOAT16
    x = events(real_nvp())
    flow = real_nvp(precision=half)
    eqns = program(flow, gradient=False)
    assert {dtype for _, dtype, _ in products(eqns)} == {"float16"}
    assert jax.eval_shape(flow.init, jax.random.key(0), x)["params"]


def test_an_st_network_of_a_users_own_has_its_own_precision():
    class Small(nn.Module):
        @nn.compact
        def __call__(self, x, features, cond=None):
            return nn.Dense(features, dtype=jnp.float16)(x)

    flow = real_nvp(st_net=Small, precision="bfloat16")
    found = products(program(flow, gradient=False))
    assert {dtype for _, dtype, _ in found} == {"float16"}
