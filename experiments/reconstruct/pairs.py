"""Pairs of volumes and their views: training, calibration, and what is to be told."""

from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from experiments.core.set_names import ood_names
from experiments.core.systems import images as image_set
from flowjax_ood.data.light_field import BELOW_ONE, light_field, shifted, volumes
from flowjax_ood.interface.errors import UserError

# shares of the training images: no image is in two of these
ROLES = {"train": 0.6, "calibrate": 0.2, "adapt": 0.1, "recalibrate": 0.1}
# a seed of its own for each kind of volumes, and another for the noise of its views
NUMBERS = {n: i for i, n in enumerate((*ROLES, "test", "stream", "others"))}
NOISE, SEEDS = 50, 100
# images that a set of volumes is made of, at least
LEAST_IMAGES = 20


class Pairs(NamedTuple):
    """Volumes `x [N, H, W, planes]` and measurements `y [N, H, W, views]`, float32."""

    x: np.ndarray
    y: np.ndarray

    def at(self, rows) -> "Pairs":
        """The pairs at `rows`, a slice or indices."""
        return Pairs(self.x[rows], self.y[rows])


class Images(NamedTuple):
    """uint8 images `[N, H, W, 1]` by role, of each OOD set, and their names."""

    roles: dict[str, np.ndarray]
    others: dict[str, np.ndarray]
    train: str
    test: str


def load_images(config: ConfigDict) -> Images:
    """Load the sets of `config.data`, and part the training images by role.

    Raises UserError for images in colour, and for too few of them.
    """
    c = config.data
    names = ood_names(c.test, c.ood)
    train = image_set(config, c.train, c.limit_train)
    test = image_set(config, c.test, c.limit_test)
    others = [image_set(config, spec, c.limit_test) for spec in c.ood]
    for images in (train, test, *others):
        if images.images.shape[1:] != (*train.images.shape[1:3], 1):
            raise UserError(
                f"planes of volumes are grey images of one size, got {images.name} of "
                f"shape {images.images.shape[1:]} beside {train.images.shape[1:]}; set "
                "config.data.channels=1 and config.data.image_size"
            )
        if len(images) < LEAST_IMAGES:
            raise UserError(
                f"{images.name} has {len(images)} images, of {LEAST_IMAGES}"
            )
    ends = np.cumsum([0.0, *ROLES.values()]) * len(train)
    ends = np.rint(ends).astype(int)
    roles = {
        role: train.images[a:b]
        for role, a, b in zip(ROLES, ends, ends[1:], strict=False)
    }
    if (smallest := min(map(len, roles.values()))) < LEAST_IMAGES:
        raise UserError(
            f"a tenth of {len(train)} training images are {smallest}, and volumes are "
            f"made of {LEAST_IMAGES} or more; set config.data.limit_train to "
            f"{10 * LEAST_IMAGES} or more, or 0 for all"
        )
    roles |= {"test": test.images, "stream": test.images}
    pools = {n: of.images for n, of in zip(names, others, strict=True)}
    return Images(roles, pools, train.name, test.name)


def pairs(
    images: np.ndarray,
    role: str,
    count: int,
    config: ConfigDict,
    scale: float = 1.0,
    number: int = 0,
) -> Pairs:
    """`count` volumes of `images`, and their views through optics of that scale.

    Functions of the config's seed, the role and the row; `number` tells sets of one
    role apart.
    """
    c = config.light_field
    seed = SEEDS * config.seed + NUMBERS[role] + number
    x = volumes(images, count, c.planes, seed)
    return Pairs(x, seen(x, config, seed, scale=scale))


def seen(x: np.ndarray, config: ConfigDict, seed: int = 0, **changed) -> np.ndarray:
    """The views of volumes; `changed`: arguments of `light_field`."""
    c = config.light_field
    arguments = {"views": c.views, "noise": c.noise, "seed": seed + NOISE}
    return light_field(x, **arguments | changed)


def changed_pairs(images: Images, clothing: Pairs, config: ConfigDict) -> dict:
    """`{what changed: Pairs}`: of the test pairs, and volumes of the OOD sets.

    Of the first four the views do not belong to the volume as in training; of the
    others they do, and the volume is another one.
    """
    c = config.light_field
    seed = SEEDS * config.seed + NUMBERS["test"]
    x, y = clothing
    dim, inverted = np.float32(0.5) * x, np.clip(1 - x, 0, BELOW_ONE)
    moved = np.stack([shifted(view, 1) for view in np.moveaxis(y, -1, 0)], -1)
    sets = {
        "views exchanged": Pairs(x, np.roll(y, 1, axis=0)),
        "other optics": Pairs(x, seen(x, config, seed, scale=c.other_scale)),
        "noise x4": Pairs(x, seen(x, config, seed, noise=4 * c.noise)),
        "views moved by a pixel": Pairs(x, moved),
        "inverted": Pairs(inverted, seen(inverted, config, seed)),
        "dimmed by half": Pairs(dim, seen(dim, config, seed)),
    }
    for number, (name, others) in enumerate(images.others.items()):
        sets[name] = pairs(others, "others", len(x), config, number=number)
    return sets
