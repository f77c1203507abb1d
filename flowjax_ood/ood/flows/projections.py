"""A test of groups of images: are projections of their latents as they should be?"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from flowjax_ood.ood.flows.latents import rows
from flowjax_ood.ood.flows.outputs import FlowOutputs, ScoredFlow
from flowjax_ood.ood.flows.score import FlowScore, calibration, reference
from flowjax_ood.ood.given import Given, Requires
from flowjax_ood.ood.settings import COUNT, OneOf, check_settings, ranges_of


@dataclass(frozen=True)
class ProjectionTest:
    """Kolmogorov-Smirnov tests of a group's latents in random directions.

    Latents of M images are projected on `directions` random unit vectors; the statistic
    is the mean over them of the largest distance between two distribution functions.
    `against`: "normal", N(0, 1), the law of projections under the flow itself; or
    "reference", the projections of reference images. The p-value is by `groups` random
    groups of M calibration images, so M must be 2 or more and all of one kind. Source:
    after Jiang et al. 2022.
    """

    directions: int = 50
    against: Literal["normal", "reference"] = "normal"
    groups: int = 999
    ranges: ClassVar = ranges_of(
        directions=COUNT, groups=COUNT, against=OneOf(("normal", "reference"))
    )

    def __post_init__(self):
        check_settings(self, self.ranges, type(self).__name__)

    def fit(self, network: ScoredFlow, given: Given) -> "FittedProjectionTest":
        """Fit to calibration and, if asked, reference images. Raises as scores do."""
        name, two = type(self).__name__, self.against == "reference"
        needed = Requires(id_validation=True, train_data=two)
        _Needs(name, needed).check(network, given)
        held_out = rows(calibration(given, 4, name), "latents")
        rng = np.random.default_rng(given.seed)
        axes = rng.normal(size=(held_out.shape[1], self.directions))
        axes /= np.linalg.norm(axes, axis=0)
        ordered = None
        if two:
            known = rows(reference(given, 2, name), "latents")
            ordered = np.sort(known @ axes, axis=0)
        fitted = FittedProjectionTest(network, self, axes, ordered, given.seed)
        return FittedProjectionTest(
            network, self, axes, ordered, given.seed, fitted.levels(held_out)
        )


@dataclass(frozen=True)
class _Needs(FlowScore):
    """The checks of scores, for something that is no score of one image."""

    label: str
    needed: Requires

    @property
    def requires(self) -> Requires:
        return self.needed


@dataclass(frozen=True, eq=False)
class FittedProjectionTest:
    """A fitted test: `statistic(group)` and `p_value(group)`."""

    network: ScoredFlow
    test: ProjectionTest
    axes: np.ndarray = field(repr=False)  # [D, R], of length 1
    ordered: np.ndarray | None = field(repr=False)  # [n, R], of reference images
    seed: int = 0
    calibrated: np.ndarray | None = field(default=None, repr=False)  # [n, R]

    def statistic(self, group) -> float:
        """The mean distance of a group, images `[M, ...]` or `FlowOutputs`; M >= 2."""
        return _distance(self._levels_of(group))

    def p_value(self, group) -> float:
        """The share of groups of as many calibration images that are as far.

        In `1 / (groups + 1) ... 1`. ValueError for a group of more than half of the
        calibration images: groups drawn of those would be alike.
        """
        levels = self._levels_of(group)
        assert self.calibrated is not None  # by `ProjectionTest.fit`
        size, count = len(levels), len(self.calibrated)
        if 2 * size > count:
            raise ValueError(
                f"a group of {size} needs {2 * size} calibration images, got {count}"
            )
        rng = np.random.default_rng((self.seed, size))
        far = 0
        for _ in range(self.test.groups):
            drawn = rng.choice(count, size, replace=False)
            far += _distance(self.calibrated[drawn]) >= _distance(levels)
        return (1 + far) / (1 + self.test.groups)

    def levels(self, z: np.ndarray) -> np.ndarray:
        """Projections as levels of the distribution they should have: in [0, 1]."""
        from scipy.special import ndtr

        projected = z @ self.axes
        if self.ordered is None:
            return ndtr(projected)
        pairs = zip(self.ordered.T, projected.T, strict=True)
        # the middle of the step, so that reference images are at (i - 1/2) / n
        both = [
            np.searchsorted(known, p, "left") + np.searchsorted(known, p, "right")
            for known, p in pairs
        ]
        return np.stack(both, 1) / (2 * len(self.ordered))

    def _levels_of(self, group) -> np.ndarray:
        known = isinstance(group, FlowOutputs)
        outputs = group if known else self.network.collect(group)
        if len(outputs) < 2:
            raise ValueError(
                f"a group is of 2 images or more, got {len(outputs)}: of single images,"
                " scores such as AndersonDarling"
            )
        levels = self.levels(rows(outputs, "latents"))
        if np.isnan(levels).any():
            bad = int(np.isnan(levels).any(1).argmax())
            raise ValueError(f"latents of image {bad} of the group hold NaN")
        return levels


def _distance(levels: np.ndarray) -> float:
    """Mean over columns of the Kolmogorov-Smirnov distance of `[M, R]` to uniform."""
    ordered, count = np.sort(levels, axis=0), len(levels)
    steps = np.arange(count)[:, None]
    above = (steps + 1) / count - ordered
    below = ordered - steps / count
    return float(np.maximum(above, below).max(0).mean())
