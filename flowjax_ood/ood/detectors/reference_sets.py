"""Detectors that count training inputs which are like, or near, an input."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood.detector import Detector, score_of
from flowjax_ood.ood.detectors.fitting import (
    float32,
    unit,
    unit_rows,
)
from flowjax_ood.ood.given import Requires
from flowjax_ood.ood.settings import POSITIVE, Within, ranges_of
from flowjax_ood.ood.summaries import Bank
from flowjax_ood.precision import at_least_float32

# references compared at a time, rows of the host's distances, and rows scored together
BLOCK, ROWS, TOGETHER = 4096, 512, 64
# the shares of references whose distances are kept, of OpenOOD's code
SHARES = np.concatenate(
    [
        np.linspace(0.001, 0.1, 100),
        np.linspace(0.105, 0.5, 81),
        np.linspace(0.51, 0.99, 49),
    ]
)


def relation(z, f, features, probabilities, threshold, power):
    """`sum_i k_i^power` over `k_i > threshold`, `k_i = max(u u_i, 0) p p_i`.

    u is f of length 1, p the probabilities of z, and `features` `[blocks, n, D]` and
    `probabilities` `[blocks, n, C]` those of the training inputs (Kim et al. 2023).
    """
    u = unit(f)
    p = jax.nn.softmax(at_least_float32(z), axis=1)

    def add(total, block):
        k = jnp.maximum(u @ block[0].T, 0) * (p @ block[1].T)
        # not "> threshold": NaN stays NaN
        return total + jnp.sum(jnp.where(k <= threshold, 0, k) ** power, axis=1), None

    zero = jnp.zeros(len(u), u.dtype)
    return jax.lax.scan(add, zero, (features, probabilities))[0]


def cfof(f, references, radii, shares, count):
    """`-` the least share k at which `count` references have f among their nearest.

    Of length 1; the nearest are k n of n. `radii` `[n, K]` are the squared distances of
    the farthest of those for the first K `shares`, ascending; the last share, 1, is for
    what too few have among them (Angiulli et al. 2026).
    """
    radii, squares = radii.T, jnp.sum(references * references, axis=1)
    size = len(radii)

    def score(u):
        near = squares - 2 * jnp.matmul(references, u, precision="highest")
        away = jnp.maximum(near + jnp.sum(u * u), 0)

        # radii ascend: halve the shares that the least of enough is among
        def halve(_, ends):
            low, high = ends
            middle = (low + high) // 2
            near = radii[jnp.minimum(middle, size - 1)] >= away
            enough = (jnp.sum(near) >= count) | (middle >= size)
            return jnp.where(enough, low, middle + 1), jnp.where(enough, middle, high)

        steps = int(np.ceil(np.log2(size + 1)))
        last, _ = jax.lax.fori_loop(0, steps, halve, (0, size))
        # no number is among the nearest of any, NaN neither
        return jnp.where(jnp.isnan(away[0]), jnp.nan, -shares[last])

    return jax.lax.map(score, unit(f), batch_size=TOGETHER)


def _blocks(rows) -> np.ndarray:
    """Split `[N, D]` to `[blocks, n, D]`, filled up with zeros: like nothing."""
    size = min(len(rows), BLOCK)
    rows = np.pad(rows, ((0, -len(rows) % size), (0, 0)))
    return rows.reshape(-1, size, rows.shape[1])


@dataclass(frozen=True)
class Relation(Detector):
    """Sum of what an input has in common with training inputs; see `relation`.

    The neural relation graph. `power` sharpens similarities; those up to `threshold`,
    0.03 as published, count for nothing.
    """

    power: float = 1.0
    threshold: float = 0.03
    name = "Relation"
    grid: ClassVar = {"power": (1.0, 2.0, 4.0, 6.0, 8.0)}
    requires = Requires(train_data=True)
    ranges = ranges_of(power=POSITIVE, threshold=Within(0, 1, ")"))

    def summaries(self, network):
        return (Bank(),)

    def prepared(self, network, given):
        from scipy.special import softmax

        bank = given.summary(Bank())
        z = np.asarray(bank.logits, np.float64)
        arrays = {
            "features": _blocks(unit_rows(bank.features)),
            "probabilities": _blocks(softmax(z, axis=1)),
            "threshold": self.threshold,
            "power": self.power,
        }
        return score_of(relation, "logits", "features", **float32(arrays))


@dataclass(frozen=True)
class CFOOD(Detector):
    """Share of its nearest that references must look at to see an input; see `cfof`.

    * `share` of the training features are the references, drawn by `given.seed`;
    * `least`: so large a share of those must see it.

    A neighbourhood by the references' distances and not by the input's own: in many
    dimensions the latter are all alike. Scores are among 230 shares, as in OpenOOD.
    OpenOOD also searches among shares of 0.5 and 1, whose cost grows by the square.
    Raises ValueError for fewer than two references.
    """

    share: float = 0.1
    least: float = 0.01
    name = "CFOOD"
    grid: ClassVar = {
        "share": (0.1, 0.2),
        "least": (0.001, 0.005, 0.01, 0.05),
    }
    requires = Requires(train_data=True)
    ranges = ranges_of(share=Within(0, 1, "("), least=Within(0, 1, "("))

    def summaries(self, network):
        return (Bank(),)

    def prepared(self, network, given):
        bank = given.summary(Bank())
        f = unit_rows(bank.features)
        size = min(round(self.share * bank.total), len(f))
        if size < 2:
            raise ValueError(
                f"CFOOD needs two references or more, got {size}: a share of "
                f"{self.share:g} of {bank.total} training inputs"
            )
        rows = np.random.default_rng(given.seed).permutation(len(f))[:size]
        f = f[np.sort(rows)]
        # nearest but itself
        at = np.maximum((SHARES * size - 1).astype(int), 0) + 1
        squares = np.sum(f * f, axis=1)
        radii = np.empty((size, len(at)))
        for start in range(0, size, ROWS):
            part = slice(start, start + ROWS)
            away = squares[part, None] + squares - 2 * f[part] @ f.T
            np.fill_diagonal(away[:, start:], 0)
            radii[part] = np.maximum(np.sort(away, axis=1)[:, at], 0)
        arrays = {"references": f, "radii": radii, "shares": np.append(SHARES, 1)}
        arrays["count"] = np.ceil(self.least * size)
        return score_of(cfof, "features", **float32(arrays))
