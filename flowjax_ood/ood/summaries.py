"""What detectors need of training outputs, gathered in one pass, batch by batch.

Fits in memory and of streams gather by the same: both agree to rounding.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from flowjax_ood.ood.moments import CHUNK, Moments
from flowjax_ood.ood.network import Outputs


class Summary:
    """Base of summaries: frozen dataclasses, equal where they gather the same.

    `start` makes a state, `add` changes it by a batch of finite `Outputs` (with
    labels, where they are asked for), `finish` makes the result of it.
    """

    def start(self, seed: int, bank: int | None) -> Any:
        """Begin; `bank`: how many rows may be kept, None is all."""
        raise NotImplementedError

    def add(self, state: Any, outputs: Outputs, labels) -> Any:
        """Return the state after a batch."""
        raise NotImplementedError

    def finish(self, state: Any) -> Any:
        return state

    def of(self, outputs: Outputs, labels, seed: int) -> Any:
        """Summarize outputs in memory."""
        state, labels = self.start(seed, None), as_labels(labels)
        for start in range(0, len(outputs.logits), CHUNK):
            part = slice(start, start + CHUNK)
            rows = Outputs(
                outputs.logits[part],
                outputs.features[part],
                {k: a[part] for k, a in outputs.pooled.items()},
            )
            state = self.add(state, rows, None if labels is None else labels[part])
        return self.finish(state)


def as_labels(labels) -> np.ndarray | None:
    """Return labels as an array; None stays so."""
    return None if labels is None else np.asarray(labels)


@dataclass(frozen=True)
class MomentsOf(Summary):
    """`Moments` of features, or of a layer's pooled channels; by class or together.

    `of_rows`: what is made of the rows first, a function of arrays `[n, D]`.
    """

    layer: str | None = None
    by_class: bool = True
    of_rows: Callable[[np.ndarray], np.ndarray] | None = None

    def start(self, seed, bank):
        return None

    def rows(self, outputs: Outputs) -> np.ndarray:
        """Return the rows that moments are of, `[n, D]`."""
        if self.layer not in (None, *outputs.pooled):
            raise ValueError(
                f"training outputs have no pooled layer {self.layer!r}, only "
                f"{list(outputs.pooled)}: Outputs.of(logits, features, pooled)"
            )
        x = outputs.features if self.layer is None else outputs.pooled[self.layer]
        return x if self.of_rows is None else self.of_rows(x)

    def add(self, state, outputs, labels):
        x = self.rows(outputs)
        state = state or Moments(x.shape[1])
        return state.add(x, labels if self.by_class else None)


@dataclass(frozen=True)
class MeanOf(Summary):
    """The mean over rows of `rows(outputs) [n, ...]`, float64."""

    rows: Callable[[Outputs], np.ndarray]

    def start(self, seed, bank):
        return 0, 0.0

    def add(self, state, outputs, labels):
        count, total = state
        rows = self.rows(outputs)
        return count + len(rows), total + np.sum(rows, axis=0, dtype=np.float64)

    def finish(self, state):
        count, total = state
        return total / count


def _features(outputs):
    return outputs.features


MEAN_FEATURE = MeanOf(_features)


@dataclass(frozen=True)
class PredictedMeans(Summary):
    """The mean feature of the rows predicted as each class, `[C, D]`.

    Of all rows for a class that none is predicted as.
    """

    def start(self, seed, bank):
        return 0, 0.0

    def add(self, state, outputs, labels):
        z, f = outputs.logits, outputs.features
        predicted, sums = z.argmax(1), np.zeros((z.shape[1], f.shape[1]))
        for c in np.unique(predicted):
            sums[c] = f[predicted == c].sum(0, dtype=np.float64)
        counts = np.bincount(predicted, minlength=z.shape[1])[:, None]
        return state[0] + counts, state[1] + sums

    def finish(self, state):
        counts, sums = state
        everything = sums.sum(0) / counts.sum()
        return np.where(counts > 0, sums / np.maximum(counts, 1), everything)


class Rows(NamedTuple):
    """Logits `[n, C]` and features `[n, D]` of n of the `total` rows there were."""

    logits: np.ndarray
    features: np.ndarray
    total: int


@dataclass(frozen=True)
class Bank(Summary):
    """`Rows`: all, in their order; of a longer stream than the bank, a random sample.

    Every row of a stream is in it with the same chance (reservoir sampling, Vitter
    1985), drawn by the seed; batches do not matter, order does.
    """

    def start(self, seed, bank):
        return _Reservoir(seed, bank)

    def add(self, state, outputs, labels):
        return state.add(outputs)

    def finish(self, state):
        logits, features = map(np.concatenate, zip(*state.parts))
        return Rows(logits, features, state.count)

    def of(self, outputs, labels, seed):
        return Rows(outputs.logits, outputs.features, len(outputs.logits))


class _Reservoir:
    def __init__(self, seed: int, size: int | None):
        self.random, self.size = np.random.default_rng(seed), size
        self.count = 0
        self.parts: list[list[np.ndarray]] = []

    def add(self, outputs: Outputs) -> "_Reservoir":
        both, done = (outputs.logits, outputs.features), 0
        if self.size is None or self.count < self.size:
            left = None if self.size is None else self.size - self.count
            # copies: views would keep whole batches, and are not ours to change
            self.parts.append([np.array(a[:left]) for a in both])
            done = len(self.parts[-1][0])
            self.count += done
        rest = len(both[0]) - done
        if self.size is not None and rest:
            if len(self.parts) > 1:
                self.parts = [list(map(np.concatenate, zip(*self.parts)))]
            seen = self.count + np.arange(1, rest + 1)
            at = (self.random.random(rest) * seen).astype(np.int64)
            for row in np.flatnonzero(at < self.size):
                for kept, new in zip(self.parts[0], both):
                    kept[at[row]] = new[done + row]
            self.count += rest
        return self
