"""Distances in principal components of pixels or latents, which know positions."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from flowjax_ood.ood.features import LEAST_VARIANCE
from flowjax_ood.ood.flows.latents import (
    OF,
    Of,
    RowScore,
    check_scale,
    described,
    rows,
)
from flowjax_ood.ood.flows.outputs import ScoredFlow
from flowjax_ood.ood.flows.score import Score, drawn, reference
from flowjax_ood.ood.given import Given
from flowjax_ood.ood.settings import COUNT, ranges_of

# reference images that are looked at: more move the components little
ROWS = 6000


@dataclass(frozen=True, eq=False)
class Components:
    """Principal components of rows `[n, D]`, in float64.

    `mean [D]`; `directions [D, R]`, orthonormal, most variance first; `variances [R]`,
    divided by n; `total`, the sum of all variances. R: those above 1e-10 of the first.
    """

    mean: np.ndarray
    directions: np.ndarray
    variances: np.ndarray
    total: float

    @classmethod
    def of(cls, x: np.ndarray, name: str) -> "Components":
        """Raises ValueError for numbers that are not finite and rows that are equal."""
        if not np.isfinite(x).all():
            bad = int((~np.isfinite(x).all(1)).argmax())
            raise ValueError(
                f"{name} cannot be fitted: reference image {bad} holds NaN or infinity"
            )
        mean = x.mean(0)
        away = x - mean
        count, dims = x.shape
        # the smaller of the two matrices of products has the same variances
        wide = dims > count
        products = (away @ away.T if wide else away.T @ away) / count
        variances, directions = np.linalg.eigh(products)
        variances, directions = variances[::-1], directions[:, ::-1]
        total = float(np.trace(products))
        rounding = (1e-13 * np.abs(mean).max()) ** 2
        if not total > dims * rounding:
            raise ValueError(
                f"{name} cannot be fitted: the {count} reference images do not vary"
            )
        kept = variances > LEAST_VARIANCE * variances[0]
        variances, directions = variances[kept], directions[:, kept]
        if wide:
            directions = away.T @ (directions / np.sqrt(count * variances))
        return cls(mean, directions, variances, total)

    def __len__(self) -> int:
        return len(self.variances)

    def project(self, x: np.ndarray, low: int = 0, high: int | None = None):
        """Coordinates in components low ... high - 1: `[N, high - low]`."""
        return (x - self.mean) @ self.directions[:, low:high]

    def squared(self, x: np.ndarray, low: int, high: int) -> np.ndarray:
        """`T^2 = sum_j t_j^2 / v_j` over components low ... high - 1: `[N]`."""
        return (self.project(x, low, high) ** 2 / self.variances[low:high]).sum(1)

    def residual(self, x: np.ndarray, rank: int) -> np.ndarray:
        """`Q`, the squared length outside the first `rank` components: `[N]`."""
        inside = self.project(x, 0, rank) @ self.directions[:, :rank].T
        return ((x - self.mean - inside) ** 2).sum(1)


def reference_rows(given: Given, of: Of, scale: int | None, name: str) -> np.ndarray:
    """Rows of at most 6,000 reference images, drawn by `given.seed`: `[n, D]`."""
    outputs = drawn(reference(given, 2, name), ROWS, given.seed)
    return rows(outputs, of, scale)


def components(given: Given, of: Of, scale: int | None, name: str) -> Components:
    """Principal components of reference images, computed once for all scores."""

    def make():
        return Components.of(reference_rows(given, of, scale, name), name)

    return given.once((Components, of, scale), make)


def check_count(found: Components, wanted: int, given: Given, name: str) -> None:
    """Raise ValueError where fewer than `wanted` components were found."""
    if wanted > len(found):
        count = len(reference(given, 0, name))
        raise ValueError(
            f"{name} needs {wanted} components; {min(count, ROWS)} "
            f"reference images of {len(found.mean)} numbers vary in {len(found)}: give "
            "more images, or ask for fewer components"
        )


@dataclass(frozen=True)
class SubspaceDistance(RowScore):
    """`-T^2 = -sum_j t_j^2 / v_j` over a band of principal components.

    t_j is the j-th coordinate of an image and v_j its variance over reference images,
    at most 6,000 of them. Bands of all components together give the squared Mahalanobis
    distance. `of`: "latents" (of one scale, or of all) or "pixels"; `band`: the first
    component and the one behind the last. Source: Hotelling 1931, Jackson 1991.
    """

    band: tuple[int, int] = (0, 4)
    label: str = ""
    low_share: ClassVar[float] = 0.5

    def __post_init__(self):
        super().__post_init__()
        pair = isinstance(self.band, tuple) and len(self.band) == 2
        whole = pair and all(type(j) is int for j in self.band)
        if not whole or not 0 <= self.band[0] < self.band[1]:
            raise ValueError(
                "SubspaceDistance: band must be two integers (low, high), 0 <= low < "
                f"high; got {self.band!r}"
            )

    @property
    def name(self) -> str:
        low, high = self.band
        return self.label or f"T2 {low}-{high} of {described(self.of, self.scale)}"

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        check_scale(network, self.scale, self.name)
        found = components(given, self.of, self.scale, self.name)
        check_count(found, self.band[1], given, self.name)
        return lambda out: -found.squared(rows(out, self.of, self.scale), *self.band)


@dataclass(frozen=True)
class SubspaceResidual(RowScore):
    """`-Q`, Q the squared length of an image outside the first `rank` components.

    Of pixels, in squared levels; of latents, without unit. 0 in their span. See
    `SubspaceDistance`. Source: Jackson and Mudholkar 1979.
    """

    rank: int = 64
    label: str = ""
    ranges: ClassVar = ranges_of(of=OF, rank=COUNT)

    @property
    def name(self) -> str:
        return self.label or f"Q {self.rank} of {described(self.of, self.scale)}"

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        check_scale(network, self.scale, self.name)
        found = components(given, self.of, self.scale, self.name)
        # one more: of all components, nothing is left
        check_count(found, self.rank + 1, given, self.name)
        return lambda out: -found.residual(rows(out, self.of, self.scale), self.rank)
