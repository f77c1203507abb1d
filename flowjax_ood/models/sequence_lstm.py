"""A bidirectional LSTM that classifies sequences of tokens, such as DNA."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from flowjax_ood.networks.layers import Dense, uniform_fan_in
from flowjax_ood.precision import FLOAT32, Precision, at_least_float32

# positions of the top layer's taps, as parts of the sequence's length; and at its end
TAPPED = ((2, 5), (3, 5), (4, 5))


class BiLSTM(nn.Module):
    """`logits = W h[end] + b`, h the outputs of stacked bidirectional LSTMs.

    Sequences are tokens, int `[B, length]` in `0 ... vocabulary - 1` (another token
    makes its sequence's scores NaN), embedded as vectors. `hidden` units in each of the
    two directions of each of `depth` layers. `dropout` between layers; it acts exactly
    when a `dropout` stream is given.

    32,068,026 parameters by default. torch's LSTM has a second bias, added to the
    first, and would count 32,084,026. Source: the genome experiment of Huang et al.
    2021, after Ren et al. 2019; its training recipe was not released.
    """

    vocabulary: int = 4
    length: int = 250
    embedding: int = 4
    hidden: int = 1000
    depth: int = 2
    classes: int = 10
    dropout: float = 0.1
    precision: Precision = FLOAT32

    # tokens have no pixels to normalise
    mean = None
    std = None

    @property
    def positions(self) -> tuple[int, ...]:
        """Positions of the top layer's taps: 100, 150, 200 and 249 of length 250."""
        return (*(self.length * a // b for a, b in TAPPED), self.length - 1)

    @property
    def layers(self) -> tuple[str, ...]:
        """The taps that FSSD uses, from shallow to deep."""
        return ("embedding", *(f"lstm_{t}" for t in self.positions))

    @property
    def penultimate(self) -> str:
        """The tap that the last linear layer reads."""
        return self.layers[-1]

    def setup(self):
        if self.length < 6:
            raise ValueError(
                f"length must be at least 6, to tap four positions, got {self.length}"
            )
        if self.depth < 1:
            raise ValueError(f"depth must be at least 1, got {self.depth}")
        shape = (self.vocabulary, self.embedding)
        self.table = self.param(
            "embedding", nn.initializers.normal(1.0), shape, jnp.float32
        )
        self.forwards = [
            LSTM(self.hidden, precision=self.precision) for _ in range(self.depth)
        ]
        self.backwards = [
            LSTM(self.hidden, reverse=True, precision=self.precision)
            for _ in range(self.depth)
        ]
        self.drop = nn.Dropout(self.dropout)
        self.classifier = Dense(self.classes, precision=self.precision)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Class scores before the softmax, `[B, classes]`, float32."""
        return self.taps(tokens)[1]

    def taps(self, tokens: jax.Array) -> tuple[dict[str, jax.Array], jax.Array]:
        """`({layer: activations}, logits)`, of one pass.

        `embedding [B, length * embedding]`, and `lstm_t [B, 2 hidden]`, what both
        directions of the top layer say at position t; at the end, its backward one has
        read the last token alone. Raises TypeError for tokens that are not integers,
        ValueError for sequences of another length.
        """
        if not jnp.issubdtype(tokens.dtype, jnp.integer):
            raise TypeError(f"tokens must be integers, got {tokens.dtype}")
        if tokens.ndim != 2 or tokens.shape[1] != self.length:
            raise ValueError(
                f"tokens must be [B, {self.length}], got shape {tokens.shape}; say "
                "another length when the model is made"
            )
        # unsigned, a negative token is as far out as one too large: both give NaN
        at = tokens.astype(jnp.uint32)
        h = jnp.take(self.table, at, axis=0, mode="fill", fill_value=math.nan)
        taps = {"embedding": h.reshape(h.shape[0], -1)}
        for k, pair in enumerate(zip(self.forwards, self.backwards)):
            if k:
                h = self.drop(h, deterministic=not self.has_rng("dropout"))
            h = jnp.concatenate([lstm(h) for lstm in pair], -1)
        taps |= {f"lstm_{t}": h[:, t] for t in self.positions}
        logits = self.classifier(taps[self.penultimate])
        return taps, at_least_float32(logits)

    @nn.nowrap
    def head(self, variables: dict) -> tuple[jax.Array, jax.Array]:
        """`(W [2 hidden, classes], b [classes])` with `logits = h[end] W + b`."""
        last = variables["params"]["classifier"]
        return last["kernel"], last["bias"]


class LSTM(nn.Module):
    """`c' = f c + i g`, `h' = o tanh(c')` along a sequence, from h = c = 0.

    `(i, f, g, o) = (sigmoid, sigmoid, tanh, sigmoid)(x W + h R + b)`; `[B, L, I]` ->
    `[B, L, hidden]`, from the end to the start with `reverse`. Parameters `kernel [I,
    4 hidden]`, `recurrent [hidden, 4 hidden]` and `bias`, which start as torch's do,
    U(+-1/sqrt(hidden)). What is carried along is float32.

    Source: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.
    """

    hidden: int
    reverse: bool = False
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, x):
        n = self.hidden
        init = uniform_fan_in(n)
        kernel = self.param("kernel", init, (x.shape[-1], 4 * n))
        recurrent = self.param("recurrent", init, (n, 4 * n))
        bias = self.param("bias", init, (4 * n,))
        x, kernel, recurrent = self.precision.cast(x, kernel, recurrent)
        wide = jnp.promote_types(x.dtype, jnp.float32)
        multiply = self.precision.multiply
        # what comes from the inputs is one product for the whole sequence
        driven = jnp.matmul(x, kernel, precision=multiply)
        driven = driven + lax.broadcast_to_rank(bias.astype(x.dtype), driven.ndim)

        def step(carry, now):
            c, h = carry
            gates = now + jnp.matmul(h.astype(x.dtype), recurrent, precision=multiply)
            i, f, g, o = jnp.split(gates.astype(wide), 4, axis=-1)
            c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
            h = nn.sigmoid(o) * jnp.tanh(c)
            return (c, h), h.astype(x.dtype)

        start = jnp.zeros((x.shape[0], n), wide)
        _, out = lax.scan(
            step, (start, start), driven.swapaxes(0, 1), reverse=self.reverse
        )
        return out.swapaxes(0, 1)
