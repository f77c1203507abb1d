"""`load` and `load_vectors`: every data source. Nothing is swapped silently."""

import os
from dataclasses import replace

from flowjax_ood.data.checks import integer, unknown
from flowjax_ood.data.sets import ImageSet, VectorSet

SOURCES = ("embedded", "idx", "npz", "folder", "tfds", "synthetic")
VECTOR_SOURCES = ("embeddings", "sklearn", "synthetic", "uci")


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
            (prepared TensorFlow Datasets), or `synthetic` (fake).
        path: the directory or file of `idx`, `npz` and `folder`, the data_dir of
            `tfds`. Refused by `embedded`, which reads nothing else; not looked at by
            `synthetic`, so that a config's source alone can be swapped for a smoke run.
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
    name, split = parse_spec(spec)
    check_request(limit=limit, image_size=image_size, channels=channels)
    # Each source is imported when asked for: TFDS takes half a second.
    match source:
        case "embedded":
            from flowjax_ood.data.sources.embedded import load_embedded

            if path is not None:
                raise ValueError(
                    f"source 'embedded' reads no path, got path={os.fspath(path)!r}; "
                    "use source 'idx', 'npz' or 'tfds' to read it, or path=None"
                )
            images = load_embedded(name, split)
        case "idx":
            from flowjax_ood.data.sources.idx import load_idx

            images = load_idx(name, split, path=path)
        case "npz":
            from flowjax_ood.data.sources.npz import load_npz

            images = load_npz(name, split, path=path)
        case "folder":
            from flowjax_ood.data.sources.folder import load_folder

            images = load_folder(
                name,
                split,
                path=path,
                limit=limit,
                image_size=image_size,
                channels=channels,
            )
        case "tfds":
            from flowjax_ood.data.sources.tfds import load_tfds

            images = load_tfds(
                name, split, path=path, limit=limit, image_size=image_size
            )
        case "synthetic":
            from flowjax_ood.data.sources.synthetic import load_synthetic

            images = load_synthetic(
                name, split, count=limit, image_size=image_size, seed=seed
            )
        case _:
            raise unknown("a data source", str(source), SOURCES)
    if limit is not None:
        images = images.take(limit)
    if channels is not None and images.images.shape[3] != channels:
        images = _recoloured(images, channels)
    if image_size is not None and images.images.shape[1:3] != (image_size, image_size):
        images = _resized(images, image_size)
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
    name, split = parse_spec(spec)
    check_request(limit=limit)
    match source:
        case "embeddings":
            from flowjax_ood.data.sources.embeddings import load_embeddings

            vectors = load_embeddings(name, split, path=path)
        case "sklearn":
            from flowjax_ood.data.sources.tables import load_sklearn

            if path is not None:
                raise ValueError(
                    f"source 'sklearn' reads no path, got path={os.fspath(path)!r}"
                )
            vectors = load_sklearn(name, split, seed=seed)
        case "synthetic":
            from flowjax_ood.data.sources.synthetic import load_synthetic_vectors

            vectors = load_synthetic_vectors(name, split, count=limit, seed=seed)
        case "uci":
            from flowjax_ood.data.sources.tables import load_uci

            vectors = load_uci(name, split, path=path)
        case _:
            raise unknown("a source of vectors", str(source), VECTOR_SOURCES)
    return vectors if limit is None else vectors.take(limit)


def check_request(
    *,
    limit: int | None = None,
    image_size: int | None = None,
    channels: int | None = None,
) -> None:
    """Raise TypeError or ValueError for a request that no source can meet."""
    for name, value in (("limit", limit), ("image_size", image_size)):
        if value is not None:
            integer(name, value, 1, f"; None means no {name}")
    if channels not in (None, 1, 3):
        raise ValueError(f"channels must be 1 (grey), 3 (RGB) or None, not {channels}")


def parse_spec(spec: str) -> tuple[str, str]:
    """`"name:split"` as `(name, split)`; the split is `"test"` when left out."""
    if not isinstance(spec, str):
        raise TypeError(f"a data spec is a string 'name:split', not {spec!r}")
    # Only the first colon separates: TFDS slices such as "train[:100]" hold more.
    name, colon, split = spec.partition(":")
    if not name or (colon and not split):
        raise ValueError(
            f"a data spec is 'name' or 'name:split', not {spec!r}; "
            "for example 'fashion_mnist:train'"
        )
    return name, split or "test"


def _recoloured(images: ImageSet, channels: int) -> ImageSet:
    from flowjax_ood.data.preprocess import describe_channels, to_grayscale, to_rgb

    return replace(
        images,
        images=(to_grayscale if channels == 1 else to_rgb)(images.images),
        origin=f"{images.origin}; {describe_channels(channels)}",
    )


def _resized(images: ImageSet, size: int) -> ImageSet:
    from flowjax_ood.data.preprocess import describe_resize, resize_all

    return replace(
        images,
        images=resize_all(images.images, size),
        origin=f"{images.origin}; {describe_resize(size)}",
    )
