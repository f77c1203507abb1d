"""Histograms of likelihood, in- against out-of-distribution (paper, Fig. 1)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flowjax_ood.figures import histograms, layout, style
from flowjax_ood.figures.histograms import FarAxis, far_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def likelihood_histograms(
    panels: Mapping[str, Mapping[str, np.ndarray]],
    *,
    id_name: str,
    auroc: Mapping[str, Mapping[str, tuple[float, float, float]]] | None = None,
    title: str | None = None,
    unit: str = "bits/dim",
) -> Figure:
    """Draw how likely each flow finds each set: a panel a flow, right = more likely.

    The x axis is common to all panels if their ranges are comparable. Its limits
    follow quantiles (`style.robust_limits`); a caption says how many images lie
    outside, and how many of these are not a number.

    Args:
        panels: `{flow: {set: bits_per_dim [N]}}`. What is drawn is the log-likelihood,
            `-bits_per_dim`, as a density over all N images, shown or not.
        id_name: The set the flows were trained on, present in every panel.
        auroc: `{flow: {OOD set: (value, low, high)}}` with the ID set as the positive
            class and log-likelihood as the score; `low` and `high` bound its confidence
            interval. Written into the panels.
        title: Above everything; by default none, the panels say what they show.
        unit: "bits/dim"; or "nats" for vectors, and then `panels` has their
            log-likelihoods, `{flow: {set: log p(x) [N]}}`. Where sets lie far from the
            ID set, the x axis is compressed away from it (`histograms.far_axis`).
    """
    _check_panels(panels, id_name)
    style.check_unit(unit)
    sign, quantity = (1, "log-likelihood") if unit == "nats" else (-1, "bits_per_dim")
    values = {
        flow: {
            name: sign * style.numbers(v, f"{quantity} of {name!r} ({flow})")
            for name, v in sets.items()
        }
        for flow, sets in panels.items()
    }
    auroc = auroc or {}
    _check_auroc(auroc, panels, id_name)
    colors = style.set_colors(id_name, (n for sets in values.values() for n in sets))
    drawn, far, limits = _on_axes(values, id_name, unit)

    columns = min(len(values), 3)
    size = (6.4 if columns == 1 else 4.8, 3.7)
    figure, grid = histograms.panel_grid(len(values), columns, *size)
    look = (colors, id_name, f"log-likelihood ({unit})   more likely →")
    for axes, (flow, sets) in zip(grid, values.items()):
        histograms.draw_histograms(axes, drawn[flow], limits[flow], *look)
        if far[flow]:
            far[flow].label(axes)
        ranking = {
            name: auroc[flow][name][0]
            if flow in auroc
            else area_under_roc(sets[id_name], v)
            for name, v in sets.items()
            if name != id_name
        }
        histograms.title_panel(axes, flow, _finding(ranking, id_name))
        if auroc.get(flow):
            _write_auroc(axes, auroc[flow], colors)
    outside = histograms.count_outside(drawn, limits)
    note = f"{outside}.{_note(far, id_name)}"
    return histograms.frame(figure, title, colors, id_name, note)


def split_likelihood(
    panels: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]],
    *,
    id_name: str,
    dims: int,
    title: str = "The two terms of log p(x): density of the latent, and volume change",
    unit: str = "bits/dim",
) -> Figure:
    """Draw log p(z) and the log-determinant apart: a column a flow, two rows.

    Args:
        panels: `{flow: {set: (log_pz [N], logdet [N])}}`, both in nats.
        id_name: The set the flows were trained on, present in every panel.
        dims: Dimensions D of an image; both terms are shown in bits/dim, that is
            divided by `D ln 2`. Their sum is the density on [0, 1)^D: 8 bits/dim above
            the log-likelihood of the discrete image.
        title: Above everything.
        unit: "bits/dim"; or "nats", on axes as those of `likelihood_histograms`.
    """
    _check_panels(panels, id_name)
    style.check_unit(unit)
    if dims < 1:
        raise ValueError(f"dims is the number of dimensions of an image, not {dims}")
    terms = ("log p(z)", "log |det dz/dx|")
    values: list[dict[str, dict[str, np.ndarray]]] = [{}, {}]
    for flow, sets in panels.items():
        for name, pair in sets.items():
            nats = [
                style.numbers(v, f"{term} of {name!r} ({flow})")
                for term, v in zip(terms, pair, strict=True)
            ]
            if nats[0].shape != nats[1].shape:
                raise ValueError(
                    f"log_pz {nats[0].shape} and logdet {nats[1].shape} of {name!r} "
                    f"({flow}) must describe the same images"
                )
            for term, v in zip(values, nats):
                scale = dims * math.log(2) if unit == "bits/dim" else 1.0
                term.setdefault(flow, {})[name] = v / scale
    colors = style.set_colors(id_name, (n for sets in panels.values() for n in sets))

    figure = layout.new_figure(6.4 if len(panels) == 1 else 4.8 * len(panels), 6.0)
    grid = figure.subplots(2, len(panels), squeeze=False)
    captions, note = [], ""
    for row, term, label in zip(grid, values, terms):
        drawn, far, limits = _on_axes(term, id_name, unit)
        look = (colors, id_name, f"{label} ({unit})")
        for axes, (flow, sets) in zip(row, drawn.items()):
            histograms.draw_histograms(axes, sets, limits[flow], *look)
            if far[flow]:
                far[flow].label(axes)
        captions.append(f"of {label}, {histograms.count_outside(drawn, limits)}")
        note = note or _note(far, id_name)
    for axes, flow in zip(grid[0], panels):
        histograms.title_panel(axes, flow)
    note = f"{'; '.join(captions)}.{note}"
    return histograms.frame(figure, title, colors, id_name, note)


def _check_panels(panels: Mapping[str, Mapping], id_name: str) -> None:
    if not panels:
        raise ValueError("no flow to draw: panels is empty")
    for flow, sets in panels.items():
        if id_name not in sets:
            raise ValueError(
                f"flow {flow!r} has no in-distribution set {id_name!r}; "
                f"its sets are {sorted(sets)}"
            )


def _on_axes(values: Mapping, id_name: str, unit: str) -> tuple[dict, dict, dict]:
    """Return `(values as drawn, far axis or None, limits)`, each by flow."""
    far: dict[str, FarAxis | None] = dict.fromkeys(values)
    if unit == "nats":
        far = {f: far_axis(sets[id_name], sets.values()) for f, sets in values.items()}
    drawn = {
        flow: {n: axis.to(v) if (axis := far[flow]) else v for n, v in sets.items()}
        for flow, sets in values.items()
    }
    limits = {f: style.robust_limits(list(s.values())) for f, s in drawn.items()}
    if not any(far.values()):
        limits = histograms.common_limits(limits)
    return drawn, far, limits


def _note(far: Mapping, id_name: str) -> str:
    if not any(far.values()):
        return ""
    return f" The x axis is compressed away from {id_name}; densities are along it."


def _check_auroc(auroc: Mapping, panels: Mapping, id_name: str) -> None:
    for flow, sets in auroc.items():
        expected = set(panels.get(flow, ())) - {id_name}
        if set(sets) != expected:
            raise ValueError(
                f"auroc of flow {flow!r} names {sorted(sets)}; "
                f"its OOD sets are {sorted(expected)}"
            )
        for name, (value, low, high) in sets.items():
            if not 0 <= low <= value <= high <= 1:
                raise ValueError(
                    f"auroc of {name!r} ({flow}) must be (value, low, high) with "
                    f"0 <= low <= value <= high <= 1, not {(value, low, high)}"
                )


def area_under_roc(id_values: np.ndarray, ood_values: np.ndarray) -> float:
    """`P(ID > OOD) + P(ID = OOD) / 2`; what is not a number is the least likely."""
    from flowjax_ood.ood.metrics import auroc  # which brings JAX

    ranked = (np.where(np.isnan(v), -np.inf, v) for v in (id_values, ood_values))
    return auroc(*ranked).value


def _finding(ranking: Mapping[str, float], id_name: str) -> str:
    """Say what a panel shows; within 0.02 of one half no set is ahead."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, auroc in ranking.items():
        tie = abs(auroc - 0.5) <= 0.02
        words = ("as", "as") if tie else ("less" if auroc > 0.5 else "more", "than")
        groups.setdefault(words, []).append(name)
    if not groups:
        return ""
    if len(groups) == 1:
        [((how, than), names)] = groups.items()
        return f"{', '.join(names)} {how} likely {than} {id_name}"
    parts = [f"{', '.join(names)} {how} likely" for (how, _), names in groups.items()]
    return f"next to {id_name}: {', '.join(parts)}"


def _write_auroc(axes: Axes, auroc: Mapping, colors: Mapping) -> None:
    """Write AUROCs into the upper corner where the histograms are lower."""
    # two short lines for each set, or a long one where those would fill the panel
    short = len(auroc) <= 3
    gap, lines, width = ("\n", 2.9, 0.35) if short else (" ", 1.5, 0.6)
    step = lines * style.SMALL  # points
    left, right = _corner_peaks(axes, width)
    share = len(auroc) * step / (72 * 2.4) + 0.04  # of the panel's height
    low, high = axes.get_ylim()
    axes.set_ylim(low, max(high, min(left, right) / (1 - min(share, 0.8))))
    at_left = left <= right
    for line, (name, (value, lower, upper)) in enumerate(auroc.items()):
        style.annotate(
            axes,
            f"AUROC {value:.3f}{gap}[{lower:.3f}, {upper:.3f}]",
            (0.02 if at_left else 0.98, 0.97),
            (0, -step * line),
            ha="left" if at_left else "right",
            va="top",
            color=colors[name],
            fontweight="bold",
        )


def _corner_peaks(axes: Axes, share: float) -> tuple[float, float]:
    """Highest density in the left and in the right `share` of a panel."""
    low, high = axes.get_xlim()
    width = share * (high - low)
    left = right = 0.0
    steps: Sequence[Any] = axes.patches  # those of `Axes.stairs`
    for patch in steps:
        density, edges, _ = patch.get_data()
        left = max(left, density[edges[:-1] < low + width].max(initial=0))
        right = max(right, density[edges[1:] > high - width].max(initial=0))
    return left, right
