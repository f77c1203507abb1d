"""A classifier of two layers, and blobs in six dimensions for it: quick to train."""

import flax.linen as nn
import jax
import numpy as np

CLASSES, DIMS, UNITS = 4, 6, 8


class Small(nn.Module):
    """`logits = head(relu(body(x)))`, with the facts of a classifier of `models`."""

    classes: int = CLASSES
    layers = ("body",)
    penultimate = "body"

    def setup(self):
        self.body, self.last = nn.Dense(UNITS), nn.Dense(self.classes)

    def __call__(self, x):
        return self.taps(x)[1]

    def taps(self, x):
        h = nn.relu(self.body(x))
        return {"body": h}, self.last(h)

    @nn.nowrap
    def head(self, variables):
        last = variables["params"]["last"]
        return last["kernel"], last["bias"]


def blobs(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """`(x float32 [N, 6], labels [N])` about four centres."""
    centres = 2 * np.random.default_rng(7).normal(size=(CLASSES, DIMS))
    labels = np.arange(count) % CLASSES
    noise = np.random.default_rng(seed).normal(size=(count, DIMS))
    return np.float32(centres[labels] + 0.4 * noise), labels


def same(a, b) -> bool:
    """Whether two pytrees of arrays are equal bit for bit."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(np.asarray(x), np.asarray(y)) for x, y in pairs)
