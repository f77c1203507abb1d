"""The complexity of an image, as a lossless coder sees it, alone and with a flow's."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from flowjax_ood.ood.flows.code_lengths import (
    CODERS,
    OF_PICTURES,
    check_coder,
    code_length,
    default_coder,
)
from flowjax_ood.ood.flows.densities import fit_mixture, standardised, where_known
from flowjax_ood.ood.flows.outputs import FlowOutputs, ScoredFlow
from flowjax_ood.ood.flows.score import FlowScore, Score, reference
from flowjax_ood.ood.given import Given, Requires
from flowjax_ood.ood.settings import COUNT, OneOf, ranges_of


@dataclass(frozen=True)
class _OfCode(FlowScore):
    # "webp" where Pillow has it, else "zlib"; the name tells
    coder: str = field(default_factory=default_coder)
    of_images: ClassVar[bool] = True
    ranges: ClassVar = ranges_of(coder=OneOf(tuple(CODERS)))

    @property
    def name(self) -> str:
        """The label, and the coder in brackets."""
        return f"{self.label} ({self.coder})"

    def check(self, network: ScoredFlow, given: Given) -> None:
        super().check(network, given)
        check_coder(self.coder)
        channels, levels = network.shape[-1], network.bins
        if levels > 256:
            raise ValueError(
                f"{self.name} is of images of 256 levels at most, this flow's have "
                f"{levels}"
            )
        if self.coder in OF_PICTURES and channels not in (1, 3):
            raise ValueError(
                f"{self.name} is of images of 1 or 3 channels, this flow's have "
                f"{channels}: take coder='zlib' or 'difference'"
            )


@dataclass(frozen=True)
class CodeLength(_OfCode):
    """Minus the bits of an image in a lossless code: a control that needs no flow.

    Simple images and noise are both unusual: see `TwoSided`.
    """

    label: str = "code length"
    low_share: ClassVar[float] = 0.5
    passes: ClassVar[float] = 0.0

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        return lambda outputs: -code_length(outputs.events, self.coder)


@dataclass(frozen=True)
class InputComplexity(_OfCode):
    """`log p(x) + b ln 2`, nats, b the bits of a lossless code: see `code_length`.

    A likelihood ratio of the flow to the coder, but for a constant, so the length of a
    header does not matter. Source: Serra et al. 2020, their S with the other sign and
    in nats.
    """

    label: str = "input complexity"
    low_share: ClassVar[float] = 0.5

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        def score(outputs: FlowOutputs) -> np.ndarray:
            bits = code_length(outputs.events, self.coder)
            return outputs.log_prob + np.log(2) * bits

        return score


@dataclass(frozen=True)
class ComplexityMixture(_OfCode):
    """Log density of (log p(z), code length) under a mixture of Gaussians.

    Both are standardised by the reference images; `components` Gaussians of full
    covariance, 1e-3 added to variances, the best of 3 fits by `given.seed`. Source:
    Osada et al. 2024, who give the two variables. Raises ImportError without
    scikit-learn, ValueError for fewer than 4 reference images a component.
    """

    components: int = 5
    label: str = "complexity mixture"
    requires: ClassVar[Requires] = Requires(train_data=True, sklearn=True)
    ranges: ClassVar = ranges_of(components=COUNT, **_OfCode.ranges)

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        train = reference(given, 4 * self.components, self.name)

        def statistics(outputs: FlowOutputs) -> np.ndarray:
            bits = code_length(outputs.events, self.coder)
            return np.stack([outputs.latent_log_prob, bits], 1)

        t = statistics(train)
        scaled = standardised(t, ("log p(z)", "the code length"), self.name)
        density = fit_mixture(scaled(t), self.components, given.seed)

        def score(outputs: FlowOutputs) -> np.ndarray:
            return where_known(density, scaled(statistics(outputs)))

        return score
