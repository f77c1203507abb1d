"""Every figure of the library in one place, and how it becomes a PNG.

All functions take plain numpy arrays and return a `matplotlib.figure.Figure`.
Matplotlib is imported when the first figure is drawn, not before.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from flowjax_ood.analysis.ablation_figures import ablation_rows, bottleneck_curves
from flowjax_ood.analysis.atomic import write_bytes
from flowjax_ood.analysis.coupling_figures import coupling_panels
from flowjax_ood.analysis.curve_figures import roc_curves, training_curves
from flowjax_ood.analysis.latent_figures import latent_panels
from flowjax_ood.analysis.likelihood_figures import (
    likelihood_histograms,
    split_likelihood,
)
from flowjax_ood.analysis.sample_figures import sample_comparison, sample_grid
from flowjax_ood.analysis.sample_groups import sample_groups
from flowjax_ood.analysis.style import DPI, FLOW_COLORS, ID_COLOR, OOD_COLORS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


def png_bytes(figure: Figure, dpi: int = DPI) -> bytes:
    """The figure as a PNG file; equal figures give equal bytes.

    The size in pixels is the figure's size in inches times `dpi`. The name and
    version of the writing software are left out.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def save(figure: Figure, path: str | os.PathLike, dpi: int = DPI) -> Path:
    """Write the figure to `path` (`*.png`) in one atomic step and return the path."""
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"figures are saved as PNG: {path} should end in .png")
    return write_bytes(path, png_bytes(figure, dpi))
