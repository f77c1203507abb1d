"""A small classifier with taps, several of which are trained together."""

import flax.linen as nn
import jax
import numpy as np

from flowjax_ood.training.members import DiverseMembers

SHAPE = (8, 8, 1)
CLASSES = 4
KEY = jax.random.key(5)


class TinyTapped(nn.Module):
    """`out(relu(hidden(x)))`, after dropout if asked for; float `[B, 8, 8, 1]`."""

    dropout: float = 0.0
    layers = ("hidden",)
    penultimate = "hidden"

    def setup(self):
        self.hidden = nn.Dense(12)
        self.out = nn.Dense(CLASSES)
        self.drop = nn.Dropout(self.dropout)

    def __call__(self, x):
        return self.taps(x)[1]

    def taps(self, x):
        hidden = nn.relu(self.hidden(x.reshape(len(x), -1)))
        off = not self.has_rng("dropout")
        return {"hidden": hidden}, self.out(self.drop(hidden, deterministic=off))

    @nn.nowrap
    def head(self, variables):
        out = variables["params"]["out"]
        return out["kernel"], out["bias"]


def images(count: int = 60, seed: int = 0) -> np.ndarray:
    """uint8 `[count, 8, 8, 1]`: noise."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, *SHAPE), np.uint8)


def ensemble(members: int = 3, seed: int = 5):
    """`(module, variables)`, as initialised, with logits that differ."""
    module = DiverseMembers(TinyTapped(), members)
    pixels = np.zeros((1, *SHAPE), np.float32)
    variables = module.init(jax.random.key(seed), pixels)
    return module, jax.tree.map(lambda a: 3 * a, variables)
