"""ResNet-34 against its definition in NumPy, and what detectors rely on."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.models import ResNet34
from flowjax_ood.models.cifar_resnet import ConvNorm
from flowjax_ood.precision import BFLOAT16
from tests.helpers.hand_layers import conv, float64, relu

TINY = ResNet34(classes=3, blocks=(1, 2), widths=(4, 6))


def images(count=3):
    return jax.random.uniform(jax.random.key(1), (count, 8, 8, 3))


@pytest.fixture(scope="module")
def variables():
    """Any numbers: statistics and scales that are not those of the start."""
    rng = np.random.default_rng(0)

    def numbers(path, leaf):
        positive = path[-1].key in ("var", "scale")
        low, high = (0.5, 1.5) if positive else (-0.4, 0.4)
        return jnp.asarray(rng.uniform(low, high, leaf.shape), leaf.dtype)

    shapes = jax.eval_shape(TINY.init, jax.random.key(0), images())
    return jax.tree_util.tree_map_with_path(numbers, shapes)


@partial(jax.jit, static_argnames="module")
def taps(variables, x, module=TINY):
    return module.apply(variables, x, method="taps")


def test_parameters():
    x = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    variables = jax.eval_shape(ResNet34().init, jax.random.key(0), x)
    count = {
        name: sum(leaf.size for leaf in jax.tree.leaves(tree))
        for name, tree in variables.items()
    }
    # two moments a channel: stem, 3, 4, 6 and 3 blocks of two, three projections
    channels = 64 + 6 * 64 + 9 * 128 + 13 * 256 + 7 * 512
    assert count == {"params": 21_282_122, "batch_stats": 2 * channels}
    found, logits = jax.eval_shape(lambda v, x: taps(v, x, ResNet34()), variables, x)
    assert {name: a.shape for name, a in found.items()} == {
        "stem": (2, 32, 32, 64),
        "layer1": (2, 32, 32, 64),
        "layer2": (2, 16, 16, 128),
        "layer3": (2, 8, 8, 256),
        "layer4": (2, 4, 4, 512),
        "pooled": (2, 512),
    }
    assert {*ResNet34().layers, "pooled"} == set(found)
    assert logits.shape == (2, 10)


@pytest.mark.thorough
def test_it_is_what_it_says(variables):
    x, v = images(), float64(variables)
    p, stats = v["params"], v["batch_stats"]

    def conv_norm(h, path, stride=1):
        here, moments = p, stats
        for name in path:
            here, moments = here[name], moments[name]
        h = conv(h, here["kernel"], stride, len(here["kernel"]) // 2)
        moments = moments["norm"]
        h = (h - moments["mean"]) / np.sqrt(moments["var"] + 1e-5)
        return h * here["norm"]["scale"] + here["norm"]["bias"]

    def block(h, name, stride=1):
        inner = relu(conv_norm(h, (name, "first"), stride))
        inner = conv_norm(inner, (name, "second"))
        if "skip" in p[name]:
            h = conv_norm(h, (name, "skip"), stride)
        return relu(h + inner)

    h = (float64(x) - TINY.mean) / TINY.std
    expected = {"stem": relu(conv_norm(h, ("stem",)))}
    expected["layer1"] = block(expected["stem"], "layer1_0")
    assert "skip" not in p["layer1_0"]
    h = block(expected["layer1"], "layer2_0", stride=2)
    expected["layer2"] = block(h, "layer2_1")
    expected["pooled"] = expected["layer2"].mean((1, 2))
    last = p["classifier"]
    scores = expected["pooled"] @ last["kernel"] + last["bias"]
    found, logits = taps(variables, x)
    assert set(found) == set(expected)
    for name, value in expected.items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(found[name] / scale, value / scale, atol=1e-5)
    np.testing.assert_allclose(logits, scores, rtol=1e-4)
    same = jax.jit(TINY.apply)(variables, x)
    np.testing.assert_allclose(logits, same, rtol=1e-6)


def test_facts_for_detectors(variables):
    found, logits = taps(variables, images())
    assert TINY.layers == ("stem", "layer1", "layer2")
    w, b = TINY.head(variables)
    np.testing.assert_allclose(found[TINY.penultimate] @ w + b, logits, rtol=1e-5)
    assert TINY.mean == (0.4914, 0.4822, 0.4465)
    assert TINY.std == (0.2023, 0.1994, 0.2010)


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (3, 2), (1, 2)])
def test_convolutions_start_as_torchs_do(size, stride):
    module = ConvNorm(32, size, stride)
    variables = jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, 4, 4, 16)))
    p, bound = variables["params"], 1 / np.sqrt(size * size * 16)
    assert 0.95 * bound < np.abs(p["kernel"]).max() <= bound
    assert (p["norm"]["scale"] == 1).all()
    assert not p["norm"]["bias"].any()


def test_batch_statistics_are_used_where_they_are_mutable(variables):
    _, still = taps(variables, images())
    train = jax.jit(partial(TINY.apply, mutable=["batch_stats"]))
    logits, updates = train(variables, images())
    assert np.abs(logits - still).max() > 1e-2
    moved = jax.tree.map(
        lambda a, b: bool((a != b).any()),
        updates["batch_stats"],
        variables["batch_stats"],
    )
    assert all(jax.tree.leaves(moved))


@pytest.mark.parametrize("name", [*TINY.layers, "pooled"])
def test_gradients_of_taps(variables, name):
    def size(x):
        return jnp.sqrt(jnp.sum(taps(variables, x)[0][name] ** 2))

    grad = jax.jit(jax.grad(size))(images())
    assert np.isfinite(grad).all()
    assert np.abs(grad).max() > 1e-3


def test_logits_are_float32_in_any_precision(variables):
    module = TINY.clone(precision=BFLOAT16)
    found, logits = taps(variables, images(), module)
    assert found["layer1"].dtype == jnp.bfloat16
    assert (found["pooled"].dtype, logits.dtype) == (jnp.float32, jnp.float32)
    _, exact = taps(variables, images())
    np.testing.assert_allclose(logits, exact, atol=0.03 * np.abs(exact).max())


def test_blocks_and_widths_must_fit():
    module = ResNet34(blocks=(1, 1, 1), widths=(4, 6))
    with pytest.raises(ValueError, match=r"\(1, 1, 1\) and \(4, 6\)"):
        module.init(jax.random.key(0), images())
