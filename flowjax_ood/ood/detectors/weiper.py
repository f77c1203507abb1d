"""WeiPer+KLD: densities of features and of logits by perturbed weights.

Source: Granz et al. 2024.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood.batched import compiled, in_batches
from flowjax_ood.ood.detector import Detector, score_of
from flowjax_ood.ood.given import Requires
from flowjax_ood.ood.settings import COUNT, Within, ranges_of

# the published code adds them to densities of features and of perturbed logits
FLOORS = 0.01, 0.025


def perturbed(w, distance, repeats, seed) -> np.ndarray:
    """`w_c + distance |w_c| e / |e|`, e normal: `[D, repeats * C]` of w `[D, C]`."""
    w = np.asarray(w, np.float64)
    noise = np.random.default_rng(seed).standard_normal((repeats, *w.shape))
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    moved = w + distance * np.linalg.norm(w, axis=0) * noise
    return np.moveaxis(moved, 0, 1).reshape(len(w), -1)


def density(values, low, high, bins):
    """Share of values `[B, n]` in each of `bins` intervals of [low, high], `[B, bins]`.

    Of all values, so those outside make it sum to less than 1. NaN makes a row NaN.
    """
    at = jnp.floor((values - low) / (high - low) * bins)
    # out of bounds is dropped
    inside = (values >= low) & (values <= high)
    at = jnp.where(inside, jnp.minimum(at, bins - 1), bins).astype(int)
    rows = jnp.arange(len(values))[:, None]
    counts = jnp.zeros((len(values), bins), values.dtype)
    counts = counts.at[rows, at].add(1.0, mode="drop")
    return counts / values.shape[1] + 0 * jnp.sum(values, axis=1, keepdims=True)


def smoothed(q, size):
    """Average `size` neighbouring intervals of `[B, bins]`; the ends are repeated."""
    before = (size - 1) // 2
    q = jnp.pad(q, ((0, 0), (before, size - 1 - before)), mode="edge")
    bins = q.shape[1] - size + 1
    return sum(q[:, i : i + bins] for i in range(size)) / size


def divergence(p, q, floor):
    """`KL(p || q) + KL(q || p)` of a density `[bins]` and densities `[B, bins]`."""
    p, q = (a + floor for a in (p, q))
    p, q = (a / jnp.sum(a, axis=-1, keepdims=True) for a in (p, q))
    return jnp.sum((p - q) * (jnp.log(p) - jnp.log(q)), axis=1)


def _logits(f, w, b):
    """`[B, repeats * C]`."""
    return f @ w + jnp.tile(b, w.shape[1] // len(b))


def weiper(f, w, b, limits, known, bins, smoothing, weights):
    """Score features `[B, D]`; the arguments are as `WeiPer` fits them."""
    z = _logits(f, w, b)
    apart = [
        divergence(mean, smoothed(density(values, low, high, bins), size), floor)
        for values, mean, (low, high), size, floor in zip(
            (f, z), known, limits, smoothing, FLOORS
        )
    ]
    p = jax.nn.softmax(z.reshape(len(z), -1, len(b)), axis=2)
    msp = jnp.mean(jnp.max(p, axis=2), axis=1)
    return -(apart[0] + weights[0] * apart[1]) + weights[1] * msp


@compiled
def _extremes(f, w, b):
    values = f, _logits(f, w, b)
    return [(jnp.min(v, axis=1), jnp.max(v, axis=1)) for v in values]


def _densities_of(f, w, b, limits, bins):
    values = f, _logits(f, w, b)
    return [density(v, low, high, bins) for v, (low, high) in zip(values, limits)]


_densities = compiled(_densities_of, static_argnames="bins")


@dataclass(frozen=True)
class WeiPer(Detector):
    """`- D(f) - l1 D(z~) + l2 MSP(z~)`, D from the mean density of training inputs.

    `z~ = f W~ + b`, W~ the weights of the last layer `repeats` times, each w_c moved by
    `distance |w_c|` in a random direction (`given.seed`). D(f) is
    `KL(p || q) + KL(q || p)`: q is the histogram of all values of f (of z~) in `bins`
    intervals from the least to the largest of training inputs, averaged over
    `smoothing` neighbours (for f, for z~), p the mean of those of training inputs, not
    averaged. The published code adds 0.01, and 0.025 for z~, to both. MSP(z~) is the
    mean over repeats of the largest softmax; `weights` are (l1, l2).

    Raises ValueError where the training features do not vary.
    """

    distance: float = 1.8
    repeats: int = 100
    bins: int = 100
    smoothing: tuple[int, int] = (4, 15)
    weights: tuple[float, float] = (2.5, 0.1)
    name = "WeiPer+KLD"

    requires = Requires(train_data=True, head=True)
    grid: ClassVar = {
        "distance": (1.8, 2.0, 2.2, 2.4),
        "weights": ((2.5, 0.1), (2.5, 0.25), (2.5, 1.0)),
    }
    ranges = ranges_of(
        distance=Within(0),
        **dict.fromkeys(("repeats", "bins"), COUNT),
        smoothing=Within(1, integer=True, many=True),
        weights=Within(0, many=True),
    )

    def __post_init__(self):
        super().__post_init__()
        for name in ("smoothing", "weights"):
            if len(getattr(self, name)) != 2:
                raise ValueError(
                    f"{self.name}: {name} must be a pair; got {getattr(self, name)!r}"
                )

    def prepared(self, network, given):
        f = np.asarray(given.train.features, np.float32)
        kernel, bias = (np.asarray(a) for a in network.head)
        kernel = perturbed(kernel, self.distance, self.repeats, given.seed)
        w, b = (jnp.asarray(a, jnp.float32) for a in (kernel, bias))
        ends = in_batches(lambda f: _extremes(f, w, b), f, 250)
        limits = [(float(low.min()), float(high.max())) for low, high in ends]
        if any(low == high for low, high in limits):
            raise ValueError(
                f"{self.name} cannot be fitted: all features of all training inputs "
                "are equal"
            )
        known = in_batches(
            lambda f: _densities(f, w, b, limits, bins=self.bins), f, 250
        )
        known = [
            jnp.asarray(d.mean(axis=0, dtype=np.float64), jnp.float32) for d in known
        ]
        settings = {"bins": self.bins, "smoothing": tuple(self.smoothing)}
        arrays = {"w": w, "b": b, "limits": limits, "known": known}
        weights = tuple(map(float, self.weights))
        return score_of(
            weiper, "features", settings=settings, weights=weights, **arrays
        )
