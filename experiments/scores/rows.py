"""Which scores the table has rows of."""

import math
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

from experiments.scores.encoder import encoder_scores
from flowjax_ood import ood
from flowjax_ood.ood.flows.combined import Method
from flowjax_ood.ood.flows.stability import CHANGES

# ways to combine scores; all of them at once would be chosen among by their results
METHODS: dict[Method, str] = {"rank_gauss": "rank-Gauss", "bonferroni": "Bonferroni"}
# kinds that contrasts of poses are made of; the others are in the block "told"
TURNED = ("upside_down", "rotated")
BOTH, FLOW, PIXELS = "flow and pixels", "flow alone", "pixels alone"
# with features of a pretrained encoder, where its weights are installed
ENCODER = "encoder"
# rows that say whether a flow is of use: the first of each pair against its control
COMPARED = tuple(
    (f"{name}, {label}", f"{PIXELS}, {label}")
    for label in METHODS.values()
    for name in (BOTH, FLOW)
)


class Row(NamedTuple):
    """A score, and whether it is a control, which does not look at the flow.

    `part`: it is there to be combined, and the picture leaves it out; `read`:
    variables of the other flows that it looks at, by which its kept scores are known
    again. `told`: kinds outside the block "told" that it is made of.
    """

    score: ood.FlowScore
    control: bool = False
    part: bool = False
    read: Any = ()
    told: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.score.name


def rows(
    flow: ood.ScoredFlow,
    members: Sequence[ood.ScoredFlow] = (),
    backgrounds: Mapping[str, ood.ScoredFlow] | None = None,
    passes: float = 1,
) -> list[Row]:
    """List the rows for a flow, each name once.

    `members`: flows trained from other seeds; `backgrounds`: of likelihood ratios, by
    their labels; `passes`: the most that a score may take an image, but for those of
    several flows. Scores that need scikit-learn are left out where it is not installed.
    """
    listed = [
        *(Row(s, told=_told(s)) for s in _of_the_flow(flow)),
        *(Row(s, control=True, told=_told(s)) for s in _controls(flow)),
        *(Row(s, control=True) for s in encoder_scores(flow)),
        *_combined(flow),
        *(Row(score, part=True) for score in ood.flow_only(flow)),
        *(Row(score, control=True, part=True) for score in ood.no_flow(flow)),
    ]
    listed = [row for row in listed if _passes(row.score, flow) <= passes]
    listed += _of_several(members, backgrounds or {})
    if find_spec("sklearn") is None:
        listed = [row for row in listed if not row.score.requires.sklearn]
    found: dict[str, Row] = {}
    for row in listed:
        found.setdefault(row.name, row)
    return list(found.values())


def _of_the_flow(flow: ood.ScoredFlow) -> Iterable[ood.FlowScore]:
    return (
        ood.LogLikelihood(),
        ood.LatentLikelihood(),
        ood.LogDeterminant(),
        ood.ScaleLikelihood(),
        ood.Typicality(),
        ood.SITN(),
        ood.KLODS(),
        *map(ood.InputComplexity, _coders(flow)),
        *([ood.ComplexityMixture()] if _coders(flow) else []),
        *(ood.DoSE(density=density) for density in ("kde", "svm", "mixture")),
        *_of_more_passes(flow),
    )


def _of_more_passes(flow: ood.ScoredFlow) -> Iterable[ood.FlowScore]:
    changes = ("draws", *CHANGES) if flow.of_images else ()
    return (
        *_maps(flow, "likelihood"),
        *map(ood.Stability, changes),
        ood.Reconstruction(),
        ood.GradientNorms(),
        ood.RaoScore(),
        ood.rao_and_typicality(),
        ood.InputGradients(),
        ood.LikelihoodRegret(),
        ood.LocalDimension(),
    )


def _maps(
    flow: ood.ScoredFlow, of: Literal["likelihood", "levels"]
) -> Iterable[ood.FlowScore]:
    """Of images that squares fill, more of them than components are looked at."""
    maps = ood.LikelihoodMap("T2", of=of), ood.LikelihoodMap("Q", of=of)
    patch, rank = maps[0].patch, maps[0].rank
    if not flow.of_images or any(side % patch for side in flow.shape[:2]):
        return ()
    squares = math.prod(side // patch for side in flow.shape[:2])
    return maps if squares > rank else ()


def _told(score: ood.FlowScore) -> tuple[str, ...]:
    """Kinds that a score is made of, where these are of another block than "told"."""
    if isinstance(score, ood.PoseContrast):
        return TURNED
    if isinstance(score, ood.Stability):
        return {"blur": ("blurred",), "shift": ("shifted",)}.get(score.change, ())
    return ()


def _passes(score: ood.FlowScore, flow: ood.ScoredFlow) -> float:
    # a backward pass for each number of an event
    if isinstance(score, ood.LocalDimension):
        return 1.0 + math.prod(flow.shape)
    return score.passes


def _of_several(
    members: Sequence[ood.ScoredFlow], backgrounds: Mapping[str, ood.ScoredFlow]
) -> Iterable[Row]:
    if members:
        variables = [member.variables for member in members]
        yield Row(ood.WAIC(tuple(members)), read=variables)
    for label, background in backgrounds.items():
        ratio = ood.BackgroundRatio(background, label=label)
        yield Row(ratio, read=background.variables)


def _controls(flow: ood.ScoredFlow) -> Iterable[ood.FlowScore]:
    code_lengths = map(ood.CodeLength, _coders(flow))
    return (
        ood.MeanIntensity(),
        *code_lengths,
        ood.PPCA(),
        ood.NeighbourDistance("pixels"),
        ood.ClusteredGaussians("pixels"),
        *_maps(flow, "levels"),
        *ood.poses(flow),
    )


def _coders(flow: ood.ScoredFlow) -> Iterable[str]:
    """Coders of the flow's images: papers have PNG, the lists one that codes better."""
    return () if flow.shape[-1] not in (1, 3) else ("png", ood.CodeLength().coder)


def _combined(flow: ood.ScoredFlow) -> Iterable[Row]:
    poses, encoder = ood.poses(flow), encoder_scores(flow)
    lists = (
        (BOTH, ood.v1(flow), False),
        (FLOW, ood.flow_only(flow), False),
        (PIXELS, ood.no_flow(flow), True),
        (f"{BOTH} and poses", ood.v1(flow) + poses, False),
        (f"{PIXELS} with poses", ood.no_flow(flow) + poses, True),
        (f"{BOTH} and {ENCODER}", encoder and ood.v1(flow) + encoder, False),
        (f"{PIXELS} with {ENCODER}", encoder and ood.no_flow(flow) + encoder, True),
    )
    for name, scores, control in lists:
        for method, label in METHODS.items():
            if not scores:
                continue
            combined = ood.Combined(scores, method, label=f"{name}, {label}")
            yield Row(combined, control, told=TURNED if "poses" in name else ())
