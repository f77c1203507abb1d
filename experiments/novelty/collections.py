"""Collections of normal images and of other kinds, all of real pictures."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.core.other_images import other_images
from flowjax_ood import data
from flowjax_ood.data.outliers.battery import battery
from flowjax_ood.interface.errors import UserError, user_errors

# changed clothing, of the kinds of the battery that are seen
CHANGED = ("upside_down", "rotated", "noisy", "blurred", "mean_of_two", "tiles")
# side of a tile, and photographs it is cut from
SIDE = 32
NORMAL = ("gravel", "grass", "brick")
OTHERS = {
    "camera": ("camera",),
    "coins": ("coins",),
    "cells": ("cell",),
    "scanned text": ("text", "page"),
    "moon": ("moon",),
}


class Collection(NamedTuple):
    """`normal [N, H, W, C]` uint8, and other `kinds` of the same shape.

    `unseen`: normal images to test on; empty where parts of `normal` are.
    """

    normal: np.ndarray
    unseen: np.ndarray
    kinds: dict[str, np.ndarray]
    origin: str


def clothing(folder: Path | None, count: int) -> Collection:
    """FashionMNIST; of the IDX files in `folder`, or of the package."""
    options: dict[str, Any] = {"source": "embedded"}
    if folder is not None:
        options = {"source": "idx", "path": folder}
    with user_errors("--data"):
        train = data.load("fashion_mnist:train", **options)
        test = data.load("fashion_mnist:test", **options)
    rest = test.images[-min(count, len(test) // 4) :]
    made = battery(rest, 0, blocks=("seen",)).of_block("seen")
    digits = data.load("mnist:test", source="embedded")
    kinds = {"digits": digits.images[:count]}
    kinds |= other_images(train.images.shape[1:], count)
    kinds |= {name: made[name] for name in CHANGED}
    unseen = test.images[: len(test) - len(rest)]
    return Collection(train.images, unseen, kinds, train.origin)


def emoji(count: int) -> Collection:
    """People among the emoji of the package, of all bases together."""
    sets = {
        name: data.load(f"emoji:{name}", source="embedded")
        for name in ("people_train", "people_test", "things", "hands", "flags")
    }
    people = [sets.pop(name) for name in ("people_train", "people_test")]
    normal = np.concatenate([p.images for p in people])
    kinds = {name: s.images[:count] for name, s in sets.items()}
    return Collection(normal, normal[:0], kinds, people[0].origin)


def textures(count: int) -> Collection:
    """Tiles of grey photographs that scikit-image is installed with."""
    if find_spec("skimage") is None:
        raise UserError(
            "the collection `textures` is cut from pictures of scikit-image: pip "
            "install 'flowjax_ood[pictures]', or leave it out of --collections"
        )
    kinds = {name: tiles(files)[:count] for name, files in OTHERS.items()}
    normal = tiles(NORMAL)
    return Collection(normal, normal[:0], kinds, "scikit-image")


def tiles(names: tuple[str, ...]) -> np.ndarray:
    """Tiles of 32 x 32 pixels that do not overlap, grey: uint8 `[N, 32, 32, 1]`."""
    from PIL import Image

    package = find_spec("skimage")
    assert package is not None  # `textures` has looked
    assert package.submodule_search_locations is not None
    (folder,) = package.submodule_search_locations
    found = []
    for name in names:
        with Image.open(Path(folder) / "data" / f"{name}.png") as picture:
            image = np.asarray(picture.convert("L"))
        height, width = (side // SIDE for side in image.shape)
        cut = image[: height * SIDE, : width * SIDE]
        cut = cut.reshape(height, SIDE, width, SIDE).transpose(0, 2, 1, 3)
        found.append(cut.reshape(-1, SIDE, SIDE, 1))
    return np.concatenate(found)
