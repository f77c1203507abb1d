"""Controls in closed form: a local linear Gaussian, and a Gaussian of volumes alone."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from experiments.reconstruct.pairs import Pairs
from flowjax_ood.models import WaveletFlow

# rows and columns on each side of a pixel that a patch reaches
REACH = (1, 6)
# volumes at a time: their patches are large
AT_ONCE = 50
RIDGE, LEAST_VARIANCE = 1e-3, 1e-5
# principal components of the Gaussian of volumes
COMPONENTS = 128


@dataclass(frozen=True, eq=False)
class LocalLinearGaussian:
    """`log p(d_l | c_l, y)` of every level by least squares on patches, in closed form.

    Of a part of a volume at a pixel, the mean is linear in the patch of the condition
    around it, `REACH` rows and columns to each side, by one set of weights for all
    pixels; deviations are Gaussian, independent, with a variance for each pixel and
    channel. It has the levels of `flow` and reads what they read.

    `weights` and `variances`: by part, finest details first, the coarse volume last.
    """

    flow: WaveletFlow
    weights: tuple[np.ndarray, ...]
    variances: tuple[np.ndarray, ...]

    @classmethod
    def fit(cls, flow: WaveletFlow, pairs: Pairs) -> "LocalLinearGaussian":
        """Solve the normal equations of all training pairs."""
        weights, variances = [], []
        for which in _parts(flow):
            d, cond = _examples(flow, which, pairs)
            gram = moment = np.zeros(())
            for rows in _chunks(len(d)):
                p = patches(cond[rows]).astype(np.float64)
                p = p.reshape(-1, p.shape[-1])
                gram = gram + p.T @ p
                moment = moment + p.T @ d[rows].reshape(-1, d.shape[-1])
            found = np.linalg.solve(gram + RIDGE * np.eye(len(gram)), moment)
            squares = sum(
                ((d[rows] - patches(cond[rows]) @ found) ** 2).sum(0)
                for rows in _chunks(len(d))
            )
            weights.append(found)
            variances.append(np.maximum(squares / len(d), LEAST_VARIANCE))
        return cls(flow, tuple(weights), tuple(variances))

    def score(self, pairs: Pairs) -> np.ndarray:
        """`log p(details | coarse, y)`, nats: float64 `[N]`."""
        total = np.zeros(len(pairs.x))
        for at, which in enumerate(_parts(self.flow)[:-1]):
            d, cond = _examples(self.flow, which, pairs)
            variance = self.variances[at]
            for rows in _chunks(len(d)):
                z2 = (d[rows] - patches(cond[rows]) @ self.weights[at]) ** 2 / variance
                terms = -0.5 * (z2 + np.log(2 * np.pi * variance))
                total[rows] += terms.sum((1, 2, 3))
        return total

    def reconstruct(self, y: np.ndarray) -> np.ndarray:
        """The mean volume of every measurement, coarsest part first: float32."""
        found = []
        for rows in _chunks(len(y)):
            coarse = None
            for at, which in reversed(list(enumerate(_parts(self.flow)))):
                cond = np.asarray(self.flow.condition(which, coarse, y[rows]))
                part = (patches(cond) @ self.weights[at]).astype(np.float32)
                if which == "coarse":
                    coarse = jnp.asarray(part)
                else:
                    coarse = self.flow.join(coarse, part)
            found.append(np.asarray(coarse))
        return np.concatenate(found)


def patches(cond: np.ndarray) -> np.ndarray:
    """The numbers around every pixel, zeros beyond the edges, and a one at the end.

    `[N, h, w, K]` to `[N, h, w, (2 REACH[0] + 1) (2 REACH[1] + 1) K + 1]`.
    """
    rows, columns = REACH
    count, height, width, _ = cond.shape
    wide = np.pad(cond, ((0, 0), (rows, rows), (columns, columns), (0, 0)))
    moved = [
        wide[:, i : i + height, j : j + width]
        for i in range(2 * rows + 1)
        for j in range(2 * columns + 1)
    ]
    one = np.ones((count, height, width, 1), cond.dtype)
    return np.concatenate([*moved, one], axis=-1)


def volume_gaussian(train: np.ndarray):
    """`score(volumes) -> [N]`: log-density by probabilistic PCA, nats; no views.

    Of `COMPONENTS` principal components, or half as many as there are volumes; all
    other directions share the mean of what is left of the variance. Source: Tipping and
    Bishop 1999.
    """
    flat = train.reshape(len(train), -1).astype(np.float64)
    mean, dimensions = flat.mean(0), flat.shape[1]
    count = min(COMPONENTS, len(train) // 2, dimensions - 1)
    _, lengths, axes = np.linalg.svd(flat - mean, full_matrices=False)
    variances = lengths**2 / (len(train) - 1)
    own, rest = variances[:count], variances[count:].mean()
    constant = dimensions * np.log(2 * np.pi) + np.log(own).sum()
    constant += (dimensions - count) * np.log(rest)

    def score(x):
        centred = x.reshape(len(x), -1).astype(np.float64) - mean
        t = (centred @ axes[:count].T) ** 2
        left = (centred**2).sum(1) - t.sum(1)
        return -0.5 * (constant + (t / own).sum(1) + left / rest)

    return score


def _parts(flow: WaveletFlow) -> tuple:
    return (*range(1, flow.levels + 1), "coarse")


def _examples(flow: WaveletFlow, which, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    rows = flow.examples(which, pairs.x, pairs.y)
    return np.asarray(rows["x"]), np.asarray(rows["cond"])


def _chunks(count: int) -> list[slice]:
    return [slice(at, at + AT_ONCE) for at in range(0, count, AT_ONCE)]
