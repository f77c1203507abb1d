"""ViT: its formula, what it does to tokens and conditions, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.networks import Transformer, ViT
from flowjax_ood.precision import BFLOAT16, Precision
from tests.helpers.generic_variables import generic_variables

B, T, C, K, WIDTH, FEATURES = 2, 5, 3, 2, 4, 6


@pytest.fixture(scope="module")
def built():
    """`(network, variables, tokens, cond)`, nothing of which is zero."""
    network, rng = ViT(WIDTH, heads=2), np.random.default_rng(0)
    x, cond = (
        jnp.asarray(rng.normal(size=shape), jnp.float32)
        for shape in ((B, T, C), (B, K))
    )
    return network, generic_variables(network, rng, x, FEATURES, cond), x, cond


@pytest.mark.thorough
def test_it_is_a_transformer_between_two_linear_layers(built):
    network, variables, x, cond = built
    params = jax.tree.map(lambda a: np.asarray(a, float), variables["params"])

    def linear(name, h):
        return h @ params[name]["kernel"] + params[name]["bias"]

    h = linear("in_dense", x) + linear("cond", cond)[:, None]
    blocks = Transformer(1, positions=0.5)
    h = blocks.apply({"params": variables["params"]["blocks"]}, h.astype("float32"))
    h = np.asarray(h, float)
    h = (h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + 1e-5)
    h = h * params["norm"]["scale"] + params["norm"]["bias"]
    found = network.apply(variables, x, FEATURES, cond)
    np.testing.assert_allclose(found, linear("out_dense", h), rtol=1e-4, atol=1e-5)


def test_permuting_tokens_and_their_codes_permutes_the_outputs(built):
    network, variables, x, cond = built
    order = np.array([3, 0, 4, 1, 2])
    moved = jax.tree.map(lambda a: a, variables)
    codes = moved["params"]["blocks"]["positions"]
    moved["params"]["blocks"]["positions"] = codes[order]
    expected = network.apply(variables, x, FEATURES, cond)[:, order]
    found = network.apply(moved, x[:, order], FEATURES, cond)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    # and the codes matter
    other = network.apply(variables, x[:, order], FEATURES, cond)
    assert np.abs(other - expected).max() > 1e-2


def test_a_condition_reaches_every_token_by_itself(built):
    network, variables, x, cond = built
    mute = jax.tree.map(lambda a: a, variables)
    # tokens that do not look at each other
    layer = mute["params"]["blocks"]["layer_0"]
    layer["attended"] = jax.tree.map(jnp.zeros_like, layer["attended"])
    moved = network.apply(mute, x, FEATURES, cond.at[0].add(1.0))
    change = np.abs(moved - network.apply(mute, x, FEATURES, cond)).max(-1)
    assert (change[0] > 1e-3).all()
    assert (change[1] == 0).all()
    with pytest.raises(ValueError, match="this ViT was initialised with cond"):
        network.apply(variables, x, FEATURES)


@pytest.mark.thorough
def test_it_starts_at_zero_with_codes_of_the_width(built):
    *_, x, _ = built
    network = ViT(64, heads=2)
    variables = network.init(jax.random.key(0), jnp.tile(x, (1, 10, 1)), FEATURES)
    assert not network.apply(variables, jnp.tile(x, (1, 10, 1)), FEATURES).any()
    codes = variables["params"]["blocks"]["positions"]
    assert codes.shape == (50, 64)
    np.testing.assert_allclose(np.std(codes), 1 / 8, rtol=0.05)


@pytest.mark.thorough
def test_bfloat16_is_of_its_matrix_products_alone(built):
    _, variables, x, cond = built
    full = ViT(WIDTH).apply(variables, x, FEATURES, cond)
    low = ViT(WIDTH, precision=BFLOAT16).apply(variables, x, FEATURES, cond)
    assert 0 < np.abs(low - full).max() < 0.05 * np.abs(full).max()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 6, "heads": 4}, "heads=4 do not divide width=6"),
        ({"depth": 0}, "depth must be at least 1, got 0"),
        ({"expansion": 1.5}, "expansion must be a whole number, got 1.5"),
        ({"precision": Precision(jnp.float16)}, "ViT overflows in float16"),
        ({"precision": Precision("float16")}, "ViT overflows in float16"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ViT(**arguments)


def test_images_are_refused():
    with pytest.raises(ValueError, match=r"tokens \[B, T, C\], got shape .*Patches"):
        ViT().init(jax.random.key(0), jnp.zeros((1, 4, 4, 1)), 2)
