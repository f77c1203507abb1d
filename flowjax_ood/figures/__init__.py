"""Every figure of the library: numbers in, picture out.

All functions take plain numpy arrays and return a `matplotlib.figure.Figure`, which
`save` writes as a PNG. Matplotlib is imported when the first figure is drawn, not
before.
"""

from __future__ import annotations

from flowjax_ood.figures import detectors
from flowjax_ood.figures.ablations import ablation_rows, bottleneck_curves
from flowjax_ood.figures.clients import client_panels
from flowjax_ood.figures.coadaptation import coadaptation_panels
from flowjax_ood.figures.couplings import coupling_pages, coupling_panels
from flowjax_ood.figures.curves import roc_curves, training_curves
from flowjax_ood.figures.decisions import decision_panels
from flowjax_ood.figures.depth import depth_profiles
from flowjax_ood.figures.detectors import layer_analysis, score_histograms
from flowjax_ood.figures.drift import drift_panels
from flowjax_ood.figures.generations import flow_generations
from flowjax_ood.figures.heat_map import auroc_heat_map
from flowjax_ood.figures.latents import latent_panels
from flowjax_ood.figures.layout import png_bytes, save
from flowjax_ood.figures.light_fields import light_field_panels
from flowjax_ood.figures.likelihood_map import likelihood_map_panels
from flowjax_ood.figures.likelihoods import likelihood_histograms, split_likelihood
from flowjax_ood.figures.monitor import monitor_panels
from flowjax_ood.figures.sample_groups import sample_groups
from flowjax_ood.figures.samples import sample_comparison, sample_grid
from flowjax_ood.figures.severities import plot_auroc_by_severity
from flowjax_ood.figures.style import FLOW_COLORS, ID_COLOR, OOD_COLORS
from flowjax_ood.figures.theft import theft_panels

__all__ = [
    "FLOW_COLORS",
    "ID_COLOR",
    "OOD_COLORS",
    "ablation_rows",
    "auroc_heat_map",
    "bottleneck_curves",
    "client_panels",
    "coadaptation_panels",
    "coupling_pages",
    "coupling_panels",
    "decision_panels",
    "depth_profiles",
    "detectors",
    "drift_panels",
    "flow_generations",
    "latent_panels",
    "layer_analysis",
    "light_field_panels",
    "likelihood_histograms",
    "likelihood_map_panels",
    "monitor_panels",
    "plot_auroc_by_severity",
    "png_bytes",
    "roc_curves",
    "sample_comparison",
    "sample_grid",
    "sample_groups",
    "save",
    "score_histograms",
    "split_likelihood",
    "theft_panels",
    "training_curves",
]
