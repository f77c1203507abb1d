"""Which scores the table has rows of."""

from collections.abc import Iterable
from typing import NamedTuple

from flowjax_ood import ood

# ways to combine scores; all of them at once would be chosen among by their results
METHODS = {"rank_gauss": "rank-Gauss", "bonferroni": "Bonferroni"}


class Row(NamedTuple):
    """A score, and whether it is a control, which does not look at the flow."""

    score: ood.FlowScore
    control: bool = False

    @property
    def name(self) -> str:
        return self.score.name


def rows(flow: ood.ScoredFlow, expensive: bool = False) -> list[Row]:
    """List the rows for a flow, each name once.

    `expensive`: also those that take many passes an image.
    """
    listed = [
        *map(Row, _of_the_flow(flow)),
        *(Row(score, control=True) for score in _controls(flow)),
        *_combined(flow),
    ]
    if expensive:
        listed += map(Row, _expensive())
    return list({row.name: row for row in listed}.values())


def _of_the_flow(flow: ood.ScoredFlow) -> Iterable[ood.FlowScore]:
    return (
        ood.LogLikelihood(),
        ood.LatentLikelihood(),
        ood.LogDeterminant(),
        ood.ScaleLikelihood(),
        ood.Typicality(),
        ood.SITN(),
        ood.KLODS(),
        *(ood.InputComplexity(coder) for coder in _coders(flow)),
        *([ood.ComplexityMixture()] if _coders(flow) else []),
        *(ood.DoSE(density=density) for density in ("kde", "svm", "mixture")),
        *ood.flow_only(flow),
    )


def _controls(flow: ood.ScoredFlow) -> Iterable[ood.FlowScore]:
    code_lengths = map(ood.CodeLength, _coders(flow))
    return ood.MeanIntensity(), ood.PPCA(), *code_lengths, *ood.no_flow(flow)


def _coders(flow: ood.ScoredFlow) -> Iterable[str]:
    """Coders of the flow's images: papers have PNG, the lists one that codes better."""
    return () if flow.shape[-1] not in (1, 3) else ("png", ood.CodeLength().coder)


def _combined(flow: ood.ScoredFlow) -> Iterable[Row]:
    for name, scores, control in (
        ("flow and pixels", ood.v1(flow), False),
        ("flow alone", ood.flow_only(flow), False),
        ("pixels alone", ood.no_flow(flow), True),
    ):
        for method, label in METHODS.items():
            combined = ood.Combined(scores, method, label=f"{name}, {label}")
            yield Row(combined, control)


def _expensive() -> Iterable[ood.FlowScore]:
    return (
        ood.GradientNorms(),
        ood.RaoScore(),
        ood.rao_and_typicality(),
        ood.LikelihoodRegret(),
    )
