"""Predictions of couplings under interventions between them (paper, Sec. 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from flowjax_ood.figures import layout, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# of `coadaptation.INTERVENTIONS`
LABELS = {
    "untouched": "untouched",
    "half_swapped": "rewritten half\nof another image",
    "half_noise": "rewritten half\nis noise",
    "code_swapped": "code of another\nimage, own content",
    "content_swapped": "own code, content\nof another image",
    "unwritten": "own half, as it\nwas before",
}
MEASURES = {
    "r2": "R² of −t",
    "correlation_within": "correlation of −t with hidden values\nbeyond the mean image",
}
POINT = {"marker": "o", "ls": "", "ms": 8, "mew": 1.8}


def coadaptation_panels(
    sets: Mapping[str, Mapping[str, Sequence[Mapping]]],
    *,
    id_name: str,
    depth: int = 1,
    title: str | None = None,
) -> Figure:
    """Draw predictions of the two couplings after each intervention, ID and OOD.

    Filled: prediction of the image itself; hollow: of its donor.

    Args:
        sets: `{set: results of analysis.coadaptation.coadaptation}`.
        id_name: The set the flow was trained on.
        depth: As given to `coadaptation`; couplings `depth + 1` and `depth + 2` (where
            there is such a coupling) are shown.
        title: By default the question that the figure answers.
    """
    if id_name not in sets:
        raise ValueError(f"no in-distribution set {id_name!r} in {sorted(sets)}")
    count = len(sets[id_name]["untouched"])
    shown = range(depth, min(depth + 2, count))
    if not shown:
        raise ValueError(f"no coupling after depth {depth}: there are {count}")
    colors = style.set_colors(id_name, sets)
    figure = layout.new_figure(9.6, 3.6 * len(shown) + 0.3)
    grid = figure.subplots(len(shown), len(MEASURES), squeeze=False, sharey=True)
    offsets = {name: 0.3 * (i - (len(sets) - 1) / 2) for i, name in enumerate(sets)}
    for row, layer in zip(grid, shown):
        for axes, (measure, label) in zip(row, MEASURES.items()):
            for name, results in sets.items():
                for y, act in enumerate(LABELS):
                    at, fills = (
                        y + offsets[name],
                        {"donor": "white", "own": colors[name]},
                    )
                    for (who, fill), dy in zip(fills.items(), (0.06, -0.06)):
                        value = (results[act][layer][who] or {}).get(measure)
                        if value is not None:
                            look = POINT | {"mec": colors[name], "mfc": fill}
                            axes.plot(value, at + dy, **look)
            axes.axvline(0, color=style.MUTED, lw=1)
            style.style_axes(axes, label if layer == shown[-1] else "", grid="x")
            style.title(axes, f"coupling {layer + 1}", loc="left")
        row[0].set_yticks(range(len(LABELS)), list(LABELS.values()))
        row[0].set_ylim(len(LABELS) - 0.5, -0.5)
    title = title or f"What coupling {depth + 1} reads: a code, or the content?"
    looks = {
        style.set_label(name, id_name): POINT | {"color": color}
        for name, color in colors.items()
    }
    looks["against its donor"] = POINT | {"mec": style.MUTED, "mfc": "white"}
    return layout.frame(figure, title, key=layout.line_key(looks))
