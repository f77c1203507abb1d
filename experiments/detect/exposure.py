"""Outlier Exposure as a row: networks trained further, to be unsure of outliers."""

from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.core.errors import UserError, user_errors
from experiments.core.sets import Sets
from experiments.detect import detectors, networks, score_cache, scores, table
from experiments.detect.networks import network_on_all_devices
from experiments.detect.score_cache import Scored
from flowjax_ood import data, ood
from flowjax_ood.data.outliers.images import pseudo_outliers
from flowjax_ood.ood.network import Network

NAME = "Outlier Exposure"
PSEUDO = "pseudo"


def outliers(config: ConfigDict, sets: Sets) -> np.ndarray | None:
    """The outliers of `exposure.source`, as many as images, or None for "".

    Raises UserError for a set that cannot be read, has images of another shape, or is
    one of those tested.
    """
    c = config.exposure
    if not c.source or not scores.wanted(config, NAME):
        return None
    if c.source == PSEUDO:
        # other streams than those that settings are chosen by
        return pseudo_outliers(sets.train.images, config.seed + 1)[0]
    with user_errors("config.exposure"):
        loaded = data.load(
            c.source,
            source=c.place or config.data.source,
            path=(c.path if c.place else c.path or config.data.path) or None,
            image_size=config.data.image_size or None,
            channels=config.data.channels or None,
            seed=config.seed,
        )
    if loaded.images.shape[1:] != sets.train.images.shape[1:]:
        raise UserError(
            f"the outliers {c.source} are of shape {loaded.images.shape[1:]}, the "
            f"training images {sets.train.images.shape[1:]}; set config.data.image_size"
            " or config.data.channels"
        )
    known = {image.tobytes() for image in loaded.images}
    for name, tested in {sets.test.name: sets.test, **sets.ood}.items():
        seen = sum(image.tobytes() in known for image in tested.images)
        if seen:
            raise UserError(
                f"{seen} images of {name}, which is tested, are among the outliers "
                f"{c.source} of config.exposure.source: detection would be of what the "
                "network was told; name another set"
            )
    return loaded.images


def exposed_network(
    config: ConfigDict,
    sets: Sets,
    workdir: Path,
    network: Network,
    outliers: np.ndarray,
    label: str,
) -> tuple[Network, dict]:
    """A trained network fine-tuned with outliers, and facts of that training.

    `workdir` of the network; the fine-tuning's is next to it.
    """
    exposed = workdir.with_name(f"{workdir.name}_exposed")
    start = jax.device_get(network.variables)
    module, variables, facts = networks.train_classifier(
        config, exposed, sets, label, outliers=outliers, start=start
    )
    return network_on_all_devices(module, variables), facts


def exposed_run(
    config: ConfigDict, network: Network, facts: dict, tests: dict, directory: Path
) -> Scored:
    """MSP of a network fine-tuned with outliers, its scores kept in `directory`."""
    batch, source = config.eval.batch_size, config.exposure.source
    of = "made outliers" if source == PSEUDO else f"outliers ({source})"

    def compute():
        fitted = ood.MSP().fit(network)
        return scores.timed(
            fitted,
            tests,
            batch,
            needs=[of, *table.needs(ood.Requires(retraining=True))],
            chosen={"weight": config.exposure.weight, "steps": facts["steps"]},
            fit_seconds=facts["train_seconds"],
        )

    key = score_cache.digest(network.variables, tests, [batch, source])
    return score_cache.kept(directory, f"{NAME} {detectors.NONE}", key, compute)
