"""EfficientNet-Lite0 without its weights: sizes, and each part against XLA's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from PIL import Image

from flowjax_ood.models import EfficientNetLite0
from flowjax_ood.models.efficientnet import (
    ConvNorm,
    InvertedBottleneck,
    depthwise,
    encoder_images,
)


def shapes(classes=1000, size=224):
    module = EfficientNetLite0(classes)
    x = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    variables = jax.eval_shape(module.init, jax.random.key(0), x)
    return module, variables, x


@pytest.mark.thorough
def test_parameters_and_statistics():
    _, variables, _ = shapes()
    count = {
        name: sum(leaf.size for leaf in jax.tree.leaves(tree))
        for name, tree in variables.items()
    }
    # of the published checkpoint: 4,652,008 parameters, 42,016 running moments
    assert count == {"params": 4_652_008, "batch_stats": 42_016}


@pytest.mark.thorough
@pytest.mark.parametrize("size", [32, 97])
def test_features_and_logits(size):
    module, variables, x = shapes(classes=7, size=size)
    features, logits = (
        jax.eval_shape(lambda v, x, m=m: module.apply(v, x, method=m), variables, x)
        for m in ("features", "__call__")
    )
    assert (features.shape, features.dtype) == ((2, 1280), jnp.float32)
    assert logits.shape == (2, 7)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("taps", "stride", "size"),
    [(3, 1, (7, 2)), (3, 2, (7, 8)), (3, 2, (1, 4)), (5, 1, (9, 1)), (5, 2, (9, 8))],
)
def test_depthwise_is_a_grouped_convolution(taps, stride, size):
    x = jax.random.normal(jax.random.key(0), (2, *size, 6))
    kernel = jax.random.normal(jax.random.key(1), (taps, taps, 6))
    expected = lax.conv_general_dilated(
        x,
        kernel[:, :, None],
        (stride, stride),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=6,
        precision="highest",
    )
    np.testing.assert_allclose(depthwise(x, kernel, stride), expected, atol=1e-5)


@pytest.mark.thorough
def test_one_tap_is_a_convolution():
    module = ConvNorm(5, relu6=True)
    x = 3 * jax.random.normal(jax.random.key(0), (2, 4, 3, 6))
    variables = module.init(jax.random.key(1), x)
    stats = variables["batch_stats"]["norm"]
    moved = {"norm": {"mean": stats["mean"] + 0.3, "var": 2 * stats["var"]}}
    y = module.apply(variables | {"batch_stats": moved}, x)
    kernel = variables["params"]["kernel"]
    plain = lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    expected = jnp.clip((plain - 0.3) / jnp.sqrt(2 + 1e-3), 0, 6)
    assert 0 < np.mean(np.asarray(expected) == 0) < 1
    np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize(("width", "stride"), [(4, 1), (4, 2), (5, 1)])
def test_blocks_add_their_input_where_it_fits(width, stride):
    x = jax.random.normal(jax.random.key(0), (2, 6, 6, 4))
    block = InvertedBottleneck(width, 3, stride, expansion=2)
    variables = block.init(jax.random.key(1), x)
    params = variables["params"]
    # nothing comes out of the projection: what is left is the way around it
    project = jax.tree.map(jnp.zeros_like, params["project"])
    y = block.apply(variables | {"params": params | {"project": project}}, x)
    kept = (width, stride) == (4, 1)
    np.testing.assert_array_equal(y, x if kept else jnp.zeros_like(y))


@pytest.mark.thorough
def test_training_mode_moves_the_statistics():
    module = ConvNorm(3)
    x = 1 + jax.random.normal(jax.random.key(0), (4, 5, 5, 2))
    variables = module.init(jax.random.key(1), x)
    _, moved = module.apply(variables, x, mutable=["batch_stats"])
    plain = jnp.matmul(x, variables["params"]["kernel"][0, 0])
    # momentum 0.99 of the running mean, which starts at 0
    np.testing.assert_allclose(
        moved["batch_stats"]["norm"]["mean"], 0.01 * plain.mean((0, 1, 2)), atol=1e-6
    )


# --- its images: size, colour, and the normalisation of its training ----------------

IMAGES = np.random.RandomState(0).randint(0, 256, (3, 20, 28, 3)).astype(np.uint8)


def test_images_are_normalised_as_in_its_training():
    x = encoder_images(jnp.asarray(IMAGES[:, :, :20]), 20)
    assert x.dtype == np.float32
    # the resize of one size to itself changes nothing
    np.testing.assert_allclose(
        x, (IMAGES[:, :, :20].astype(np.float32) - 127) / 128, atol=1e-5
    )


@pytest.mark.parametrize("size", [7, 16, 40])
def test_resizing_is_that_of_pil(size):
    x = np.asarray(encoder_images(jnp.asarray(IMAGES), size))
    assert x.shape == (3, size, size, 3)
    for mine, image in zip(128 * x + 127, IMAGES):
        picture = Image.fromarray(image)
        theirs = picture.resize((size, size), Image.Resampling.BILINEAR)
        # PIL rounds to whole numbers after each axis
        assert np.abs(mine - np.asarray(theirs, np.float32)).max() < 1.6


def test_grey_is_repeated():
    grey = jnp.asarray(IMAGES[..., :1])
    x = encoder_images(grey, 32)
    assert x.shape == (3, 32, 32, 3)
    rgb = encoder_images(jnp.repeat(grey, 3, axis=-1), 32)
    np.testing.assert_allclose(x, rgb, atol=1e-6)


@pytest.mark.parametrize(
    ("images", "size", "match"),
    [
        (IMAGES.astype(np.float32), 8, "uint8 .* not float32"),
        (IMAGES[0], 8, r"shape \(20, 28, 3\)"),
        (IMAGES[..., :2], 8, "1 or 3 channels"),
        (IMAGES, 0, "image_size must be at least 1, not 0"),
    ],
)
def test_other_images_are_refused(images, size, match):
    with pytest.raises(ValueError, match=match):
        encoder_images(images, size)
