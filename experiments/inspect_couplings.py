"""Couplings of `inspect`: what they predict, and whether they pass notes."""

import numpy as np

from experiments.inspect_arguments import Options
from experiments.inspect_subject import BATCH, Subject
from flowjax_ood.analysis.coadaptation import coadaptation
from flowjax_ood.analysis.coupling_statistics import coupling_statistics
from flowjax_ood.analysis.couplings import image_maps, record_couplings
from flowjax_ood.analysis.interventions import UnsuitableFlow

DONORS = 100  # images that swap parts with each other


def couplings(s: Subject) -> tuple[list[dict], dict[str, list[dict]]]:
    """`(what each coupling is, {set: its measures})`."""
    layers, measured = [], {}
    for name in s.sets:
        stats = coupling_statistics(
            s.flow, s.variables, s.batches(name, BATCH, "couplings")
        )
        layers = [layer.describe() for layer in stats]
        measured[name] = [layer.measures() for layer in stats]
    return layers, measured


def coupling_rows(s: Subject, options: Options) -> list[tuple]:
    """Rows of `coupling_pages`: the first image asked for, of every set."""
    rows, index = [], options.images[0]
    for name, image_set in s.whole.items():
        x = s.draw(name, np.array([index]))
        maps = image_maps(s.flow, record_couplings(s.flow, s.variables, x))
        shown = [{k: m[k][0] for k in ("-t", "s")} for m in maps]
        rows.append((name, name == s.id_name, image_set.images[index], shown))
    return rows


def coadapted(s: Subject) -> tuple[dict[str, dict] | None, str]:
    """`({set: what coadaptation gives}, "")`, or None and why it cannot be measured."""
    size = min(DONORS, *map(len, s.sets.values()))
    found = {}
    for name in s.sets:
        batches = (x for x, _ in s.batches(name, size, "co-adaptation", full=True))
        try:
            found[name] = coadaptation(
                s.flow, s.variables, batches, seed=s.config.eval.seed
            )
        except UnsuitableFlow as why:
            return None, str(why)
    return found, ""
