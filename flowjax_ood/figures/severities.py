"""AUROC of detectors against the severity of a corruption, kind by kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from flowjax_ood.figures import layout, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# after Okabe & Ito and Tol, dark enough for thin lines; markers tell apart what
# colours alone would not in print
LOOKS = (
    ("#0072B2", "o"),
    ("#D55E00", "s"),
    ("#009E73", "^"),
    ("#AA4499", "D"),
    ("#222222", "v"),
    ("#E69F00", "P"),
    ("#56B4E9", "X"),
    ("#8A8A8A", "*"),
)
COLUMNS = 5
MEAN_BACKGROUND = "#F4F4F4"


def plot_auroc_by_severity(
    rows: Mapping[str, Mapping[str, Sequence[float | None]]],
    *,
    id_name: str = "",
    title: str | None = None,
    severities: Sequence[int] | None = None,
) -> Figure:
    """Draw small multiples: the mean over kinds, then a panel for each corruption.

    Colours follow the order of `rows`; the key is sorted by the mean over everything.

    Args:
        rows: `{detector: {kind: AUROC at severity 1, 2, ...}}`, the clean set being
            in-distribution and its corrupted copy out-of-distribution: 0.5 means that
            the detector does not see the corruption, and less that it takes corrupted
            images for cleaner than clean ones. Up to 8 detectors, all with the same
            kinds and severities. None or NaN where a value is missing; a mean with a
            missing value is missing.
        id_name: The clean set, named in the title.
        title: By default the question that the figure answers.
        severities: Those of the values, rising; by default 1, 2, ...
    """
    values = _checked(rows)
    kinds = list(next(iter(rows.values())))
    count = next(iter(values.values())).shape[1]
    at = np.arange(1, count + 1) if severities is None else np.asarray(severities)
    if at.shape != (count,) or np.any(np.diff(at) <= 0):
        raise ValueError(f"need {count} rising severities, got {severities}")
    looks = {
        name: {"color": color, "marker": marker}
        for name, (color, marker) in zip(values, LOOKS)
    }

    columns = min(COLUMNS, len(kinds) + 2)
    lines = -(-(len(kinds) + 1) // columns)
    # the mean is twice as wide where that takes no further line
    wide = lines * columns >= len(kinds) + 2
    figure = layout.new_figure(max(0.6 + 2.25 * columns, 7.0), 0.4 + 1.95 * lines)
    cells = figure.add_gridspec(lines, columns)
    means = {name: v.mean(axis=0) for name, v in values.items()}
    axes = figure.add_subplot(cells[0, : 1 + wide])
    axes.set_facecolor(MEAN_BACKGROUND)
    _panel(axes, at, means, looks, f"mean of {len(kinds)} kinds", heavy=True)
    for index, kind in enumerate(kinds):
        axes = figure.add_subplot(cells[divmod(index + 1 + wide, columns)])
        shown = {name: v[index] for name, v in values.items()}
        _panel(axes, at, shown, looks, kind.replace("_", " "))
    of = f" of {id_name}" if id_name else ""
    return layout.frame(
        figure,
        title or f"Which corruptions{of} does a detector see?",
        key=_key({name: v.mean() for name, v in values.items()}, looks),
        caption="AUROC of clean (in-distribution) against corrupted images; the line "
        "at 0.5 is chance. In the key: mean over all kinds and severities.",
    )


def _panel(axes: Axes, at, shown: Mapping, looks, title: str, heavy=False) -> None:
    """Draw lines `{detector: AUROC [severities]}`; label the outer panels' axes."""
    axes.axhline(0.5, color=style.MUTED, lw=1, zorder=1)
    weight = {"ms": 5, "lw": 2.2} if heavy else {"ms": 3.5, "lw": 1.5}
    for name, line in shown.items():
        look = looks[name] | weight | {"label": name, "zorder": 3}
        axes.plot(at, line, clip_on=False, **look)  # a line along 1 is seen whole
    axes.set(xlim=(at[0] - 0.3, at[-1] + 0.3), ylim=(0, 1), xticks=at)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    style.title(axes, title, fontweight="bold" if heavy else "normal")
    cell = axes.get_subplotspec()
    assert cell is not None  # of a grid
    left, bottom = cell.is_first_col(), cell.is_last_row()
    labels = ("severity" if bottom else "", "AUROC" if left else "")
    style.style_axes(axes, *labels, grid="y")
    axes.tick_params(labelbottom=bottom, labelleft=left)


def _key(overall: Mapping[str, float], looks) -> list:
    """Entries of the key, best first, a missing mean last."""
    entries = {}
    for name in sorted(overall, key=lambda n: -np.nan_to_num(overall[n], nan=-1)):
        mean = "" if np.isnan(overall[name]) else f" {overall[name]:.3f}"
        entries[name + mean] = looks[name] | {"lw": 2.2}
    return layout.line_key(entries)


def _checked(rows) -> dict[str, np.ndarray]:
    """AUROC of each detector, float64 `[kinds, severities]`."""
    if not rows or not all(rows.values()):
        raise ValueError("nothing to draw: no detector, or one without corruptions")
    if len(rows) > len(LOOKS):
        raise ValueError(
            f"{len(rows)} detectors in one figure, but only {len(LOOKS)} can be told "
            f"apart: draw {', '.join(rows)} in several figures"
        )
    first, kinds = next((name, list(kinds)) for name, kinds in rows.items())
    count = len(rows[first][kinds[0]])
    values: dict[str, list[np.ndarray]] = {name: [] for name in rows}
    for name, by_kind in rows.items():
        if set(by_kind) != set(kinds):
            odd = sorted(set(by_kind) ^ set(kinds))
            raise ValueError(
                f"{name!r} and {first!r} must have the same corruptions; only one of "
                f"them has {', '.join(odd)}"
            )
        for kind in kinds:
            line = style.numbers(by_kind[kind], f"AUROC of {name!r} for {kind!r}")
            if len(line) != count:
                raise ValueError(
                    f"{name!r} has {len(line)} severities of {kind!r}, not {count}"
                )
            if np.any((line < 0) | (line > 1)):
                raise ValueError(
                    f"AUROC of {name!r} for {kind!r} must lie in [0, 1], not {line}"
                )
            values[name].append(line)
    return {name: np.array(lines) for name, lines in values.items()}
