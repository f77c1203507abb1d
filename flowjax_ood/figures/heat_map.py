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
    title: str | None = None,
    caption: str | None = None,
) -> Figure:
    """Draw AUROC as colours and numbers, groups of columns side by side.

    Each group begins with the mean and the worst of its kinds. Blue is above 0.5, red
    below.

    Args:
        values: `{score: {kind: AUROC}}`; rows are drawn in this order.
        groups: `{group: kinds}`, all of which every score has.
        marked: scores whose names are in italics.
        title: above all.
        caption: below all.

    Raises:
        ValueError: no scores or kinds, a kind that a score does not have, and numbers
            that are not in [0, 1].
    """
    kinds = [kind for group in groups.values() for kind in group]
    if not values or not kinds or not all(groups.values()):
        raise ValueError("a heat map needs scores, and kinds in every group; got none")
    for score, row in values.items():
        if missing := [kind for kind in kinds if kind not in row]:
            raise ValueError(f"{score} has no value of {', '.join(missing)}")
        wrong = [row[kind] for kind in kinds if not 0 <= row[kind] <= 1]
        if wrong:
            raise ValueError(f"{score} has an AUROC of {wrong[0]}: not in [0, 1]")
    tables = {
        group: np.array([[row[kind] for kind in own] for row in values.values()])
        for group, own in groups.items()
    }
    columns = len(kinds) + (2 + GAP) * len(groups)
    names = 0.075 * max(map(len, values)) + 0.3
    figure = layout.new_figure(CELL[0] * columns + names, CELL[1] * len(values) + 1.9)
    widths = [len(own) + 2 for own in groups.values()]
    grid = figure.subplots(1, len(groups), squeeze=False, width_ratios=widths)[0]
    for number, (axes, (group, own)) in enumerate(zip(grid, groups.items())):
        table = tables[group]
        table = np.column_stack([table.mean(1), table.min(1), table])
        _group(axes, table, [MEAN, WORST, *own])
        style.title(axes, group, fontweight="bold")
        axes.set_yticks([])
        if number == 0:
            axes.set_yticks(range(len(values)), list(values), fontsize=style.SMALL)
            for label in axes.get_yticklabels():
                if label.get_text() in marked:
                    label.set_fontstyle("italic")
    return layout.frame(figure, title, caption=caption)


def _group(axes, table: np.ndarray, columns: Sequence[str]) -> None:
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
    for (row, column), value in np.ndenumerate(table):
        dark = abs(value - 0.5) > 0.33
        axes.text(
            column,
            row,
            # two digits and no leading zero, so that cells may be narrow
            f"{value:.2f}".lstrip("0"),
            ha="center",
            va="center",
            fontsize=9,
            color="white" if dark else style.INK,
            fontweight="bold" if column < 2 else "normal",
        )
