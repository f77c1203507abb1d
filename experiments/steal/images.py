"""The images of `steal`: whose are they, and what each side may see.

The owner of the classifier has training images of all classes but one, and tests on
others. The attacker has queries, images of another set, and of two targets also asks
about images like the training images, which the owner does not have. Sets to detect are
seen by nobody.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from experiments.core.data_identity import keep_data, of_sets
from experiments.core.loaders import load_images
from experiments.core.systems import check_alike, labels_of
from experiments.core.systems import images as loaded
from flowjax_ood.data.checks import among
from flowjax_ood.data.corruptions import corrupt
from flowjax_ood.data.outliers.images import KINDS, NOISE, pseudo_outliers
from flowjax_ood.data.random import bits
from flowjax_ood.interface.errors import UserError, user_errors

# Made outliers that are like a set they are tested on are left out: blurred images, and
# noise; and the mean of two images, which is nearly one of them.
MADE = tuple(kind for kind in KINDS if kind not in (*NOISE, "averaged", "blurred"))
# names of sets
CLOTHING, DIGITS, UPPER, MADE_OF_TEST = "test", "digits", "upper digits", "made"
HELD_OUT = "held-out class"


@dataclass(frozen=True, eq=False)
class Images:
    """uint8 `[N, H, W, C]` and labels int `[N]`, of `classes` classes.

    `train`, `test`: the owner's, without the held-out class. `similar`: like `train`,
    and the attacker's. `queries`: the attacker's, with the classes of their own set.
    `hashed`: what the network that chooses members is trained on. `sets`: what is
    tested, by name: `test` first, then outliers.
    """

    classes: int
    train: np.ndarray
    labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    similar: np.ndarray
    queries: np.ndarray
    query_classes: np.ndarray
    hashed: np.ndarray
    hash_labels: np.ndarray
    sets: dict[str, np.ndarray]
    origin: dict[str, str]

    def made(self, seed: int) -> np.ndarray:
        """An outlier of each training image, uint8."""
        return pseudo_outliers(self.train, seed, MADE)[0]

    def upper(self, classes: np.ndarray) -> np.ndarray:
        """Which of these classes are in the upper half of the queries': bool."""
        return classes > np.median(np.unique(self.query_classes))

    def keep(self, workdir: Path) -> None:
        """Write data.json, or raise UserError where a run began with other images."""
        arrays = {
            "labels": self.labels,
            "test labels": self.test_labels,
            "attacker's images": self.similar,
            "queries": self.queries,
            "classes of queries": self.query_classes,
            "images of the hash network": self.hashed,
            "labels of the hash network": self.hash_labels,
        }
        arrays |= of_sets(self.sets)
        keep_data(self.train, workdir, None, **arrays)


def load(config: ConfigDict) -> Images:
    """Load all sets of a config; UserError for those that do not go together."""
    c, d = config.served, config.data
    train = loaded(config, d.train, d.limit_train)
    test = loaded(config, d.test, d.limit_test)
    others = {spec: loaded(config, spec, d.limit_test) for spec in d.ood}
    queries = loaded(config, c.queries, c.limit_queries)
    with user_errors("config.served.hash"):
        hashed = load_images(
            config, c.hash, c.limit_queries, c.hash_source, c.hash_path
        )
    sets = {d.train: train, d.test: test, c.queries: queries, c.hash: hashed}
    # of the first, the upper half of the classes is a set of its own
    check_alike(sets | others, labelled=[*sets, *d.ood[:1]])
    labels, test_labels = labels_of(train), labels_of(test)
    classes = int(labels.max()) + 1
    held = c.held_out_class
    for spec, each in ((d.train, train), (d.test, test)):
        if not (each.labels == held).any() or (each.labels == held).all():
            raise UserError(
                f"config.served.held_out_class is {held}, and of the {len(each)} "
                f"images of {spec} {(each.labels == held).sum()} have that class; name "
                "one that some have, and not all"
            )
    kept, tested = labels != held, test_labels != held
    x, labels = train.images[kept], labels[kept]
    if c.similar >= len(x):
        raise UserError(
            f"config.served.similar gives {c.similar} of {len(x)} training images to "
            "the attacker, which leaves none to train on; set it to less"
        )
    own = slice(len(x) - c.similar)
    if shared := int(among(hashed.images, x[own]).sum()):
        raise UserError(
            f"config.served.hash is {c.hash}, {shared} images of which are training "
            "images: the network that chooses members must be of another set"
        )
    found = Images(
        classes=classes,
        train=x[own],
        labels=labels[own],
        test=test.images[tested],
        test_labels=test_labels[tested],
        similar=x[own.stop :],
        queries=queries.images,
        query_classes=labels_of(queries),
        hashed=hashed.images,
        hash_labels=labels_of(hashed),
        sets={CLOTHING: test.images[tested]},
        origin={spec: s.origin for spec, s in (sets | others).items()},
    )
    _add_outliers(found, config, others, test.images[~tested])
    return found


def _add_outliers(found: Images, config: ConfigDict, others: dict, held) -> None:
    """Put all that is to be detected into `found.sets`."""
    first, sets = next(iter(others.values())), found.sets
    sets[DIGITS] = first.images
    upper = found.upper(first.labels)
    for whose, classes in (
        (config.served.queries, found.upper(found.query_classes)),
        (config.data.ood[0], upper),
    ):
        if classes.all() or not classes.any():
            raise UserError(
                f"{whose} has images of one half of the classes alone; `steal` is told "
                "of the lower half, and asked the upper one"
            )
    sets[UPPER] = first.images[upper]
    sets |= {name: s.images for name, s in list(others.items())[1:]}
    with user_errors("config.served", ValueError):
        for kind in config.served.corrupted:
            severity = config.served.severity
            sets[kind.replace("_", " ")] = corrupt(
                found.test, kind, severity, config.seed
            )
    sets[HELD_OUT] = held
    # not the seed of outliers to train on: rows would be changed in the same ways
    seed = int(bits(1, config.seed, "made of test")[0] >> np.uint64(33))
    sets[MADE_OF_TEST] = pseudo_outliers(found.test, seed, MADE)[0]
