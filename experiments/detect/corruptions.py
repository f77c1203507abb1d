"""The test images corrupted, as OOD sets: 19 kinds at 5 severities."""

import numpy as np
from ml_collections import ConfigDict

from experiments.core.errors import user_errors
from experiments.core.sets import Sets
from experiments.detect.score_cache import Scored
from flowjax_ood import ood
from flowjax_ood.data.corruptions import corrupt, corruptions_for

ALL = "all"


def kinds(config: ConfigDict, sets: Sets) -> tuple[str, ...]:
    """The corruptions of a config, `("all",)` being all there are for such images."""
    asked = tuple(config.detect.corrupted)
    if asked == (ALL,):
        return corruptions_for(sets.train.images.shape[-1])
    return asked


def corrupted_sets(config: ConfigDict, sets: Sets, tests: dict) -> dict:
    """`{(kind, severity): [N, ...]}` of the first images tested, uint8.

    Raises UserError for what `corrupt` refuses: other kinds and severities.
    """
    clean = tests[sets.test.name][: config.detect.corrupted_images or None]
    with user_errors("config.detect", ValueError):
        return {
            (kind, severity): corrupt(clean, kind, severity, config.seed)
            for kind in kinds(config, sets)
            for severity in severities(config)
        }


def severities(config: ConfigDict) -> list[int]:
    """Those of a config, rising, each once."""
    return sorted(set(config.detect.severities))


def set_name(kind: str, severity: int) -> str:
    """What the scores of a corrupted set are kept under."""
    return f"{kind} {severity}"


def auroc_by_severity(
    runs: dict[tuple[str, str], list[list[Scored]]], corrupted, id_name: str
) -> dict[str, dict[str, list[float]]]:
    """`{detector: {kind: AUROC at every severity}}`, means over networks.

    `runs`: of every detector, the scores on each network, those that were scored on
    `corrupted`, `(kind, severity)` pairs. The clean images tested are in-distribution.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for (name, _), networks in runs.items():
        scored = [s for run in networks for s in run]
        wanted = {set_name(*pair) for pair in corrupted}
        scored = [s for s in scored if wanted and wanted <= set(s.scores)]
        for kind, severity in corrupted if scored else ():
            areas = [
                ood.auroc(s.scores[id_name], s.scores[set_name(kind, severity)]).value
                for s in scored
            ]
            found.setdefault(name, {}).setdefault(kind, []).append(np.mean(areas))
    return {
        name: {kind: [float(a) for a in values] for kind, values in by_kind.items()}
        for name, by_kind in found.items()
    }
