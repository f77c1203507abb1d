"""JointDensity: the density of an input, the network's answer and its explanation."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np

from flowjax_ood.data.checks import row_digests
from flowjax_ood.models.real_nvp import TabularRealNVP
from flowjax_ood.ood.batched import of_inputs
from flowjax_ood.ood.detector import Detector, Fitted
from flowjax_ood.ood.explanations import KINDS, POINTS, Kind, check_kind, explained
from flowjax_ood.ood.features import LEAST_VARIANCE
from flowjax_ood.ood.given import Given, Requires
from flowjax_ood.ood.network import Network, check_images
from flowjax_ood.ood.settings import COUNT, POSITIVE, OneOf, ranges_of
from flowjax_ood.ood.vector_density import MakeFlow, VectorDensity

PARTS = ("inputs", "outputs", "explanation")
# it starts as a Gaussian
BOUNDED_FLOW = partial(
    TabularRealNVP,
    couplings=8,
    width=128,
    mask="halves",
    zero_init=True,
    max_log_scale=1.0,
)
# images that principal components are found of, at most; at even steps through all, as
# sets may be in order of their classes
ROWS = 10_000


@dataclass(frozen=True, eq=False)
class Description:
    """`u(x) = [P' (x - mean), z(x), a(x)]`: what a joint density is of.

    P `[D, d]` are the first d principal components of training pixels in [0, 1], z
    `[K]` the logits and a the `explanation` of the answer.
    """

    network: Network
    mean: np.ndarray = field(repr=False)  # [D]
    basis: np.ndarray = field(repr=False)  # [D, d]
    shape: tuple[int, ...]  # of an input
    kind: Kind
    grid: int

    @classmethod
    def fit(cls, network: Network, x: np.ndarray, settings) -> "Description":
        """Find the components of images; ValueError where there are not as many."""
        count = min(len(x), ROWS)
        rows = _pixels(x[np.arange(count) * len(x) // count])
        mean = rows.mean(0)
        variances, basis = np.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows))
        variances, basis = variances[::-1], basis[:, ::-1]
        rank = int((variances > LEAST_VARIANCE * max(variances[0], 0)).sum())
        if settings.inputs > rank:
            raise ValueError(
                f"{settings.name}: inputs={settings.inputs} principal components, but "
                f"the training images vary in {rank} directions: give at most {rank}, "
                "or more images"
            )
        basis = basis[:, : settings.inputs]
        kept = settings.explanation, settings.explanation_grid
        return cls(network, mean, basis, x.shape[1:], *kept)

    def __call__(self, x, batch_size: int) -> dict[str, np.ndarray]:
        """Describe inputs `[N, ...]` part by part, float64 `[N, d]` each."""
        if np.shape(x)[1:] != self.shape:
            raise ValueError(
                f"inputs of shape {np.shape(x)[1:]} cannot be described: those fitted "
                f"to were {self.shape}"
            )
        baseline = None
        if self.kind == "integrated":
            baseline = self.mean.reshape(self.shape).astype(np.float32)
        program = partial(
            explained, self.network, self.kind, self.grid, POINTS, baseline
        )
        z, a = of_inputs(program, x, batch_size)
        projected = (_pixels(x) - self.mean) @ self.basis
        of = zip(PARTS, (projected, z, a), strict=True)
        return {name: np.asarray(part, np.float64) for name, part in of}


@dataclass(frozen=True, eq=False)
class FittedJoint(Fitted):
    """A fitted `JointDensity`, which also gives the vectors it is a density of.

    `known`: digests of the training inputs, which must not calibrate it.
    """

    describe: Callable[[Any, int], list[np.ndarray]] = field(kw_only=True, repr=False)
    densities: tuple[VectorDensity, ...] = field(default=(), repr=False)
    known: frozenset[bytes] = field(default=frozenset(), repr=False)

    def parts(self, x, batch_size: int = 250) -> np.ndarray:
        """Describe inputs by the vectors u(x): float64 `[N, D]`."""
        return np.concatenate(self.describe(x, batch_size), axis=1)


@dataclass(frozen=True)
class JointDensity(Detector):
    """`log p(u(x))`, nats: of the input, the answer and its explanation together.

    u(x) holds `inputs` principal components of the pixels, the logits, and the
    `explanation` (`ood.explanation`) on `explanation_grid` squared parts of the image;
    only those named in `parts`. Its density is that of a flow of whitened u, trained on
    the training inputs by maximum likelihood. An input may be usual, and its answer and
    explanation too, but not together: that is what a joint density sees.

    * `explanation`: "gradient_input", "integrated" or "head";
    * `flow`: `dimensions -> flow`. The default bounds its log-scales: numbers of u may
      follow from others, and a flow without bounds would find an infinite density;
    * `steps` of Adam on `batch_size` rows, from `learning_rate` down to 0;
    * `apart`: a flow for each part, and the sum of their log p: what is left of the
      score where nothing is joint.

    The published monitor (Roy et al. 2022, its abstract) models the joint of input,
    output and explanation; which density, which explanation and all numbers are chosen
    here. Needs `given.train_inputs`, more of them than u has numbers. Raises TypeError
    for tokens, ValueError for a grid that does not divide the sides, for more `inputs`
    than directions in which the images vary, and for training that is not finite.
    """

    inputs: int = 64
    explanation: Kind = "gradient_input"
    explanation_grid: int = 7
    flow: MakeFlow = BOUNDED_FLOW
    steps: int = 600
    batch_size: int = 512
    learning_rate: float = 1e-3
    parts: tuple[str, ...] = PARTS
    apart: bool = False
    label: str = "JointDensity"
    ranges: ClassVar = ranges_of(
        inputs=COUNT,
        explanation=OneOf(KINDS),
        explanation_grid=COUNT,
        steps=COUNT,
        batch_size=COUNT,
        learning_rate=POSITIVE,
    )

    def __post_init__(self):
        super().__post_init__()
        parts = self.parts
        if not parts or isinstance(parts, str) or not set(parts) <= set(PARTS):
            raise ValueError(
                f"JointDensity: parts must be a tuple of {', '.join(PARTS)}; got "
                f"{parts!r}"
            )

    @property
    def requires(self) -> Requires:
        by_head = self.explanation == "head"
        return Requires(train_inputs=True, gradients=not by_head, head=by_head)

    def fit(self, network: Network, given: Given | None = None) -> FittedJoint:
        given = given or Given()
        self.check(network, given)
        x = check_images(given.train_inputs, self.name)
        check_kind(network, x.shape, self.explanation, self.explanation_grid)
        description = Description.fit(network, x, self)
        describe = partial(_described, description, self.parts)
        groups = describe(x, self.batch_size)
        if not self.apart:
            groups = [np.concatenate(groups, axis=1)]
        densities = tuple(
            VectorDensity.fit(
                u,
                self.flow,
                steps=self.steps,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                seed=given.seed,
                name=self.name,
            )
            for u in groups
        )
        return FittedJoint(
            self.name,
            self.requires,
            network,
            partial(_score, describe, densities),
            of_outputs=False,
            describe=describe,
            densities=densities,
            known=frozenset(row_digests(x)),
        )


def _described(description, parts, x, batch_size) -> list[np.ndarray]:
    found = description(x, batch_size)
    return [found[name] for name in PARTS if name in parts]


def _score(describe, densities, x, batch_size) -> np.ndarray:
    groups = describe(x, batch_size)
    if len(densities) == 1:
        groups = [np.concatenate(groups, axis=1)]
    return sum(d.log_prob(u) for d, u in zip(densities, groups, strict=True))


def _pixels(x) -> np.ndarray:
    x = np.asarray(x)
    scale = 255.0 if x.dtype == np.uint8 else 1.0
    return x.reshape(len(x), -1).astype(np.float64) / scale
