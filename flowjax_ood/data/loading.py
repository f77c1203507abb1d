"""`load` and `load_vectors`: every data source. Nothing is swapped silently."""

import importlib
import os
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flowjax_ood.arguments import whole_number
from flowjax_ood.data.checks import check_storage, unknown
from flowjax_ood.data.preprocess import (
    describe_channels,
    describe_resize,
    resize_all,
    with_channels,
)
from flowjax_ood.data.sets import ImageSet, VectorSet

# source -> module and function that read it, and the arguments it takes
_IMAGES = {
    "embedded": ("embedded", "load_embedded", ()),
    "idx": ("idx", "load_idx", ("path",)),
    "npz": ("npz", "load_npz", ("path",)),
    "folder": ("folder", "load_folder", ("path", "limit", "image_size", "channels")),
    "tfds": ("tfds", "load_tfds", ("path", "limit", "image_size")),
    "glyphs": ("glyphs", "load_glyphs", ("limit",)),
    "synthetic": ("synthetic", "load_synthetic", ("limit", "image_size", "seed")),
}
_VECTORS = {
    "embeddings": ("embeddings", "load_embeddings", ("path",)),
    "sklearn": ("tables", "load_sklearn", ("seed",)),
    "synthetic": ("synthetic", "load_synthetic_vectors", ("limit", "seed")),
    "uci": ("tables", "load_uci", ("path",)),
}
SOURCES = tuple(_IMAGES)
"""The names of the sources of images that `load` knows."""
VECTOR_SOURCES = tuple(_VECTORS)


def load(
    spec: str,
    *,
    source: str,
    path: str | os.PathLike | None = None,
    limit: int | None = None,
    image_size: int | None = None,
    channels: int | None = None,
    seed: int = 0,
) -> ImageSet:
    """Load the images of `spec`: `"name"` or `"name:split"`, by default `"test"`.

    Args:
        spec: for example `"fashion_mnist:train"`.
        source: `embedded` (samples shipped with the package), `idx` (a directory of IDX
            files), `npz`, `folder` (a directory of PNG, JPEG and the like), `tfds`
            (prepared TensorFlow Datasets), `glyphs` (letters drawn in the fonts of
            matplotlib), or `synthetic` (fake).
        path: the directory or file of `idx`, `npz` and `folder`, the data_dir of
            `tfds`. Refused by `embedded` and `glyphs`, which read nothing else; not
            looked at by `synthetic`, so that a config's source alone can be swapped for
            a smoke run.
        limit: take the first `limit` images, at least 1. A limit above what the source
            holds is an error that names both numbers: silently fewer images would
            falsify results. `synthetic` makes exactly `limit` images.
        image_size: shorter side scaled to this many pixels, then the centre cropped.
        channels: 1 to convert colour to grey (ITU-R 601 luma), 3 to repeat grey three
            times; None leaves the images as they are.
        seed: of the fake images of `synthetic`; no other source uses it.

    Returns:
        The split, with its provenance.

    Raises:
        ValueError: an unknown source, name or split; says which there are.
        FileNotFoundError: data that is not there; says how to get it.
    """
    check_request(limit=limit, image_size=image_size, channels=channels)
    options = {
        "limit": limit,
        "image_size": image_size,
        "channels": channels,
        "path": path,
        "seed": seed,
    }
    images = _read(_IMAGES, "a data source", spec, source, options)
    if limit is not None:
        images = images.take(limit)
    if channels is not None and images.images.shape[3] != channels:
        pixels = with_channels(images.images, channels)
        images = replace(images, images=pixels).noted(describe_channels(channels))
    if image_size is not None and images.images.shape[1:3] != (image_size, image_size):
        pixels = resize_all(images.images, image_size)
        images = replace(images, images=pixels).noted(describe_resize(image_size))
    return images


def load_vectors(
    spec: str,
    *,
    source: str,
    path: str | os.PathLike | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> VectorSet:
    """Load the vectors of `spec`: `"name"` or `"name:split"`, by default `"test"`.

    Args:
        spec: for example `"hepmass0:train"`.
        source: `uci` (published files of HEPMASS and MiniBooNE), `sklearn` (tables
            that scikit-learn ships), `embeddings` (NumPy archives), or `synthetic`.
        path: the directory of `uci`, the file or directory of `embeddings`. Refused by
            `sklearn`; not looked at by `synthetic`, so that a config's source alone
            can be swapped for a smoke run.
        limit: take the first `limit` vectors; more than there are is an error.
        seed: of the splits of `sklearn` and the fake vectors of `synthetic`.

    Returns:
        The split, with its provenance.

    Raises:
        ValueError: an unknown source, name or split; says which there are.
        FileNotFoundError: data that is not there; says how to get it.
        ImportError: scikit-learn is not installed.
    """
    check_request(limit=limit)
    options = {"path": path, "limit": limit, "seed": seed}
    vectors = _read(_VECTORS, "a source of vectors", spec, source, options)
    return vectors if limit is None else vectors.take(limit)


def check_request(
    *,
    limit: int | None = None,
    image_size: int | None = None,
    channels: int | None = None,
) -> None:
    """Raise ValueError for a request that no source can meet."""
    for name, value in (("limit", limit), ("image_size", image_size)):
        if value is not None:
            whole_number(name, value, 1, f"; None means no {name}")
    if channels not in (None, 1, 3):
        raise ValueError(f"channels must be 1 (grey), 3 (RGB) or None, not {channels}")


def parse_spec(spec: str) -> tuple[str, str]:
    """`"name:split"` as `(name, split)`; the split is `"test"` when left out."""
    if not isinstance(spec, str):
        raise TypeError(f"a data spec is a string 'name:split', not {spec!r}")
    if any(unicodedata.category(c) == "Cc" for c in spec):
        raise ValueError(f"a data spec has no control characters, unlike {spec!r}")
    # Only the first colon separates: TFDS slices such as "train[:100]" hold more.
    name, colon, split = spec.partition(":")
    if not name or (colon and not split):
        raise ValueError(
            f"a data spec is 'name' or 'name:split', not {spec!r}; "
            "for example 'fashion_mnist:train'"
        )
    return name, split or "test"


def _read(
    sources: Mapping[str, tuple], kind: str, spec: str, source: str, options: dict
) -> Any:
    """Read `spec` by the function of `source`, with the `options` that it takes."""
    name, split = parse_spec(spec)
    if source not in sources:
        raise unknown(kind, str(source), sources)
    module, function, taken = sources[source]
    if source in ("embedded", "glyphs", "sklearn") and options["path"] is not None:
        readers = " or ".join(repr(s) for s, v in sources.items() if "path" in v[2])
        raise ValueError(
            f"source {source!r} reads no path, got path={os.fspath(options['path'])!r};"
            f" use source {readers} to read it, or path=None"
        )
    check_storage(source, options["path"])
    # imported when asked for: TFDS takes half a second
    module = importlib.import_module(f"flowjax_ood.data.sources.{module}")
    return getattr(module, function)(name, split, **{k: options[k] for k in taken})
