"""Distance to the k-th nearest neighbour among features."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from flowjax_ood.arguments import whole_number
from flowjax_ood.ood.features import checked

# queries, and references, compared at a time: 4 MiB of distances
QUERIES, REFERENCES = 256, 4096
# less than the length of any feature that is not zero
TINY = 1e-30


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["center", "references", "squares"],
    meta_fields=["k", "normalize"],
)
@dataclass(frozen=True)
class NearestNeighbors:
    """`score(x) = - |x - x_(k)|`, x_(k) the k-th nearest feature of those fitted.

    With `normalize`, every feature is divided by its length first, so the score is in
    [-2, 0]: what Sun et al. (2022) found necessary. A feature of zeros stays zeros.

    Made by `fit`. A pytree: it can be passed through `jit`. Distances are computed in
    blocks, never all of them at a time; scores are float32 (float64 where JAX has that
    enabled).
    """

    center: jax.Array  # [D], taken off before distances: less to cancel
    references: jax.Array  # [blocks, n, D]
    squares: jax.Array  # [blocks, n], squared lengths; infinite where filled up
    k: int
    normalize: bool

    @classmethod
    def fit(
        cls, features, *, k: int = 50, normalize: bool = True
    ) -> "NearestNeighbors":
        """Fit to in-distribution features.

        Fitted features themselves score with themselves as the first neighbour.

        Args:
            features: finite numbers `[N, D]`.
            k: 1 is the nearest; in Sun et al. 50 for CIFAR-10, 1000 for ImageNet.
            normalize: divide every feature by its length first.

        Raises:
            TypeError: features that are no real numbers.
            ValueError: features that are not finite, not `[N, D]` or too large for
                squared distances, and a k that is not in 1 ... N.
        """
        x = np.asarray(checked(features))
        rows, dims = x.shape
        k = whole_number("k", k)
        if not 1 <= k <= rows:
            raise ValueError(
                f"k must be in 1 ... {rows}, the rows of features, got {k}"
            )
        # squared distances must not overflow
        limit = np.sqrt(float(jnp.finfo(jnp.zeros(()).dtype).max) / dims) / 4
        largest = 1 if normalize else max(x.max(), -x.min())
        if largest > limit:
            raise ValueError(
                f"features are up to {largest:.3g}, distances are computed of up to "
                f"{limit:.3g}: divide features by a constant, or normalize"
            )
        # any point among them will do: the mean of some rows, spread over all
        some = x[:: -(-rows // REFERENCES)].astype(np.float64)
        if normalize:
            some /= np.maximum(np.linalg.norm(some, axis=1, keepdims=True), TINY)
        center = jnp.asarray(some.mean(0))
        size = min(rows, REFERENCES)
        blocks = -(-rows // size)
        held = jnp.zeros((blocks, size, dims)), jnp.zeros((blocks, size))
        for block in range(blocks):
            part = x[block * size : (block + 1) * size]
            missing = size - len(part)
            if missing:
                part = np.pad(part, ((0, missing), (0, 0)))
            held = _placed(held, part, center, block, missing, bool(normalize))
        return cls(center, *held, k=k, normalize=bool(normalize))

    def score(self, features) -> jax.Array:
        """Score features `[B, D]`: `[B]`, higher is more in-distribution.

        Raises TypeError or ValueError for features of another D, or not finite.
        """
        return _score(self, jnp.asarray(checked(features, len(self.center))))


def _centered(x: jax.Array, center: jax.Array, normalize: bool) -> jax.Array:
    x = x.astype(center.dtype)
    if normalize:
        # twice: squares of large numbers would overflow
        x = x / jnp.maximum(jnp.max(jnp.abs(x), axis=1, keepdims=True), TINY)
        x = x / jnp.maximum(jnp.linalg.norm(x, axis=1, keepdims=True), TINY)
    return x - center


@partial(jax.jit, donate_argnums=0, static_argnums=5)
def _placed(held, part, center, block, missing, normalize):
    """Put rows of one block, of which the last are missing, into those held."""
    x = _centered(part, center, normalize)
    there = jnp.arange(len(x)) < len(x) - missing
    squares = jnp.where(there, jnp.sum(x * x, axis=1), jnp.inf)
    return tuple(a.at[block].set(new) for a, new in zip(held, (x, squares)))


@jax.jit
def _score(detector: NearestNeighbors, x: jax.Array) -> jax.Array:
    score = partial(_score_one, detector)
    x = _centered(x, detector.center, detector.normalize)
    return lax.map(score, x, batch_size=QUERIES)


def _score_one(detector: NearestNeighbors, x: jax.Array) -> jax.Array:
    blocks, size, dims = detector.references.shape

    def nearer(best, block):
        """The k least of those so far and of one block: (|y|^2 - 2 x y, row of y)."""
        references, squares, start = block
        near = squares - 2 * jnp.matmul(references, x, precision="highest")
        rows = start + jnp.arange(size, dtype=jnp.int32)
        values = jnp.concatenate([best[0], near])
        least, at = lax.top_k(-values, detector.k)
        return (-least, jnp.concatenate([best[1], rows])[at]), None

    none = jnp.full(detector.k, jnp.inf, x.dtype), jnp.zeros(detector.k, jnp.int32)
    starts = size * jnp.arange(blocks, dtype=jnp.int32)
    (_, rows), _ = lax.scan(
        nearer, none, (detector.references, detector.squares, starts)
    )
    # anew, as a difference: the sum above loses the last digits of small distances
    kth = detector.references.reshape(-1, dims)[rows[-1]]
    return -jnp.linalg.norm(x - kth)
