"""Which scores the table has rows of."""

from typing import NamedTuple

from flowjax_ood import ood


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
    scores = [
        ood.LogLikelihood(),
        ood.LatentLikelihood(),
        ood.LogDeterminant(),
        ood.ScaleLikelihood(),
        ood.Typicality(),
    ]
    return list({s.name: Row(s) for s in scores}.values())
