"""What all image classifiers do first: pixels in, normalised pixels out."""

import jax
import jax.numpy as jnp


def normalise_pixels(
    x: jax.Array, mean: tuple[float, ...], std: tuple[float, ...]
) -> jax.Array:
    """`(x - mean) / std` per channel; `x` float `[B, H, W, C]` in [0, 1].

    Raises TypeError for pixels that are not floating-point, and ValueError for another
    shape, or for `mean` and `std` of another number of channels.
    """
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(
            f"a classifier takes floating-point pixels in [0, 1], got {x.dtype}; "
            "divide stored images by 255"
        )
    if x.ndim != 4:
        raise ValueError(f"images must be [B, H, W, C], got shape {x.shape}")
    if not len(mean) == len(std) == x.shape[-1]:
        raise ValueError(
            f"mean {mean} and std {std} must have one number for each of the "
            f"{x.shape[-1]} channels of images of shape {x.shape}"
        )
    if not all(s > 0 for s in std):
        raise ValueError(f"std must be positive, got {std}")
    return (x - jnp.asarray(mean, x.dtype)) / jnp.asarray(std, x.dtype)
