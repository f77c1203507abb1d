"""Writing archives of embeddings, as `data.embeddings` reads them."""

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flowjax_ood.data.vector_set import VectorSet


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
