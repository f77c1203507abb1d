"""Heat maps of what `scores` found: of all scores, and of a few for a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiments.core.score_names import SHORT
from flowjax_ood import figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPTION = (
    "In-distribution images score higher: 1 is perfect, 0.5 chance, below it outliers "
    "are preferred. Controls, in italics, have no flow. Kinds that a score is made of, "
    "in brackets, do not count for its mean and worst."
)


def short_rows(results: dict) -> list[dict]:
    """The rows of log p(x) and of what may replace it, log p(x) first."""
    rows = {row["score"]: row for row in results["rows"]}
    shown = [rows[name] for name in SHORT if name in rows]
    return shown or [*rows.values()][: len(SHORT)]


def whole(results: dict) -> Figure:
    """Draw every score on every kind of outlier, but for those there to be combined."""
    rows = [row for row in results["rows"] if not row["part"]]
    others = " Statistics that are there to be combined are in the tables."
    return _heat_map(
        results,
        rows,
        title="AUROC of every score on every kind of outlier",
        caption=CAPTION + others,
    )


def summary(results: dict) -> Figure:
    """Draw the few rows of the terminal on every kind, narrow enough for a page."""
    return _heat_map(
        results,
        short_rows(results),
        stacked=True,
        title="AUROC on every kind of outlier",
        caption=CAPTION,
    )


def _heat_map(results: dict, rows: Sequence[dict], **options) -> Figure:
    return figures.auroc_heat_map(
        {r["score"]: {k: a["auroc"] for k, a in r["kinds"].items()} for r in rows},
        results["blocks"],
        marked=[row["score"] for row in rows if row["control"]],
        aside={row["score"]: row["told"] for row in rows},
        **options,
    )
