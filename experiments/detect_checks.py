"""What `detect` refuses before it trains: what could not be detected afterwards."""

import importlib.util

import numpy as np
from ml_collections import ConfigDict

from experiments import detect_exposure, detect_rows, detectors
from experiments.config import UserError
from experiments.sets import Sets


def check(config: ConfigDict, sets: Sets) -> None:
    """Raise UserError for sets too small, unknown rows, and what is not installed."""
    size = config.detect.validation
    for one in (sets.test, *sets.ood.values()):
        if len(one) <= size:
            raise UserError(
                f"config.detect.validation takes {size} images of {one.name}, which has"
                f" {len(one)}: set it to less"
            )
    if len(sets.train) < size:
        raise UserError(
            f"config.detect.validation is {size}, and there are {len(sets.train)} "
            "training images to make outliers of: set it to less"
        )
    try:
        detectors.made_outliers(
            sets, sets.inputs(sets.train, np.arange(min(16, size))), config.seed
        )
    except ValueError as error:
        raise UserError(f"no outliers can be made of {sets.train.name}: {error}") from (
            error
        )
    _check_names(config)


def _check_names(config: ConfigDict) -> None:
    c = config.detect
    chosen = [d.name for d in detectors.chosen(config, 1)]
    known = [d.name for d in detectors.plain(config, ("a layer",), 1)] + chosen
    known += [detect_rows.ENSEMBLE] if c.networks > 1 else []
    known += [detect_exposure.NAME] if config.exposure.source else []
    unknown = [n for n in c.detectors if n not in known]
    if unknown:
        raise UserError(
            f"config.detect.detectors: there is no {', '.join(map(repr, unknown))} in "
            f"this config; known: {'; '.join(sorted(set(known)))}"
        )
    logistic = not c.detectors or set(chosen) & set(c.detectors)
    if logistic and importlib.util.find_spec("sklearn") is None:
        raise UserError(
            "weights by logistic regression need scikit-learn: "
            'pip install "flowjax_ood[detect]", or name other config.detect.detectors'
        )
