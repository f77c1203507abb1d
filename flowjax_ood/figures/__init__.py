"""Every figure of the library in one place, and how it becomes a PNG.

All functions take plain numpy arrays and return a `matplotlib.figure.Figure`.
Matplotlib is imported when the first figure is drawn, not before.
"""

from __future__ import annotations

from flowjax_ood.figures.ablations import ablation_rows, bottleneck_curves
from flowjax_ood.figures.couplings import coupling_panels
from flowjax_ood.figures.curves import roc_curves, training_curves
from flowjax_ood.figures.latents import latent_panels
from flowjax_ood.figures.layout import png_bytes, save
from flowjax_ood.figures.likelihoods import likelihood_histograms, split_likelihood
from flowjax_ood.figures.sample_groups import sample_groups
from flowjax_ood.figures.samples import sample_comparison, sample_grid
from flowjax_ood.figures.style import FLOW_COLORS, ID_COLOR, OOD_COLORS

__all__ = [
    "FLOW_COLORS",
    "ID_COLOR",
    "OOD_COLORS",
    "ablation_rows",
    "bottleneck_curves",
    "coupling_panels",
    "latent_panels",
    "likelihood_histograms",
    "png_bytes",
    "roc_curves",
    "sample_comparison",
    "sample_grid",
    "sample_groups",
    "save",
    "split_likelihood",
    "training_curves",
]
