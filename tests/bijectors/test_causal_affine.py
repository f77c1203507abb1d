"""Causal maps of tokens: who hears whom, and the inverse found in two ways."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.bijectors import CausalAffine, Chain, Repeat, Reverse, restack
from flowjax_ood.bijectors.causal_affine import Guidance
from flowjax_ood.networks import Bound, CausalTransformer
from flowjax_ood.precision import BFLOAT16
from tests.helpers.generic_variables import generic_variables
from tests.helpers.law_runs import run
from tests.helpers.law_table import causal

B, T, C = 2, 4, 3


def built(bijector, shape=(T, C), cond=None, batch=B):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(batch, *shape)), jnp.float32)
    return generic_variables(bijector, rng, x, cond), x


def sown(bijector, variables, x, cond=None):
    """s and t of a pass forward."""
    (z, logdet), state = bijector.apply(variables, x, cond, mutable=["intermediates"])
    return z, logdet, *(state["intermediates"][name][0] for name in ("s", "t"))


@pytest.mark.thorough
@pytest.mark.parametrize("first", ["identity", "learned"])
def test_a_token_hears_those_before_it_alone(first):
    bijector = CausalAffine(causal, first=first)
    variables, x = built(bijector, batch=8)

    @jax.jit
    @jax.vmap
    def jacobians(x):
        def numbers(x):
            z, _, s, t = sown(bijector, variables, x[None])
            return z[0], s[0], t[0]

        return jax.jacfwd(numbers)(x)

    by_z, by_s, by_t = map(np.asarray, jacobians(x))
    own = np.eye(C, dtype=bool)
    for i in range(T):
        for j in range(T):
            pair, numbers = by_z[:, i, :, j], (by_s[:, i, :, j], by_t[:, i, :, j])
            if j >= i:
                # zeros, not small numbers
                assert all((n == 0).all() for n in numbers)
                assert (pair[:, ~own] == 0).all()
                assert (pair[:, own] != 0).all() == (i == j)
            else:
                assert all((np.abs(n).max((0, 2)) > 0).all() for n in (pair, *numbers))
    z, _, s, t = sown(bijector, variables, x)
    kept = np.asarray(z == x).all((0, 2))
    assert kept.tolist() == [first == "identity", *[False] * (T - 1)]
    # numbers of the first token, learned or none, are the same for all
    assert (np.ptp(s[:, 0], axis=0) == 0).all()
    assert (np.ptp(t[:, 0], axis=0) == 0).all()


@pytest.mark.thorough
@pytest.mark.parametrize("scale", ["exp", "softplus"])
def test_the_map_is_what_is_published(scale):
    bijector = CausalAffine(causal, scale, soft_clip=1.5)
    variables, x = built(bijector)
    z, logdet = bijector.apply(variables, x)
    net = {"params": variables["params"]["net"]}
    raw = np.asarray(causal().apply(net, x, 2 * C), np.float64)
    # after TarFlow and STARFlow: sigma and b of a token by the row before it
    a, b = np.split(1.5 * np.tanh(raw[:, :-1] / 1.5), 2, axis=-1)
    sigma = np.exp(a) if scale == "exp" else np.log1p(np.exp(a) * (np.e - 1))
    expected = np.concatenate([x[:, :1], (x[:, 1:] - b) / sigma], axis=1)
    np.testing.assert_allclose(z, expected, atol=1e-5)
    np.testing.assert_allclose(logdet, -np.log(sigma).sum((1, 2)), atol=1e-5)


@pytest.mark.parametrize(("wide", "tolerance"), [(False, 1e-5), (True, 1e-12)])
def test_both_solvers_undo_the_map(wide, tolerance):
    cached = CausalAffine(causal, soft_clip=1.0, first="learned", tol=0.0)
    jacobi = cached.clone(solver="jacobi")
    variables, x = built(cached)

    @jax.jit
    def both(variables, x):
        z, logdet = cached.apply(variables, x)
        trips = [
            one.apply(variables, z, method="inverse", mutable=["intermediates"])
            for one in (cached, jacobi)
        ]
        return logdet, trips

    with jax.enable_x64(wide):
        dtype = jnp.float64 if wide else jnp.float32
        variables, x = jax.tree.map(lambda a: a.astype(dtype), (variables, x))
        logdet, trips = both(variables, x)
        for (again, back), _ in trips:
            np.testing.assert_allclose(again, x, atol=tolerance)
            np.testing.assert_allclose(back, -logdet, atol=10 * tolerance)
    (_, by_tokens), (_, by_rounds) = trips
    assert 1 < int(by_rounds["intermediates"]["rounds"][0]) <= T
    for name in ("s", "t"):
        found = (each["intermediates"][name][0] for each in (by_tokens, by_rounds))
        np.testing.assert_allclose(*found, atol=1e-5)


def test_one_token_stays_as_it_is():
    for solver in ("cache", "jacobi"):
        bijector = CausalAffine(causal, solver=solver)
        variables, x = built(bijector, (1, C))
        for method in ("forward", "inverse"):
            z, logdet = run(partial(bijector.apply, method=method), variables, x)
            np.testing.assert_array_equal(z, x)
            np.testing.assert_array_equal(logdet, 0)


def test_it_starts_as_the_identity():
    _, x = built(CausalAffine(causal))
    for scale, tolerance in (("exp", 0.0), ("softplus", 1e-6)):
        bijector = CausalAffine(causal, scale)
        (z, logdet), _ = bijector.init_with_output(jax.random.key(0), x)
        np.testing.assert_allclose(z, x, atol=tolerance)
        np.testing.assert_allclose(logdet, 0, atol=10 * tolerance)


def test_after_a_reversal_every_pair_of_tokens_is_dependent():
    bijector = Chain([CausalAffine(causal), Reverse(), CausalAffine(causal)])
    variables, x = built(bijector, batch=8)

    @jax.vmap
    def jacobian(x):
        return jax.jacfwd(lambda x: bijector.apply(variables, x[None])[0][0])(x)

    by_pair = np.abs(jax.jit(jacobian)(x)).max((0, 2, 4))
    assert by_pair.shape == (T, T)
    assert (by_pair > 0).all()


def test_the_soft_clip_bounds_the_logdet():
    bijector = CausalAffine(causal, soft_clip=0.5)
    variables, x = built(bijector)
    variables = jax.tree.map(lambda a: 100 * a, variables)
    _, logdet, s, t = sown(bijector, variables, x)
    assert jnp.abs(s).max() <= 0.5 >= jnp.abs(t).max()
    assert jnp.abs(s).max() > 0.25
    assert jnp.abs(logdet).max() <= 0.5 * T * C


def test_softplus_of_scales_is_finite_without_a_clip():
    bijector = CausalAffine(causal, "softplus", None)
    variables, x = built(bijector)
    variables = jax.tree.map(lambda a: 100 * a, variables)

    def logdet(x):
        return bijector.apply(variables, x)[1].sum()

    found, gradient = run(jax.value_and_grad(logdet), x)
    assert abs(found) > 100
    assert np.isfinite(gradient).all()


@pytest.mark.thorough
def test_all_stacks_are_one_map():
    def block():
        return Chain([CausalAffine(causal, soft_clip=0.5), Reverse()])

    chain = Chain([block() for _ in range(3)])
    variables, x = built(chain)
    z, logdet = chain.apply(variables, x)
    for mode in ("scan", "unroll"):
        repeated = Repeat(block(), 3, mode)
        params = restack(chain, variables["params"], repeated)
        same, alike = repeated.apply({"params": params}, x)
        np.testing.assert_allclose(same, z, atol=1e-5)
        np.testing.assert_allclose(alike, logdet, atol=1e-5)
        again, _ = repeated.apply({"params": params}, z, method="inverse")
        np.testing.assert_allclose(again, x, atol=2e-5)


@pytest.mark.thorough
def test_bfloat16_products_keep_the_logdet():
    exact = CausalAffine(Bound(CausalTransformer, width=16))
    variables, x = built(exact, (49, 16))
    # errors of s, at 7 bits, add up over the 784 values: it varies by 0.03 here
    variables["params"]["net"]["out"]["kernel"] *= 0.03
    rounded = exact.clone(net=Bound(CausalTransformer, width=16, precision=BFLOAT16))
    _, logdet = run(exact.apply, variables, x)
    z, near, s, _ = run(partial(sown, rounded), variables, x)
    assert near.dtype == z.dtype == s.dtype == np.float32
    assert 0 < np.abs(near - logdet).max() < 0.1
    # and the sum itself is not of bfloat16
    np.testing.assert_allclose(near, np.asarray(s, float).sum((1, 2)), rtol=1e-5)


def test_a_row_of_zeros_is_no_condition():
    bijector = CausalAffine(causal, first="learned")
    cond = jnp.eye(2)
    variables, x = built(bijector, cond=cond)
    z, _ = bijector.apply(variables, x, jnp.zeros((B, 2)))
    free = dict(variables["params"]["net"])
    del free["cond_kernel"]
    plain, _ = bijector.apply({"params": {"net": free}}, x)
    np.testing.assert_array_equal(z, plain)
    moved, _ = bijector.apply(variables, x, cond)
    assert (jnp.abs(moved - z).max(-1) > 1e-4).all()
    with pytest.raises(ValueError, match="initialised with cond, got None"):
        bijector.apply(variables, x)


@pytest.mark.thorough
@pytest.mark.parametrize("solver", ["cache", "jacobi"])
@pytest.mark.parametrize(
    "guidance", [Guidance(2.0), Guidance(1.5, "a", True), Guidance(0.7, "b")]
)
def test_guidance_pushes_scale_and_shift(guidance, solver):
    plain = CausalAffine(causal)
    cond = jnp.asarray(np.random.default_rng(1).normal(size=(B, 2)), jnp.float32)
    variables, z = built(plain, cond=cond)
    guided = plain.clone(guidance=guidance, solver=solver)
    x, logdet = guided.apply(variables, z, cond, method="inverse")
    # the numbers for x itself, given the condition and none
    given, none = (sown(plain, variables, x, c)[2:] for c in (cond, 0 * cond))
    weight = np.full((T, 1), guidance.weight)
    if guidance.annealed:
        weight = weight * np.arange(T)[:, None] / (T - 1)
    s, t = (
        np.asarray(n + weight * (n - n_0) if name in guidance.what else n)
        for name, n, n_0 in zip("ab", given, none, strict=True)
    )
    np.testing.assert_allclose((x + t) * np.exp(s), z, atol=1e-4)
    np.testing.assert_allclose(logdet, -s.sum((1, 2)), atol=1e-4)
    assert (np.abs(s - given[0]).max() > 1e-4) == ("a" in guidance.what)
    with pytest.raises(ValueError, match="a guided map has no density"):
        guided.apply(variables, z, cond)


@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        ({"scale": "tanh"}, (2, 4, 3), "unknown scale 'tanh'; known: exp, softplus"),
        ({"first": "none"}, (2, 4, 3), "unknown first 'none'"),
        ({"solver": "newton"}, (2, 4, 3), "unknown solver 'newton'"),
        ({"soft_clip": 0.0}, (2, 4, 3), "soft_clip must be positive, or None"),
        ({"tol": -1.0}, (2, 4, 3), "tol must be at least 0"),
        ({}, (2, 4, 4, 1), r"takes tokens \[B, T, C\], got event shape \(4, 4, 1\)"),
        (
            {"net": Bound(CausalTransformer, 6, 1, 4)},
            (2, 4, 3),
            "heads=4 do not divide",
        ),
    ],
)
def test_bad_arguments(arguments, shape, message):
    with pytest.raises(ValueError, match=message):
        CausalAffine(**{"net": causal} | arguments).init(
            jax.random.key(0), jnp.zeros(shape)
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": -0.1}, "weight of guidance must be at least 0, got -0.1"),
        ({"weight": float("nan")}, "weight must be finite"),
        ({"weight": 1.0, "what": "c"}, "guidance is of 'ab', 'a', 'b', got 'c'"),
    ],
)
def test_bad_guidance(arguments, message):
    with pytest.raises(ValueError, match=message):
        Guidance(**arguments)
