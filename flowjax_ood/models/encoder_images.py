"""Images as a pretrained encoder expects them."""

import jax
import jax.numpy as jnp

# What the weights were trained with, per TensorFlow's EfficientNet-Lite. Their port to
# torch suggests ImageNet's mean and deviation per channel instead; then the variances
# after the first convolution are 6 times those that its batch norm remembers (with
# these: 1.2 times, on 14 photographs), and the classifier is less sure.
MEAN, SCALE = 127.0, 128.0


def encoder_images(images: jax.Array, image_size: int = 224) -> jax.Array:
    """`(resize(images) - 127) / 128`, float32 `[B, S, S, 3]`, S = `image_size`.

    images: uint8 `[B, H, W, C]`, C 1 (repeated three times) or 3. Both sides become S,
    whatever they were: bilinear, with antialiasing where a side shrinks. Pure, so it
    runs on the device, inside `jit` (with `image_size` static).

    Raises ValueError for other images, or for an `image_size` below 1.
    """
    if images.dtype != jnp.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        raise ValueError(
            "images must be uint8 [B, H, W, C] with 1 or 3 channels, not "
            f"{images.dtype} of shape {images.shape}"
        )
    if image_size < 1:
        raise ValueError(f"image_size must be at least 1, not {image_size}")
    batch, _, _, channels = images.shape
    # grey is resized once, not three times
    x = jax.image.resize(
        images.astype(jnp.float32),
        (batch, image_size, image_size, channels),
        "bilinear",
        precision="highest",
    )
    x = (x - MEAN) / SCALE
    return jnp.broadcast_to(x, (*x.shape[:3], 3))
