"""Dequantisation: exact, strictly below 1, and independent of the batch."""

import subprocess
import sys
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.data.dequantize import dequantize, example_keys, quantize

KEY = jax.random.key(0)
ALL_VALUES = np.arange(256, dtype=np.uint8).reshape(4, 8, 8, 1)


def keys(count):
    return example_keys(KEY, np.arange(count, dtype=np.int32))


@jax.jit
def noisy(images, index):
    return dequantize(images, example_keys(KEY, index))


@pytest.mark.parametrize("bits", [0, 1, 2**15, 2**16 - 2, 2**16 - 1])
def test_exact_for_every_value_at_both_ends(monkeypatch, bits):
    def fixed(key, shape, dtype):
        return jnp.full(shape, bits, dtype)

    monkeypatch.setattr(jax.random, "bits", fixed)
    x = dequantize(ALL_VALUES, keys(4))
    expected = (ALL_VALUES.astype(np.float64) + bits / 2**16) / 256
    np.testing.assert_array_equal(np.asarray(x, np.float64), expected)
    np.testing.assert_array_equal(quantize(x), ALL_VALUES)


def images_of(bins):
    """Every value, or 256 of them from the lowest to the highest: `[4, 8, 8, 1]`."""
    values = np.round(np.linspace(0, bins - 1, 256))
    return values.astype(np.uint8 if bins <= 256 else np.uint16).reshape(4, 8, 8, 1)


@pytest.mark.parametrize("bins", [2, 32, 128, 256, 512, 4096, 2**16])
def test_any_depth_fills_its_bins_exactly(monkeypatch, bins):
    """`u` has 24 - log2(bins) bits: the ends of every bin, and its middle."""
    images, depth = images_of(bins), int(np.log2(bins))
    for share in (0, 0.5, 1):

        def fixed(key, shape, dtype, share=share):
            return jnp.full(shape, int(share * np.iinfo(dtype).max), dtype)

        monkeypatch.setattr(jax.random, "bits", fixed)
        x = dequantize(images, keys(4), bins)
        steps = 2 ** (24 - depth)
        u = np.floor(share * steps - (share > 0) * 2.0**-9) / steps
        expected = (images.astype(np.float64) + u) / bins
        np.testing.assert_array_equal(np.asarray(x, np.float64), expected)
        back = quantize(x, bins)
        assert back.dtype == images.dtype
        np.testing.assert_array_equal(back, images)
    assert x.max() == 1 - 2.0**-24


@pytest.mark.parametrize("bins", [32, 2**12])
def test_noise_of_other_depths_is_uniform(bins):
    shape = (16, 64, 64, 3)
    images = np.full(shape, bins - 1, np.uint8 if bins <= 256 else np.uint16)
    u = np.asarray(dequantize(images, keys(16), bins), np.float64).ravel()
    u = u * bins - (bins - 1)
    assert abs(u.mean() - 0.5) < 4 / np.sqrt(12 * u.size)
    assert abs(u.var() - 1 / 12) < 4 / np.sqrt(180 * u.size)
    # down to the last of its bits
    last = (u * 2 ** (24 - np.log2(bins))) % 2
    assert abs(last.mean() - 0.5) < 4 / np.sqrt(4 * u.size)


def test_eight_bits_are_what_they_were():
    x = np.asarray(noisy(ALL_VALUES, np.arange(4)))
    assert zlib.crc32(x.tobytes()) == PINNED


PINNED = 826070876


@pytest.mark.parametrize("bins", [0, 1, 3, 255, 2**17, 32.5, True, None])
def test_refuses_other_bins(bins):
    with pytest.raises(ValueError, match="power of two from 2 to 65536, not"):
        dequantize(ALL_VALUES, keys(4), bins)
    with pytest.raises(ValueError, match="power of two"):
        quantize(jnp.zeros(3), bins)


def test_refuses_values_beyond_the_bins():
    with pytest.raises(
        ValueError, match=r"hold the value 255, and bins=32 are 0\.\.31"
    ):
        dequantize(ALL_VALUES, keys(4), 32)
    deep = images_of(2**16)
    with pytest.raises(ValueError, match="hold the value 65535, and bins=4096"):
        dequantize(deep, keys(4), 4096)
    with pytest.raises(TypeError, match=r"uint8 images, not uint16.*bins=2\*\*16"):
        dequantize(deep, keys(4))


def test_four_million_whites_stay_below_one():
    whites = np.full((4, 1024, 1024, 1), 255, np.uint8)
    x = jax.jit(dequantize)(whites, keys(4))
    assert x.dtype == jnp.float32
    assert float(x.max()) == 1 - 2.0**-24  # the largest float32 below 1 does occur
    assert float(x.min()) == 255 / 256
    assert (quantize(x) == 255).all()


def test_noise_is_uniform():
    images = np.zeros((16, 64, 64, 3), np.uint8)
    u = np.asarray(noisy(images, np.arange(16)) * 256).ravel()
    count = u.size
    assert abs(u.mean() - 0.5) < 4 / np.sqrt(12 * count)
    assert abs(u.var() - 1 / 12) < 4 / np.sqrt(180 * count)
    cells = np.histogram(u, 16, (0, 1))[0]
    assert ((cells - count / 16) ** 2 / (count / 16)).sum() < 37.7  # 0.1%, 15 d.o.f.


def test_noise_differs_over_pixels_channels_and_examples():
    x = np.asarray(noisy(np.zeros((3, 8, 8, 3), np.uint8), np.arange(3)))
    assert np.unique(x).size > 0.99 * x.size


def test_noise_does_not_depend_on_the_batching():
    whole = noisy(ALL_VALUES, np.arange(4))
    for rows in ([0], [3, 1], [2, 0, 1, 3]):
        index = np.array(rows)
        part = noisy(ALL_VALUES[index], index)
        np.testing.assert_array_equal(part, whole[index])


def test_jit_changes_nothing():
    np.testing.assert_array_equal(
        noisy(ALL_VALUES, np.arange(4)), dequantize(ALL_VALUES, keys(4))
    )


def test_strict_promotion():
    with jax.numpy_dtype_promotion("strict"):
        back = jax.jit(lambda x, k: quantize(dequantize(x, k)))(ALL_VALUES, keys(4))
    np.testing.assert_array_equal(back, ALL_VALUES)


def test_example_keys_are_fold_in():
    index = np.array([5, 0, 7], np.int32)
    got = jax.random.key_data(example_keys(KEY, index))
    for row, i in enumerate(index):
        expected = jax.random.key_data(jax.random.fold_in(KEY, i))
        np.testing.assert_array_equal(got[row], expected)


def test_quantize_clips_and_keeps_the_shape():
    x = jnp.array([[-0.5, -1e-9, 0.0], [0.5, 1.0, 7.0]])
    np.testing.assert_array_equal(quantize(x), [[0, 0, 0], [128, 255, 255]])
    assert quantize(x).dtype == jnp.uint8
    with pytest.raises(TypeError, match="uint8"):
        quantize(ALL_VALUES)


@pytest.mark.parametrize("images", [ALL_VALUES / 255.0, ALL_VALUES.astype(np.int32)])
def test_refuses_other_types(images):
    with pytest.raises(TypeError, match=f"uint8 images, not {images.dtype}"):
        dequantize(images, keys(4))


def test_refuses_other_shapes():
    with pytest.raises(ValueError, match=r"\[B, H, W, C\], not of shape \(8, 8, 1\)"):
        dequantize(ALL_VALUES[0], keys(8))
    with pytest.raises(ValueError, match=r"\(3,\).*one key per example, shape \(4,\)"):
        dequantize(ALL_VALUES, keys(3))
    with pytest.raises(ValueError, match=r"one key per example"):
        dequantize(ALL_VALUES, KEY)
    with pytest.raises(ValueError, match="one key and integer indices"):
        example_keys(keys(2), np.arange(2))
    with pytest.raises(ValueError, match="one key and integer indices"):
        example_keys(KEY, np.ones(2))


def test_refuses_keys_that_break_the_law():
    with pytest.raises(TypeError, match="typed PRNG keys"):
        example_keys(jax.random.PRNGKey(0), np.arange(4))
    with pytest.raises(TypeError, match="typed PRNG keys"):
        dequantize(ALL_VALUES, np.zeros((4, 2), np.uint32))
    with pytest.raises(ValueError, match=r'rbg.*impl="threefry2x32"'):
        example_keys(jax.random.key(0, impl="rbg"), np.arange(4))


SHARDED = """
import jax, numpy as np
jax.config.update("jax_num_cpu_devices", 2)
from jax.sharding import NamedSharding, PartitionSpec
from flowjax_ood.data.dequantize import dequantize, example_keys

def noisy(images, index):
    return dequantize(images, example_keys(jax.random.key(0), index))

images = np.arange(4 * 48, dtype=np.uint8).reshape(4, 4, 4, 3)
index = np.arange(4, dtype=np.int32)
mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
rows = NamedSharding(mesh, PartitionSpec("data"))
inputs = jax.device_put((images, index), rows)
sharded = jax.jit(noisy, in_shardings=(rows, rows), out_shardings=rows)
out = sharded(*inputs)
assert len(out.sharding.device_set) == 2
assert "all-" not in sharded.lower(*inputs).compile().as_text(), "communicates"
np.testing.assert_array_equal(out, noisy(images, index))
"""


@pytest.mark.thorough
def test_noise_does_not_depend_on_the_sharding():
    done = subprocess.run(
        [sys.executable, "-c", SHARDED], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
