"""Outlier Exposure as a row: networks trained further, to be unsure of outliers."""

from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.core import score_cache
from experiments.core.loaders import load_images
from experiments.core.negatives import count_common
from experiments.core.score_cache import Scored
from experiments.core.sets import Sets
from experiments.detect import detectors, networks, scores, table
from flowjax_ood import ood
from flowjax_ood.data.outliers.images import pseudo_outliers
from flowjax_ood.interface.errors import UserError, user_errors
from flowjax_ood.ood.network import Network

NAME = "Outlier Exposure"
PSEUDO = "pseudo"


def outliers(config: ConfigDict, sets: Sets) -> np.ndarray | None:
    """Load or make the outliers of `exposure.source`; None where it is "".

    Raises UserError for a set that cannot be read, has images of another shape, or is
    one of those tested.
    """
    c = config.exposure
    if not c.source or not detectors.wanted(config, NAME):
        return None
    if c.source == PSEUDO:
        # other streams than those that settings are chosen by
        return pseudo_outliers(sets.train.events, config.seed + 1)[0]
    own, source = config.data, c.place or config.data.source
    path = c.path if c.place else c.path or own.path
    with user_errors("config.exposure"):
        images = load_images(config, c.source, 0, source, path).images
    if images.shape[1:] != sets.train.events.shape[1:]:
        raise UserError(
            f"the outliers {c.source} are of shape {images.shape[1:]}, the training "
            f"images {sets.train.events.shape[1:]}; set config.data.image_size or "
            "config.data.channels"
        )
    for name, tested in sets.scored.items():
        if seen := count_common(tested.events, images):
            raise UserError(
                f"{seen} images of {name}, which is tested, are among the outliers "
                f"{c.source} of config.exposure.source: detection would be of what the "
                "network was exposed to; name another set"
            )
    return images


def exposed_network(
    config: ConfigDict,
    sets: Sets,
    workdir: Path,
    network: Network,
    outliers: np.ndarray,
    label: str,
) -> tuple[Network, dict]:
    """Fine-tune a trained network with outliers: `(network, facts of the training)`.

    `workdir` is that of the network; the fine-tuning's is next to it.
    """
    module, variables, facts = networks.train_classifier(
        config,
        workdir.with_name(f"{workdir.name}_exposed"),
        sets,
        label,
        outliers=outliers,
        start=jax.device_get(network.variables),
    )
    return networks.network_on_all_devices(module, variables), facts


def exposed_run(
    config: ConfigDict, network: Network, facts: dict, tests: dict, directory: Path
) -> Scored:
    """Score by MSP of a network fine-tuned with outliers, kept in `directory`."""
    size, source = config.eval.batch_size, config.exposure.source
    of = "made outliers" if source == PSEUDO else f"outliers ({source})"

    def compute():
        fitted = ood.MSP().fit(network)
        return scores.timed(
            fitted,
            tests,
            size,
            needs=[of, *table.needs(ood.Requires(retraining=True))],
            chosen={"weight": config.exposure.weight, "steps": facts["steps"]},
            fit_seconds=facts["train_seconds"],
        )

    key = score_cache.digest(network.variables, tests, [size, source])
    sizes = {n: len(x) for n, x in tests.items()}
    name = f"{NAME} {detectors.NONE}"
    return score_cache.kept(directory, name, key, sizes, compute)
