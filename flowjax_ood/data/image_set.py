"""`ImageSet`: uint8 images in memory, with where they came from."""

from dataclasses import dataclass

import numpy as np

from flowjax_ood.data.stored_set import StoredSet


@dataclass(frozen=True, eq=False)
class ImageSet(StoredSet):
    """One split of one data set: `N` images, their labels, and their provenance.

    Attributes:
        name: data set, as asked for (`"fashion_mnist"`).
        split: split, as asked for (`"test"`).
        images: uint8 `[N, H, W, C]`, `C` 1 or 3, `N` at least 1.
        labels: int32 `[N]`, or None where the source has none.
        source: `embedded | idx | npz | folder | tfds | synthetic`.
        origin: one readable line: where the images came from, what was done to them,
            and their licence where it is known.

    Raises `TypeError` or `ValueError`, naming the set, for anything else.
    """

    FIELD = "images"
    KIND = "images"
    VALUES = "pixels"

    name: str
    split: str
    images: np.ndarray
    labels: np.ndarray | None
    source: str
    origin: str

    def __post_init__(self):
        what = f"{self.name}:{self.split}"
        check_images(self.images, what)
        self.check_facts(what)


def check_images(images: np.ndarray, what: str) -> None:
    """Raises unless `images` is a non-empty uint8 `[N, H, W, C]` with C 1 or 3."""
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        found = getattr(images, "dtype", type(images).__name__)
        remedy = "images are stored as uint8 0..255 and dequantised on the device"
        if np.issubdtype(getattr(images, "dtype", object), np.floating):
            remedy += "; for floats in [0, 1]: np.round(255 * x).astype(np.uint8)"
        raise TypeError(f"{what}: images must be a uint8 array, not {found}; {remedy}")
    if images.ndim != 4:
        raise ValueError(
            f"{what}: images must be [N, H, W, C], not of shape {images.shape}"
        )
    if images.size == 0:
        raise ValueError(f"{what}: no images (shape {images.shape})")
    if images.shape[3] not in (1, 3):
        message = (
            f"{what}: images must have 1 or 3 channels last, not {images.shape[3]} "
            f"(shape {images.shape})"
        )
        if images.shape[1] in (1, 3):
            message += (
                "; this looks like channels first [N, C, H, W]: "
                "write x.transpose(0, 2, 3, 1)"
            )
        raise ValueError(message)
