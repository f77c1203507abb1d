"""A heat map of AUROC: a row for each score, a column for each kind of outlier."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from flowjax_ood.figures import layout, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELL = (0.44, 0.3)  # inches
# of the columns that sum up a group
MEAN, WORST = "mean", "worst"
GAP = 0.3  # between groups, of a cell


def auroc_heat_map(
    values: Mapping[str, Mapping[str, float]],
    groups: Mapping[str, Sequence[str]],
    *,
    marked: Collection[str] = (),
    aside: Mapping[str, Collection[str]] | None = None,
    stacked: bool = False,
    title: str | None = None,
    caption: str | None = None,
) -> Figure:
    """Draw AUROC as colours and numbers, groups of columns side by side or `stacked`.

    Each group begins with the mean and the worst of its kinds that are not `aside`.
    Blue is above 0.5, red below.

    Args:
        values: `{score: {kind: AUROC}}`; rows are drawn in this order.
        groups: `{group: kinds}`, all of which every score has.
        marked: scores whose names are in italics.
        aside: `{score: kinds}` that do not count for that score's mean and worst, such
            as kinds that it is made of: in brackets, without colour.
        stacked: groups below each other, for pages.
        title: above all.
        caption: below all.

    Raises:
        ValueError: no scores or kinds, a kind that a score does not have, numbers that
            are not in [0, 1], and a group of which all kinds are aside.
    """
    aside = aside or {}
    kinds = [kind for group in groups.values() for kind in group]
    if not values or not kinds or not all(groups.values()):
        raise ValueError("a heat map needs scores, and kinds in every group; got none")
    for score, row in values.items():
        if missing := [kind for kind in kinds if kind not in row]:
            raise ValueError(f"{score} has no value of {', '.join(missing)}")
        wrong = [row[kind] for kind in kinds if not 0 <= row[kind] <= 1]
        if wrong:
            raise ValueError(f"{score} has an AUROC of {wrong[0]}: not in [0, 1]")
        for group, own in groups.items():
            if set(own) <= set(aside.get(score, ())):
                raise ValueError(f"{score} has all kinds of {group!r} aside: no mean")
    tables = {
        group: np.ma.array(
            [[row[kind] for kind in own] for row in values.values()],
            mask=[[kind in aside.get(score, ()) for kind in own] for score in values],
        )
        for group, own in groups.items()
    }
    widths = [len(own) + 2 for own in groups.values()]
    names = 0.075 * max(map(len, values)) + 0.3
    if stacked:
        tall = (CELL[1] * len(values) + 1.5) * len(groups) + 0.6
        figure = layout.new_figure(CELL[0] * (max(widths) + GAP) + names, tall)
        grid = figure.subplots(len(groups), 1, squeeze=False)[:, 0]
    else:
        wide = CELL[0] * (sum(widths) + GAP * len(groups)) + names
        figure = layout.new_figure(wide, CELL[1] * len(values) + 1.9)
        grid = figure.subplots(1, len(groups), squeeze=False, width_ratios=widths)[0]
    for number, (axes, (group, own)) in enumerate(zip(grid, groups.items())):
        table = tables[group]
        summed = np.column_stack([table.mean(1), table.min(1)])
        _group(axes, np.ma.column_stack([summed, table]), [MEAN, WORST, *own])
        style.title(axes, group, fontweight="bold")
        axes.set_yticks([])
        if stacked:
            # cells of one width
            axes.set_xlim(-0.5, max(widths) - 0.5)
        if stacked or number == 0:
            axes.set_yticks(range(len(values)), list(values), fontsize=style.SMALL)
            for label in axes.get_yticklabels():
                if label.get_text() in marked:
                    label.set_fontstyle("italic")
    return layout.frame(figure, title, caption=caption)


def _group(axes, table: np.ma.MaskedArray, columns: Sequence[str]) -> None:
    """Draw one group; what is masked is aside."""
    axes.imshow(table, cmap="RdBu", vmin=0, vmax=1, aspect="auto")
    labels = [column.replace("_", " ") for column in columns]
    axes.set_xticks(
        range(len(labels)), labels, rotation=60, ha="right", fontsize=style.SMALL
    )
    for label in axes.get_xticklabels()[:2]:
        label.set_fontweight("bold")
    axes.tick_params(length=0, colors=style.INK)
    axes.spines[:].set_visible(False)
    # what sums up stands apart
    axes.axvline(1.5, color="white", lw=3)
    masked = np.ma.getmaskarray(table)
    for (row, column), value in np.ndenumerate(table.data):
        aside = masked[row, column]
        dark = abs(value - 0.5) > 0.33 and not aside
        # two digits and no leading zero, so that cells may be narrow
        number = f"{value:.2f}".lstrip("0")
        axes.text(
            column,
            row,
            f"({number})" if aside else number,
            ha="center",
            va="center",
            fontsize=9,
            color="white" if dark else style.INK,
            fontweight="bold" if column < 2 else "normal",
        )
