"""The test images corrupted, as OOD sets: 19 kinds at 5 severities."""

import numpy as np
from ml_collections import ConfigDict

from experiments.core.score_cache import Scored
from experiments.core.sets import Sets
from flowjax_ood import ood
from flowjax_ood.data.corruptions import corrupt, corruptions_for
from flowjax_ood.interface.errors import user_errors

# all kinds there are for such images
ALL = "all"


def corrupted_sets(config: ConfigDict, sets: Sets, tests: dict) -> dict:
    """Corrupt the first images tested: `{(kind, severity): uint8 [N, H, W, C]}`.

    Raises UserError for what `corrupt` refuses: other kinds and severities.
    """
    kinds = tuple(config.detect.corrupted)
    if kinds == (ALL,):
        kinds = corruptions_for(sets.train.events.shape[-1])
    clean = tests[sets.test.name][: config.detect.corrupted_images or None]
    with user_errors("config.detect", ValueError):
        return {
            (kind, severity): corrupt(clean, kind, severity, config.seed)
            for kind in kinds
            for severity in severities(config)
        }


def severities(config: ConfigDict) -> list[int]:
    """Sort those of a config, each once."""
    return sorted(set(config.detect.severities))


def set_name(kind: str, severity: int) -> str:
    """Name a corrupted set, as its scores are kept."""
    return f"{kind} {severity}"


def auroc_by_severity(
    runs: dict[tuple[str, str], list[list[Scored]]], corrupted, id_name: str
) -> dict[str, dict[str, list[float]]]:
    """Compute `{detector: {kind: AUROC at every severity}}`, means over networks.

    `runs`: of every detector, the scores on each network, those that were scored on
    `corrupted`, `(kind, severity)` pairs. The clean images tested are in-distribution.
    """
    areas: dict[str, dict[str, list[float]]] = {}
    names = {pair: set_name(*pair) for pair in corrupted}
    for (detector, _), networks in runs.items():
        scores = [run.scores for network in networks for run in network]
        scores = [s for s in scores if s.keys() >= set(names.values())]
        for (kind, _), name in names.items() if scores else ():
            mean = np.mean([ood.auroc(s[id_name], s[name]).value for s in scores])
            areas.setdefault(detector, {}).setdefault(kind, []).append(float(mean))
    return areas
