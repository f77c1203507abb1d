"""LeNet against its definition in NumPy, and what detectors rely on."""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.models import LeNet
from flowjax_ood.models.lenet import max_pool as strided_max_pool
from flowjax_ood.precision import BFLOAT16, Precision
from tests.helpers.hand_layers import conv, float64, max_pool, relu

PLAIN = LeNet()
WINOGRAD = Precision(convolution="winograd")


@pytest.fixture(scope="module")
def variables():
    return jax.jit(LeNet().init)(jax.random.key(0), images())


def images(count=3, size=(9, 8)):
    return jax.random.uniform(jax.random.key(1), (count, *size, 1))


@partial(jax.jit, static_argnames="module")
def taps(variables, x, module=PLAIN, dropout=None):
    rngs = None if dropout is None else {"dropout": dropout}
    return module.apply(variables, x, method="taps", rngs=rngs)


def test_parameters():
    x = jax.ShapeDtypeStruct((2, 28, 28, 1), jnp.float32)
    variables = jax.eval_shape(LeNet().init, jax.random.key(0), x)
    assert set(variables) == {"params"}
    assert sum(p.size for p in jax.tree.leaves(variables)) == 1_199_882
    found, logits = jax.eval_shape(lambda v, x: taps(v, x), variables, x)
    assert {name: a.shape for name, a in found.items()} == {
        "conv1": (2, 26, 26, 32),
        "conv2": (2, 24, 24, 64),
        "fc1": (2, 128),
        "fc2": (2, 10),
    }
    assert logits.shape == (2, 10)


@pytest.mark.thorough
def test_it_is_what_it_says(variables):
    x, p = images(), float64(variables["params"])
    h = (float64(x) - 0.2860) / 0.3530
    expected = {}
    for name in ("conv1", "conv2"):
        h = expected[name] = relu(conv(h, p[name]["kernel"]) + p[name]["bias"])
    h = max_pool(h).reshape(len(x), -1)
    expected["fc1"] = relu(h @ p["fc1"]["kernel"] + p["fc1"]["bias"])
    expected["fc2"] = expected["fc1"] @ p["fc2"]["kernel"] + p["fc2"]["bias"]
    for module in (LeNet(), LeNet(precision=WINOGRAD)):
        found, logits = taps(variables, x, module)
        assert set(found) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(logits, found["fc2"])
        same = jax.jit(module.apply)(variables, x)
        np.testing.assert_allclose(logits, same, rtol=1e-6, atol=1e-7)


def test_facts_for_detectors(variables):
    module = LeNet()
    found, logits = taps(variables, images())
    assert set(module.layers) == set(found)
    w, b = module.head(variables)
    features = found[module.penultimate]
    assert (w.shape, b.shape, features.ndim) == ((128, 10), (10,), 2)
    np.testing.assert_allclose(features @ w + b, logits, rtol=1e-5, atol=1e-6)
    assert (module.mean, module.std) == ((0.2860,), (0.3530,))


def test_initial_values_are_torchs(variables):
    for layer, fan_in in (("conv1", 9), ("conv2", 288), ("fc1", 256), ("fc2", 128)):
        bound = 1 / math.sqrt(fan_in)
        values = variables["params"][layer]
        assert np.abs(values["bias"]).max() <= bound
        assert 0.95 * bound < np.abs(values["kernel"]).max() <= bound
        kernel = np.asarray(values["kernel"], np.float64)
        np.testing.assert_allclose(kernel.std(), bound / math.sqrt(3), rtol=0.1)


def test_dropout_acts_with_a_stream_alone(variables):
    x = images()

    def run(*seed):
        return taps(variables, x, dropout=jax.random.key(*seed))

    (found, logits), (other, other_logits) = run(1), run(2)
    assert (logits != other_logits).any()
    np.testing.assert_array_equal(logits, run(1)[1])
    # what comes before it is not dropped
    plain, plain_logits = taps(variables, x)
    for name in ("conv1", "conv2"):
        np.testing.assert_array_equal(found[name], plain[name])
        np.testing.assert_array_equal(found[name], other[name])
    # and without a rate there is none
    never = LeNet(dropout=(0.0, 0.0))
    _, never = taps(variables, x, never, dropout=jax.random.key(1))
    np.testing.assert_array_equal(never, plain_logits)


def test_what_dropout_drops(variables):
    @jax.jit
    def run(x):
        return LeNet().apply(
            variables,
            x,
            method="taps",
            rngs={"dropout": jax.random.key(3)},
            capture_intermediates=lambda layer, _: isinstance(layer, nn.Dropout),
            mutable=["intermediates"],
        )

    (found, _), state = run(images(40))
    dropped = {k: v["__call__"][0] for k, v in state["intermediates"].items()}
    # whole channels, a quarter of them; single units, a half
    for name, before, rate in (
        ("drop_channels", strided_max_pool(found["conv2"]), 0.25),
        ("drop_units", found["fc1"], 0.5),
    ):
        after = np.asarray(dropped[name])
        places = tuple(range(1, after.ndim - 1))
        kept = after.any(places, keepdims=True)
        expected = np.where(kept, np.asarray(before) / (1 - rate), 0)
        np.testing.assert_allclose(after, expected, rtol=1e-6)
        alive = np.asarray(before).any(places, keepdims=True)
        np.testing.assert_allclose((kept & alive).sum() / alive.sum(), 1 - rate, 0.1)


@pytest.mark.thorough
@pytest.mark.parametrize("name", LeNet.layers)
def test_gradients_of_taps(variables, name):
    """Of a distance, as detectors take it: that of differences in float64."""
    x = images(2)

    def distance(x, module, variables=variables):
        found, _ = taps(variables, x, module)
        return jnp.sum(jnp.sqrt(jnp.sum(found[name].reshape(2, -1) ** 2, 1)))

    grad = jax.jit(jax.grad(distance), static_argnums=1)
    found = grad(x, LeNet())
    assert np.isfinite(found).all()
    assert np.abs(found).max() > 1e-3
    again = grad(x, LeNet(precision=WINOGRAD))
    np.testing.assert_allclose(found, again, rtol=1e-4, atol=1e-5)
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda a: jnp.asarray(np.float64(a)), variables)
        way = np.random.default_rng(0).normal(size=x.shape)
        # short: a longer step crosses kinks of the ReLUs
        ahead, behind = (
            distance(jnp.asarray(np.float64(x) + s * way), LeNet(), wide)
            for s in (1e-7, -1e-7)
        )
        slope = float(ahead - behind) / 2e-7
    np.testing.assert_allclose(np.sum(np.float64(found) * way), slope, rtol=1e-3)


def test_max_pool():
    x = jax.random.normal(jax.random.key(0), (2, 7, 4, 3))
    np.testing.assert_array_equal(strided_max_pool(x), max_pool(np.asarray(x)))
    grad = jax.grad(lambda x: strided_max_pool(x).sum())(x)
    # one of each window, and nothing of the last row, which is in none
    windows = np.asarray(grad)[:, :6].reshape(2, 3, 2, 2, 2, 3)
    np.testing.assert_array_equal(windows.sum((2, 4)), 1)
    assert not grad[:, 6].any()


def test_logits_are_float32_in_any_precision(variables):
    found, logits = taps(variables, images(), LeNet(precision=BFLOAT16))
    assert (found["conv2"].dtype, logits.dtype) == (jnp.bfloat16, jnp.float32)
    np.testing.assert_allclose(logits, taps(variables, images())[1], atol=0.02)


@pytest.mark.parametrize(
    ("x", "module", "error", "message"),
    [
        (np.zeros((1, 8, 8, 1), np.uint8), LeNet(), TypeError, "uint8"),
        (np.zeros((1, 8, 8, 3)), LeNet(), ValueError, "3 channels"),
        (np.zeros((1, 8, 8, 1)), LeNet(std=(0.0,)), ValueError, "std"),
        (np.zeros((8, 8, 1)), LeNet(), ValueError, r"\(8, 8, 1\)"),
        (np.zeros((1, 5, 8, 1)), LeNet(), ValueError, "6x6"),
    ],
)
def test_bad_images_are_refused(x, module, error, message):
    with pytest.raises(error, match=message):
        module.init(jax.random.key(0), x)
