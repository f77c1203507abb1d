"""Scores of one detector, kept in a file: a command goes on where it was.

Files lie in a folder of the network's or flow's own, one a detector (and protocol):
floats `[N]` of every set, for whoever wants other metrics or thresholds than a table's.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import jax
import numpy as np

import flowjax_ood
from flowjax_ood.data.archives import open_archive
from flowjax_ood.runtime.files import write_bytes
from flowjax_ood.runtime.messages import first_line
from flowjax_ood.runtime.processes import on_lead

RECORD = "record"
# names of what is kept besides scores: classes of inputs
PREDICTED, TRUE = "predicted class", "true class"
# raised by files that are gone, cut short or of another form
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class Scored:
    """Scores `{set: [N]}` of a detector of one network or flow, and their cost."""

    scores: dict[str, np.ndarray]
    needs: list[str]
    chosen: dict[str, Any]
    fit_seconds: float
    ms_per_image: float


@cache
def _code() -> bytes:
    """Hash this library's own code: other code may score otherwise."""
    root = Path(flowjax_ood.__file__).parent
    files = sorted(root.rglob("*.py"))
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).digest()


def digest(*trees) -> str:
    """Hash arrays and plain values, names in dicts too, and the library."""
    hashed = hashlib.sha256(_code())
    for path, leaf in jax.tree_util.tree_flatten_with_path(trees)[0]:
        hashed.update(jax.tree_util.keystr(path).encode())
        if isinstance(leaf, np.ndarray | jax.Array):
            leaf = np.ascontiguousarray(leaf)
            hashed.update(f"{leaf.dtype}{leaf.shape}".encode())
            hashed.update(leaf.data)
        else:
            hashed.update(f"{type(leaf).__name__} {leaf!r}".encode())
    return hashed.hexdigest()


def kept(
    directory: Path,
    name: str,
    key: str,
    sizes: dict[str, int],
    compute: Callable[[], Scored],
) -> Scored:
    """Read the scores `name` of a directory if they have that `key`, else compute them.

    Those of another key, of other sets than `sizes` `{set: count}`, with NaN among
    them, and files that cannot be read, are written anew. Of several processes, process
    0 reads and writes; all have what it read, or all compute.
    """
    file = directory / file_name(name)
    content = base64.b64decode(on_lead(lambda: _read(file)))
    try:
        kept_key, scored = _parsed(file, content)
        usable = kept_key == key and _whole(scored, sizes)
    except UNREADABLE:
        usable = False
    if not usable:
        scored = compute()
        on_lead(lambda: _write(file, key, scored))
    return scored


def file_name(name: str) -> str:
    """The file of scores `name`: of `KNN none`, knn_none.npz."""
    # Mahalanobis++ is not Mahalanobis
    words = name.lower().replace("+", " plus ")
    return re.sub(r"[^a-z0-9]+", "_", words).strip("_") + ".npz"


def read_kept(file: Path) -> Scored:
    """Read kept scores, whatever code and settings they were made by.

    Raises ValueError naming the file where it is damaged or of another form.
    """
    try:
        _, scored = _parsed(file, file.read_bytes())
        whole = _whole(scored, {n: len(s) for n, s in scored.scores.items()})
    except UNREADABLE as error:
        raise ValueError(f"{file} is damaged: {first_line(error)}") from error
    if not whole:
        raise ValueError(f"{file} is damaged: NaN, or no scores, among the arrays")
    return scored


def _read(file: Path) -> str:
    """The file as text, which can be sent to other processes; empty without one."""
    return base64.b64encode(file.read_bytes()).decode() if file.is_file() else ""


def _parsed(file: Path, content: bytes) -> tuple[str | None, Scored]:
    """`(key, scores)` of the content of a file."""
    with open_archive(file, content) as archive:
        record = archive.read_json(RECORD)
        key, sets = record.pop("key"), record.pop("sets")
        scores = {name: archive.read(f"set_{k}") for k, name in enumerate(sets)}
    return key, Scored(scores, **record)


def _whole(scored: Scored, sizes: dict[str, int]) -> bool:
    """Tell whether there is a number for every input, and what it took."""
    counts = [(name, (size,)) for name, size in sizes.items()]
    scores = scored.scores.values()
    return (
        [(name, s.shape) for name, s in scored.scores.items()] == counts
        and all(np.issubdtype(s.dtype, np.floating) for s in scores)
        and not any(np.isnan(s).any() for s in scores)
        and bool(np.isfinite([scored.fit_seconds, scored.ms_per_image]).all())
    )


def _write(file: Path, key: str, scored: Scored) -> None:
    record = asdict(scored) | {"key": key, "sets": list(scored.scores)}
    del record["scores"]
    # not typed as arrays: NumPy's options are no arrays, and come by name as well
    arrays: dict[str, Any] = {
        f"set_{k}": s for k, s in enumerate(scored.scores.values())
    }
    arrays[RECORD] = np.array(json.dumps(record))
    buffer = BytesIO()
    np.savez_compressed(buffer, **arrays)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(file, buffer.getvalue())
