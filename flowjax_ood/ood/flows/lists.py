"""Lists of scores, fixed before any held-out outlier was looked at."""

import math
from itertools import pairwise

from flowjax_ood.ood.flows.complexity import CodeLength, InputComplexity
from flowjax_ood.ood.flows.latent_tests import (
    AndersonDarling,
    LatentSpread,
    SpectrumVariation,
)
from flowjax_ood.ood.flows.latents import Of, scale_shapes
from flowjax_ood.ood.flows.likelihood import (
    LatentLikelihood,
    LogDeterminant,
    LogLikelihood,
)
from flowjax_ood.ood.flows.neighbours import ClusteredGaussians, NeighbourDistance
from flowjax_ood.ood.flows.outputs import ScoredFlow
from flowjax_ood.ood.flows.poses import PoseContrast
from flowjax_ood.ood.flows.score import FlowScore
from flowjax_ood.ood.flows.subspaces import SubspaceDistance, SubspaceResidual

# principal components, cut at the size of what they are of
BANDS = (0, 4, 16, 64, 256)
# components that Q leaves out: half of all, if there are fewer than twice as many
RANK = 128
# components of pixels in which poses are contrasted
CONTRASTED = 64


def flow_only(network: ScoredFlow) -> tuple[FlowScore, ...]:
    """Scores of the likelihood and of latents, of one pass: none of pixels alone.

    Those of single scales are listed for every scale of the flow.
    """
    scores = [LogLikelihood(), LatentLikelihood(), LogDeterminant()]
    for scale, shape in enumerate(scale_shapes(network)):
        scores += [
            LatentSpread(scale),
            AndersonDarling(scale),
            SpectrumVariation(scale),
            *_positions("latents", scale, math.prod(shape)),
        ]
    return _applicable(scores, network)


def no_flow(network: ScoredFlow) -> tuple[FlowScore, ...]:
    """Scores of pixels: the control of `flow_only`. The flow gives shapes alone."""
    scores = [
        *_positions("pixels", None, math.prod(network.shape)),
        ClusteredGaussians("pixels"),
        *([CodeLength()] if _has_code(network) else []),
    ]
    return _applicable(scores, network)


def v1(network: ScoredFlow) -> tuple[FlowScore, ...]:
    """`flow_only`, `no_flow`, and the input complexity, which is of both."""
    both = (InputComplexity(),) if _has_code(network) else ()
    return flow_only(network) + both + no_flow(network)


def poses(network: ScoredFlow) -> tuple[FlowScore, ...]:
    """Contrasts of poses of pixels, for square images.

    They are made of turned and flipped images, so their results on such outliers do not
    count. To be added to another list.
    """
    height, width, _ = network.shape if network.of_images else (0, 1, 0)
    if height != width:
        return ()
    components = min(CONTRASTED, math.prod(network.shape) // 2)
    return (
        PoseContrast(NeighbourDistance("pixels")),
        PoseContrast(SubspaceDistance("pixels", None, (0, components))),
        PoseContrast(SubspaceResidual("pixels", None, components)),
    )


def _positions(of: Of, scale: int | None, size: int) -> list[FlowScore]:
    edges = [edge for edge in BANDS if edge < size]
    edges.append(min(size, BANDS[-1]))
    bands = pairwise(edges)
    residual = [SubspaceResidual(of, scale, min(RANK, size // 2))] if size > 1 else []
    return [
        *(SubspaceDistance(of, scale, band) for band in bands if band[0] < band[1]),
        *residual,
        NeighbourDistance(of, scale),
    ]


def _has_code(network: ScoredFlow) -> bool:
    # pictures have bytes, of grey or of three colours
    return network.of_images and network.bins <= 256 and network.shape[2] in (1, 3)


def _applicable(scores, network: ScoredFlow) -> tuple[FlowScore, ...]:
    return tuple(s for s in scores if network.of_images or not s.of_images)
