"""Sets of images that stay on disk, and are read as they are indexed."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from flowjax_ood.data.loading import check_request, parse_spec
from flowjax_ood.data.preprocess import describe_channels, with_channels
from flowjax_ood.data.sets import ImageSet, StoredSet
from flowjax_ood.data.sources.tfds import Prepared, find_images

# sources whose images can be read singly, without reading the others first
STREAMED_SOURCES = ("tfds",)


@dataclass(frozen=True, eq=False)
class StreamedImages:
    """uint8 `[N, H, W, C]` as `images[rows]`: these rows are read, and no more.

    `rows` are one index, a slice, or an integer array `[B]`. It is no array: NumPy is
    refused the whole of it, with a TypeError. Threads may read at the same time. Its
    pickle says where the images are: another process opens them anew.
    """

    name: str
    split: str
    path: str | None
    limit: int | None
    image_size: int | None
    channels: int | None
    # records that are no part of this, ascending
    left_out: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    shape: tuple[int, int, int, int] = field(init=False)

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __post_init__(self):
        prepared = self._prepared
        first = prepared.image_of(0, prepared.data[0])[None]
        first = with_channels(first, self.channels)
        count = prepared.total - len(self.left_out)
        object.__setattr__(self, "shape", (count, *first.shape[1:]))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | slice | np.ndarray) -> np.ndarray:
        if isinstance(rows, slice):
            rows = np.arange(len(self))[rows]
        at = np.asarray(rows)
        if at.dtype.kind not in "iu" or at.ndim > 1:
            raise TypeError(
                "images that are read as they are asked for are indexed by an integer, "
                f"a slice, or integers [B], not by {at.dtype} of shape {at.shape}"
            )
        wanted = np.where(at < 0, at + len(self), at).reshape(-1)
        outside = at.reshape(-1)[(wanted < 0) | (wanted >= len(self))]
        if len(outside):
            last = len(self) - 1
            raise IndexError(
                f"{self._prepared.what} has images 0 to {last}, not {outside[0]}"
            )
        records = self.records(wanted).tolist()
        return self._read(records).reshape(*at.shape, *self.shape[1:])

    def records(self, rows: np.ndarray) -> np.ndarray:
        """Return the records that hold the images at `rows`, integers `[B]` from 0."""
        # before the j-th that is left out, as many stay as its record, less j
        staying = self.left_out - np.arange(len(self.left_out))
        return rows + np.searchsorted(staying, rows, side="right")

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        raise TypeError(
            f"{self._prepared.what} is read as it is asked for, and something here "
            "needs all of it in memory; load it without streaming"
        )

    def __getstate__(self) -> dict:
        # an open file belongs to its process
        return {k: v for k, v in self.__dict__.items() if k != "_prepared"}

    @cached_property
    def _prepared(self) -> Prepared:
        return find_images(
            self.name,
            self.split,
            path=self.path,
            limit=self.limit,
            image_size=self.image_size,
        )

    def _read(self, wanted: list[int]) -> np.ndarray:
        prepared = self._prepared
        images = np.empty((len(wanted), *self.shape[1:]), np.uint8)
        try:
            many = getattr(prepared.data, "__getitems__", None)
            examples = many(wanted) if many else [prepared.data[i] for i in wanted]
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"{prepared.what}: images cannot be read ({error}); prepare the set "
                "again"
            ) from error
        for row, (index, example) in enumerate(zip(wanted, examples)):
            image = prepared.image_of(index, example)[None]
            image = with_channels(image, self.channels)[0]
            prepared.check_shape(index, image, self.shape[1:])
            images[row] = image
        return images


@dataclass(frozen=True, eq=False)
class StreamedImageSet(StoredSet):
    """A split like an `ImageSet`, but its images are read as they are indexed.

    `labels` is None: no user of streamed images needs them.
    """

    FIELD = "images"
    KIND = "images"

    name: str
    split: str
    images: StreamedImages
    source: str
    origin: str
    labels: None = None

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Read the images at `indices [B]`: uint8 `[B, H, W, C]`."""
        return self.images[np.asarray(indices)]

    def describe(self) -> dict:
        """Return the provenance, and that the set was streamed."""
        return super().describe() | {"streamed": True}

    def at(self, rows: np.ndarray | slice) -> Any:
        """Read the images at `rows`, indices or a slice, into memory: an `ImageSet`."""
        images = self.images[rows]
        return ImageSet(self.name, self.split, images, None, self.source, self.origin)

    def without(self, rows: np.ndarray) -> Self:
        """Leave out the images at the indices `rows`; the rest is streamed as well."""
        images = self.images
        left_out = np.union1d(images.left_out, images.records(np.asarray(rows)))
        return replace(self, images=replace(images, left_out=left_out))


def stream(
    spec: str,
    *,
    source: str,
    path: str | os.PathLike | None = None,
    limit: int | None = None,
    image_size: int | None = None,
    channels: int | None = None,
) -> StreamedImageSet:
    """Open the images that `load` reads with the same arguments, to be read as needed.

    Image `i` is `load(...).images[i]`, bit for bit. Of images of several sizes, one
    that differs raises when it is read. Raises ValueError for a source whose images
    cannot be read one by one, and what `load` raises.
    """
    name, split = parse_spec(spec)
    check_request(limit=limit, image_size=image_size, channels=channels)
    if source not in STREAMED_SOURCES:
        raise ValueError(
            f"source {source!r} has to be read as a whole, and cannot be streamed; "
            f"those that can: {', '.join(STREAMED_SOURCES)}. Set streaming to False, "
            "or prepare the images as a TensorFlow Dataset"
        )
    path = None if path is None else os.fspath(path)
    images = StreamedImages(name, split, path, limit, image_size, channels)
    prepared = images._prepared
    origin = prepared.origin
    if channels is not None and prepared.data[0]["image"].shape[-1] != channels:
        origin += f"; {describe_channels(channels)}"
    return StreamedImageSet(name, split, images, source, origin)
