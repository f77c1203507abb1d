"""Source `embeddings`: vectors from NumPy archives, made by any encoder."""

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from flowjax_ood.data.archives import Archive, find_archive, open_archive, write_archive
from flowjax_ood.data.checks import unknown
from flowjax_ood.data.sets import VectorSet
from flowjax_ood.runtime.paths import AnyPath


def load_embeddings(
    name: str, split: str, *, path: str | os.PathLike | None = None
) -> VectorSet:
    """Read the vectors and labels of `name:split`: an archive, or a directory of them.

    In a directory, `NAME_features_SPLIT.npz` with the keys `embeddings` and `labels`
    (the layout of the paper's code), or `NAME.npz`. In an archive, the first key that
    is there: `NAME:SPLIT/embeddings` with `NAME:SPLIT/labels` (what `python -m
    experiments embed` writes), `NAME_SPLIT` with `NAME_SPLIT_labels`,
    `SPLIT_embeddings` or `SPLIT` with `SPLIT_labels`.

    Vectors are floating-point `[N, D]`; labels, integers `[N]`, are optional. An
    `encoder` that the text `meta` names is said in `origin`. Nothing pickled is read.
    Raises ValueError and FileNotFoundError, naming what there is.
    """
    own = f"{name}_features_{split}"
    remedy = (
        "a set is NAME_features_SPLIT.npz or NAME.npz in a directory, or in an archive "
        "that `python -m experiments embed` makes"
    )
    file = find_archive("embeddings", path, [own, name], remedy)
    with open_archive(file) as archive:
        key, label_key = _keys(archive.keys, name, split, file, file.stem == own)
        vectors = _vectors(archive.read(key), f"{file}[{key!r}]")
        labels = archive.labels(label_key)
        encoder = _encoder(archive)
    origin = f"key {key!r} of {file}" + (f"; {encoder}" if encoder else "")
    return VectorSet(name, split, vectors, labels, "embeddings", origin)


def write_embeddings(
    path: str | os.PathLike,
    sets: Mapping[str, VectorSet],
    meta: Mapping[str, Any],
) -> AnyPath:
    """Write one archive of several sets, in one step. Returns its path.

    Keys: `NAME:SPLIT/embeddings`, float32 `[N, D]`, and `NAME:SPLIT/labels`, int32
    `[N]`, of each of `sets` (by `NAME:SPLIT`); `meta`, JSON text.
    """
    arrays: dict[str, np.ndarray] = {}
    for spec, vectors in sets.items():
        arrays[f"{spec}/embeddings"] = vectors.vectors
        if vectors.labels is not None:
            arrays[f"{spec}/labels"] = vectors.labels
    arrays["meta"] = np.array(json.dumps(meta, allow_nan=False))
    return write_archive(path, arrays)


def read_meta(path: str | os.PathLike) -> dict[str, Any]:
    """Read the `meta` of an archive that `write_embeddings` wrote.

    Raises ValueError for any other file.
    """
    try:
        with open_archive(path) as archive:
            meta = archive.read_json("meta")
    except (ValueError, KeyError):
        meta = None
    if not isinstance(meta, dict) or not isinstance(meta.get("sets"), dict):
        raise ValueError(f"{path} is no archive of embeddings of this command")
    return meta


def _keys(
    keys: list[str], name: str, split: str, file: AnyPath, own: bool
) -> tuple[str, str]:
    """Keys of the vectors and of their labels; `own`: the archive is of this set."""
    if own and "embeddings" in keys:
        return "embeddings", "labels"
    for vectors, labels in (
        (f"{name}:{split}/embeddings", f"{name}:{split}/labels"),
        (f"{name}_{split}", f"{name}_{split}_labels"),
        (f"{split}_embeddings", f"{split}_labels"),
        (split, f"{split}_labels"),
    ):
        if vectors in keys:
            return vectors, labels
    sets = (k.removesuffix("/embeddings") for k in keys if "labels" not in k)
    raise unknown(
        f"a set in {file}",
        f"{name}:{split}",
        (k for k in sets if k != "meta"),
        f"name its array '{name}:{split}/embeddings'",
    )


def _vectors(vectors: np.ndarray, what: str) -> np.ndarray:
    if not np.issubdtype(vectors.dtype, np.floating):
        raise TypeError(
            f"{what}: embeddings must be floating-point, not {vectors.dtype}"
        )
    with np.errstate(over="ignore"):  # what overflows float32 is refused as infinite
        return vectors.astype(np.float32)


def _encoder(archive: Archive) -> str:
    """The encoder named in `meta`, on one line; "" where nothing is said of it."""
    if "meta" not in archive.keys:
        return ""
    meta = archive.read_json("meta")
    encoder = meta.get("encoder", "") if isinstance(meta, dict) else ""
    return " ".join(f"encoder {encoder}".split()) if encoder else ""
