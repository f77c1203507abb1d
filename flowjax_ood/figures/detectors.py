"""Histograms of detectors' scores, and of FSSD's distances layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from flowjax_ood.figures import histograms, style
from flowjax_ood.figures.likelihoods import area_under_roc

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = ("MSP", "Energy", "KNN", "ViM", "ODIN", "Mahalanobis", "FSSD", "DICE")
"""Detectors whose scores are worth a panel: one of each kind."""
Panels = Mapping[str, Mapping[str, np.ndarray]]


def score_histograms(panels: Panels, *, id_name: str) -> Figure:
    """Draw scores of every set, a panel a detector: `{detector: {set: scores [N]}}`.

    Right is more in-distribution. Axes are those of each detector, by quantiles; the
    caption counts what lies outside. Raises ValueError where there is nothing to draw.
    """
    return _histograms(
        panels,
        id_name,
        "Scores of detectors, in- and out-of-distribution",
        "score   more in-distribution →",
    )


def layer_analysis(panels: Panels, *, id_name: str, noise: bool = True) -> Figure:
    """Draw distances from the singularity, a panel a layer.

    Each panel names the AUROC of its layer alone. Source: Huang et al. (2021): early
    layers react to low-level statistics, deep ones to what an image shows.

    Args:
        panels: `{layer: {set: distance [N]}}`.
        id_name: The in-distribution set.
        noise: Whether features of noise mark the singularity, or else the mean of those
            of in-distribution inputs: then neither direction is more in-distribution.
    """
    return _histograms(
        panels,
        id_name,
        "FSSD by layer: distance of features from "
        + ("those of noise" if noise else "the in-distribution mean"),
        "distance   more in-distribution →" if noise else "distance",
    )


def _histograms(panels: Panels, id_name: str, title: str, label: str) -> Figure:
    if not panels or any(id_name not in sets for sets in panels.values()):
        raise ValueError(f"nothing to draw, or a panel without the set {id_name!r}")
    values = {
        panel: {n: style.numbers(v, f"scores of {n!r}") for n, v in sets.items()}
        for panel, sets in panels.items()
    }
    colors = style.set_colors(id_name, (n for sets in values.values() for n in sets))
    limits = {p: style.robust_limits(list(sets.values())) for p, sets in values.items()}
    columns = min(4, len(values)) if len(values) != 6 else 3
    figure, grid = histograms.panel_grid(len(values), columns, 3.9, 3.2)
    for axes, (panel, sets) in zip(grid, values.items()):
        histograms.draw_histograms(axes, sets, limits[panel], colors, id_name, label)
        # numbers of many digits would run into each other
        axes.locator_params(axis="x", nbins=4)
        finding = ", ".join(
            f"{n}: AUROC {area_under_roc(sets[id_name], v):.3f}"
            for n, v in sets.items()
            if n != id_name
        )
        histograms.title_panel(axes, panel, finding)
    outside = histograms.count_outside(values, limits)
    return histograms.frame(figure, title, colors, id_name, f"{outside}.")
