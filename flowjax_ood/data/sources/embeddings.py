"""Source `embeddings`: vectors from NumPy archives, made by any encoder."""

import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flowjax_ood.data.checks import unknown
from flowjax_ood.data.sets import VectorSet


def load_embeddings(
    name: str, split: str, *, path: str | os.PathLike | None = None
) -> VectorSet:
    """The vectors and labels of `name:split` in an archive, or a directory of them.

    In a directory, `NAME_features_SPLIT.npz` with the keys `embeddings` and `labels`
    (the layout of the paper's code), or `NAME.npz`. In an archive, the first key that
    is there: `NAME:SPLIT/embeddings` with `NAME:SPLIT/labels` (what `python -m
    experiments embed` writes), `NAME_SPLIT` with `NAME_SPLIT_labels`,
    `SPLIT_embeddings` or `SPLIT` with `SPLIT_labels`.

    Vectors are floating-point `[N, D]`; labels, integers `[N]`, are optional. `meta`,
    text, is told in `origin` where it names an `encoder`. Nothing pickled is read.
    Raises ValueError and FileNotFoundError, naming what there is.
    """
    file = _file(name, split, path)
    own = file.name == f"{name}_features_{split}.npz"
    # opened here: NumPy leaves the file open when it turns out not to be an archive
    with file.open("rb") as opened:
        try:
            archive = np.load(opened, allow_pickle=False)
        except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise ValueError(f"{file}: not an .npz archive ({error})") from error
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError(f"{file}: holds one array, not a set; use np.savez")
        keys = _keys(archive.files, name, split, file, own)
        vectors = _vectors(_read(archive, keys[0], file), f"{file}[{keys[0]!r}]")
        labels = None
        if keys[1] in archive.files:
            labels = _labels(_read(archive, keys[1], file), f"{file}[{keys[1]!r}]")
        encoder = _encoder(archive, file)
    origin = f"key {keys[0]!r} of {file}" + (f"; {encoder}" if encoder else "")
    return VectorSet(name, split, vectors, labels, "embeddings", origin)


def _file(name: str, split: str, path: str | os.PathLike | None) -> Path:
    if path is None:
        raise ValueError(
            "source 'embeddings' needs path=, an .npz archive or a directory of them; "
            "`python -m experiments embed` makes one of images"
        )
    path = Path(path)
    if path.is_file():
        return path
    if not path.is_dir():
        raise FileNotFoundError(
            f"no file or directory {os.fspath(path)!r}; `python -m experiments embed` "
            "makes an archive of embeddings"
        )
    for file in (path / f"{name}_features_{split}.npz", path / f"{name}.npz"):
        if file.is_file():
            return file
    raise unknown(
        f"a set of embeddings in {path}",
        f"{name}_features_{split}",
        (p.stem for p in path.glob("*.npz")),
        "a set is NAME_features_SPLIT.npz or NAME.npz there",
    )


def _keys(keys: list[str], name: str, split: str, file: Path, own: bool):
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


def _read(archive: np.lib.npyio.NpzFile, key: str, file: Path) -> np.ndarray:
    try:
        return archive[key]
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        # ValueError: an object array, which only pickle could read; others: damage
        raise ValueError(f"{file}[{key!r}]: {error}") from error


def _vectors(vectors: np.ndarray, what: str) -> np.ndarray:
    if not np.issubdtype(vectors.dtype, np.floating):
        raise TypeError(
            f"{what}: embeddings must be floating-point, not {vectors.dtype}"
        )
    with np.errstate(over="ignore"):  # what overflows float32 is refused as infinite
        return vectors.astype(np.float32)


def _labels(labels: np.ndarray, what: str) -> np.ndarray:
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"{what}: labels must be integers, not {labels.dtype}")
    if labels.size and not -(2**31) <= labels.min() <= labels.max() < 2**31:
        raise ValueError(f"{what}: labels do not fit in int32")
    return labels.astype(np.int32)


def _encoder(archive: np.lib.npyio.NpzFile, file: Path) -> str:
    """The encoder named in `meta`, on one line; "" where nothing is said of it."""
    if "meta" not in archive.files:
        return ""
    try:
        meta = json.loads(str(_read(archive, "meta", file)[()]))
    except ValueError as error:
        raise ValueError(f"{file}['meta']: not JSON text ({error})") from error
    encoder = meta.get("encoder", "") if isinstance(meta, dict) else ""
    return " ".join(f"encoder {encoder}".split()) if encoder else ""


def write_embeddings(
    path: str | os.PathLike,
    sets: Mapping[str, VectorSet],
    meta: Mapping[str, Any],
) -> Path:
    """One .npz archive of several sets, in one step: no reader finds half of it.

    Keys: `NAME:SPLIT/embeddings`, float32 `[N, D]`, and `NAME:SPLIT/labels`, int32
    `[N]`, of each of `sets` (by `NAME:SPLIT`); `meta`, JSON text. Returns the path.
    """
    arrays: dict[str, np.ndarray] = {}
    for spec, found in sets.items():
        arrays[f"{spec}/embeddings"] = found.vectors
        if found.labels is not None:
            arrays[f"{spec}/labels"] = found.labels
    arrays["meta"] = np.array(json.dumps(meta, allow_nan=False))
    path = Path(path)
    # beside it: replacing is atomic only within one file system
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def read_meta(path: str | os.PathLike) -> dict[str, Any]:
    """The `meta` of an archive that `write_embeddings` wrote.

    Raises ValueError for any other file.
    """
    # opened here: NumPy leaves the file open when it turns out not to be an archive
    with open(path, "rb") as file:
        try:
            archive = np.load(file, allow_pickle=False)
            is_archive = isinstance(archive, np.lib.npyio.NpzFile)
            meta = json.loads(str(archive["meta"])) if is_archive else None
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile):
            meta = None
    if not isinstance(meta, dict) or not isinstance(meta.get("sets"), dict):
        raise ValueError(f"{path} is no archive of embeddings of this command")
    return meta
