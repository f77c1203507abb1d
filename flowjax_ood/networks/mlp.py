"""The st-network for vectors."""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp

from flowjax_ood.networks.layers import Dense, check_condition
from flowjax_ood.precision import FLOAT32, Precision


class MLP(nn.Module):
    """`Linear, ReLU, [dropout], (Linear, ReLU) * layers, Linear` on `[B, D]`.

    Dropout acts exactly when the random stream `dropout` is given to `apply`. `cond` is
    concatenated to the input. Source: the paper's tabular and embedding flows.
    """

    width: int = 256
    layers: int = 1
    dropout: float = 0.0
    zero_init: bool = False
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, x, features: int, cond=None):
        if x.ndim != 2:
            raise ValueError(f"the MLP st-network takes [B, D], got shape {x.shape}")
        if cond is not None:
            # without one, the first layer would have another shape: Flax says so
            check_condition(self, cond, "cond")
        h = x if cond is None else jnp.concatenate([x, cond.astype(x.dtype)], axis=-1)
        dense = partial(Dense, precision=self.precision)
        h = nn.relu(dense(self.width, name="in_dense")(h))
        if self.dropout:
            h = nn.Dropout(self.dropout)(h, deterministic=not self.has_rng("dropout"))
        for i in range(self.layers):
            h = nn.relu(dense(self.width, name=f"dense_{i}")(h))
        return dense(features, self.zero_init, name="out_dense")(h)
