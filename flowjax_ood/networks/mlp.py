"""The st-network for vectors."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from flowjax_ood.networks.layers import Dense


class MLP(nn.Module):
    """`Linear, ReLU, [dropout], (Linear, ReLU) * layers, Linear` on `[B, D]`.

    Dropout acts exactly when the random stream `dropout` is given to `apply`. `cond` is
    concatenated to the input. Source: the paper's tabular and embedding flows.
    """

    width: int = 256
    layers: int = 1
    dropout: float = 0.0
    zero_init: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, x, features: int, cond=None):
        if x.ndim != 2:
            raise ValueError(f"the MLP st-network takes [B, D], got shape {x.shape}")
        h = x if cond is None else jnp.concatenate([x, cond.astype(x.dtype)], axis=-1)
        h = nn.relu(Dense(self.width, dtype=self.dtype, name="in_dense")(h))
        if self.dropout:
            h = nn.Dropout(self.dropout)(h, deterministic=not self.has_rng("dropout"))
        for i in range(self.layers):
            h = nn.relu(Dense(self.width, dtype=self.dtype, name=f"dense_{i}")(h))
        out = Dense(features, self.zero_init, self.dtype, name="out_dense")
        return out(h)
