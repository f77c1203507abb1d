"""The images of `federated`: what clients train on, and what they are asked about."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from experiments.core.data_identity import keep_data, of_sets
from experiments.core.set_names import ood_names
from experiments.core.systems import check_alike, images, labels_of
from flowjax_ood.data.sets import ImageSet
from flowjax_ood.interface.errors import UserError


@dataclass(frozen=True, eq=False)
class Images:
    """`train` and `test` with labels of the same classes; `outliers` by name."""

    train: ImageSet
    test: ImageSet
    outliers: dict[str, ImageSet]

    @property
    def others(self) -> dict[str, np.ndarray]:
        """Images of the outliers, by name."""
        return {name: found.images for name, found in self.outliers.items()}

    def keep(self, workdir: Path) -> None:
        """Write data.json, or raise UserError where a run began with other images."""
        arrays = {"labels": labels_of(self.train)}
        arrays |= {"test images": self.test.images, "test labels": labels_of(self.test)}
        arrays |= of_sets(self.others)
        keep_data(self.train, workdir, None, **arrays)


def load(config: ConfigDict) -> Images:
    """Load all sets of a config; UserError for those that cannot be measured.

    All are of one shape, and of every class there are training and test images.
    """
    data = config.data
    train = images(config, data.train, data.limit_train)
    test = images(config, data.test, data.limit_test)
    others = {spec: images(config, spec, data.limit_test) for spec in data.ood}
    labelled = {data.train: train, data.test: test}
    check_alike(labelled | others, labelled)
    if absent := np.setdiff1d(labels_of(train), labels_of(test)).tolist():
        raise UserError(
            f"{data.test} has no image of class {absent[0]}, which {data.train} has: "
            "clients of that class could not be tested; set config.data.limit_test to "
            "more, or to 0, which is all"
        )
    names = ood_names(data.test, data.ood)
    return Images(train, test, dict(zip(names, others.values(), strict=True)))
