"""Source `tfds`: prepared TensorFlow Datasets, by random access, without TensorFlow."""

import os
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from flowjax_ood.data.checks import check_memory, number_to_take, unknown
from flowjax_ood.data.preprocess import describe_resize, on_threads, resize_center_crop
from flowjax_ood.data.sets import ImageSet

ALIASES = {
    "celeba": "celeb_a",
    "svhn": "svhn_cropped",
    "imagenet32": "downsampled_imagenet/32x32",
    "imagenet64": "downsampled_imagenet/64x64",
}
# The paper's CelebA is 32x32; the originals are 218x178.
DEFAULT_SIZES = {"celeb_a": 32}
_COMMON = ("fashion_mnist", "mnist", "cifar10", "svhn_cropped", "celeba")


def load_tfds(
    name: str,
    split: str,
    *,
    path: str | os.PathLike | None = None,
    limit: int | None = None,
    image_size: int | None = None,
) -> ImageSet:
    """Load `name:split` of the data_dir `path` (None: TFDS's own), in stored order.

    Any TFDS image set with a feature `image`, and the short names of `ALIASES`
    (`celeba`, `svhn`, `imagenet64`); a split may be a slice (`train[:1000]`). CelebA is
    brought to 32x32 as in the paper (shorter side, PIL bilinear, centre crop);
    `image_size` asks for another size, and is needed where sizes differ. Labels are the
    feature `label`, where there is one. `limit` stops reading early.

    Nothing is downloaded: a set that is not prepared is a `FileNotFoundError` with the
    command that prepares it. Decoding and resizing use threads.
    """
    prepared = find_images(name, split, path=path, limit=limit, image_size=image_size)
    first = prepared.data[0]
    shape = (prepared.total, *prepared.image_of(0, first).shape)
    check_memory(shape, prepared.what)
    images = np.empty(shape, np.uint8)
    labelled = "label" in first and np.ndim(first["label"]) == 0
    labels = np.empty(prepared.total, np.int32) if labelled else None

    def read(index: int) -> tuple[np.ndarray, Any]:
        example = prepared.data[index]
        image = prepared.image_of(index, example)
        prepared.check_shape(index, image, shape[1:])
        return image, example.get("label")

    for index, (image, label) in enumerate(on_threads(read, prepared.total)):
        images[index] = image
        if labels is not None:
            labels[index] = label
    return ImageSet(name, split, images, labels, "tfds", prepared.origin)


class Prepared(NamedTuple):
    """Prepared images: the first `total` of `data`, each to be brought to `size`."""

    data: Sequence[dict]
    total: int
    size: int | None
    # the set in the words of errors, and as `ImageSet.origin` has it
    what: str
    origin: str

    def image_of(self, index: int, example: dict) -> np.ndarray:
        """Return the image of `data[index]`, uint8 `[H, W, C]`."""
        image = example["image"]
        if image.dtype != np.uint8:
            raise TypeError(f"{self.what}: image {index} is {image.dtype}, not uint8")
        if self.size is None:
            return image
        try:
            return resize_center_crop(image, self.size)
        except ValueError as error:
            raise ValueError(f"{self.what}: image {index}: {error}") from error

    def check_shape(self, index: int, image: np.ndarray, expected: tuple) -> None:
        """Raise ValueError unless an image has the shape of the first one."""
        if image.shape != expected:
            raise ValueError(
                f"{self.what}: image {index} is {image.shape}, image 0 is {expected}; "
                "pass image_size= to bring them to one size"
            )


def find_images(
    name: str,
    split: str,
    *,
    path: str | os.PathLike | None = None,
    limit: int | None = None,
    image_size: int | None = None,
) -> Prepared:
    """Find and check what `load_tfds` reads; no image is read yet."""
    builder, data = open_split(name, split, path)
    if "image" not in builder.info.features:
        raise ValueError(
            f"tfds {name!r} has no feature 'image', only "
            f"{', '.join(builder.info.features)}: it is not an image set"
        )
    if not len(data):
        raise ValueError(f"tfds {name}:{split} holds no images")
    count = number_to_take(limit, len(data), f"tfds {name}:{split}", "images")
    size = DEFAULT_SIZES.get(builder.name) if image_size is None else image_size
    origin = f"TensorFlow Datasets {builder.info.full_name}, split {split}"
    licence = (builder.info.redistribution_info.license or "").strip()
    if licence:
        origin += f"; licence: {' '.join(licence.split())}"
    if size is not None:
        origin += f"; {describe_resize(size)}"
    return Prepared(data, count, size, f"tfds {name}:{split}", origin)


def open_split(
    name: str, split: str, path: str | os.PathLike | None, module: str | None = None
) -> tuple[Any, Sequence[dict]]:
    """Open prepared examples for random access: TFDS's builder, and its `split`.

    `split` may be a slice; `path` is the data_dir. `module` is the one to import first,
    for sets that TFDS does not find by name. Raises `ValueError` for an unknown name or
    split, and `FileNotFoundError` with the command that prepares the set where it is
    not prepared for random access.
    """
    import tensorflow_datasets as tfds

    tfds_name = ALIASES.get(name, name)
    data_dir = None if path is None else os.fspath(path)
    try:
        builder = tfds.builder(tfds_name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        names = tfds.list_builders(with_community_datasets=False)
        # A thousand names would bury the message: the near ones, and the usual ones.
        near = get_close_matches(name, [*names, *ALIASES], n=3)
        raise unknown(
            "a TensorFlow Datasets name",
            name,
            {*near, *_COMMON},
            "and the rest of tfds.list_builders()",
        ) from error
    try:
        return builder, builder.as_data_source(split=split)
    except (AssertionError, NotImplementedError, OSError, ValueError) as error:
        prepared = Path(builder.data_dir, "dataset_info.json").is_file()
        splits = set(builder.info.splits)
        if prepared and split.partition("[")[0] not in splits:
            raise unknown(f"a split of tfds {tfds_name!r}", split, splits) from error
        reason = str(error).splitlines()[0]
        if prepared and not isinstance(error, NotImplementedError):
            raise ValueError(f"tfds {tfds_name}:{split}: {reason}") from error
        state, command = "is not prepared", f"tfds build {tfds_name}"
        if prepared:
            state = f"is prepared, but not for random access ({reason})"
            command += " --overwrite"
        command += " --file_format=array_record"
        if module is not None:
            command += f" --imports={module}"
        if path is not None:
            command += f" --data_dir={os.fspath(path)}"
        raise FileNotFoundError(
            f"tfds {tfds_name!r} {state} in {builder.data_dir}; nothing is downloaded "
            "here. Prepare it once, in an environment that has TensorFlow too: "
            f"`{command}`"
        ) from error
