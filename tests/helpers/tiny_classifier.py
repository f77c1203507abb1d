"""The smallest classifier there is, for the tests of training."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from flowjax_ood.networks import BatchNorm

SHAPE = (4, 4, 1)
CLASSES = 3


class TinyClassifier(nn.Module):
    """A linear map of pixels or tokens, after batch norm and dropout if asked for."""

    norm: bool = False
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x):
        x = jnp.float32(x.reshape(len(x), -1))
        if self.norm:
            x = BatchNorm(name="norm")(x)
        if self.dropout:
            off = not self.has_rng("dropout")
            x = nn.Dropout(self.dropout)(x, deterministic=off)
        return nn.Dense(CLASSES)(x)


def images(count: int = 40) -> np.ndarray:
    """uint8 `[count, 4, 4, 1]`: noise."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, *SHAPE), np.uint8)


def labels(count: int = 40) -> np.ndarray:
    """int32 `[count]`: which third of the greys the first pixel's is in."""
    return (images(count)[:, 0, 0, 0] // 86).astype(np.int32)


def batch(at=range(8)) -> dict:
    at = np.array(at)
    index = at.astype(np.int32)
    return {"image": images()[at], "label": labels()[at], "index": index}
