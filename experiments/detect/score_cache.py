"""Scores of one detector on one network, kept in a file: a run goes on where it was.

Files lie in `WORKDIR/scores/NETWORK/`, one a detector and protocol: floats `[N]` of
every set, for whoever wants other metrics or thresholds than the table's.
"""

import base64
import hashlib
import json
import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import jax
import numpy as np

import flowjax_ood
from flowjax_ood.runtime.files import write_bytes
from flowjax_ood.runtime.processes import on_lead

RECORD = "record"
# what a damaged archive raises, besides errors of values
_BAD = (zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Scored:
    """Scores `{set: [N]}` of a detector on one network, and what it took."""

    scores: dict[str, np.ndarray]
    needs: list[str]
    chosen: dict[str, Any]
    fit_seconds: float
    ms_per_image: float


@cache
def _code() -> bytes:
    """A hash of this library's own code: other code may score otherwise."""
    root = Path(flowjax_ood.__file__).parent
    files = sorted(root.rglob("*.py"))
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).digest()


def digest(*trees) -> str:
    """A hash of arrays and plain values, names in dicts too, and of the library."""
    found = hashlib.sha256(_code())
    for path, leaf in jax.tree_util.tree_flatten_with_path(trees)[0]:
        found.update(jax.tree_util.keystr(path).encode())
        if isinstance(leaf, np.ndarray | jax.Array):
            leaf = np.ascontiguousarray(leaf)
            found.update(f"{leaf.dtype}{leaf.shape}".encode())
            found.update(leaf.data)
        else:
            found.update(f"{type(leaf).__name__} {leaf!r}".encode())
    return found.hexdigest()


def kept(room: Path, name: str, key: str, compute: Callable[[], Scored]) -> Scored:
    """The scores in `room` under `name` where they have that `key`, else computed.

    Those of another key, and files that cannot be read, are written anew. Of several
    processes, process 0 reads and writes; all have what it finds, or all compute.
    """
    file = room / (re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") + ".npz")
    sent = on_lead(lambda: _read(file, key))
    if sent:
        _, found = _parsed(base64.b64decode(sent))
    else:
        found = compute()
        on_lead(lambda: _write(file, key, found))
    return found


def _read(file: Path, key: str) -> str:
    """The file, as text that can be sent; nothing where it has not that key."""
    try:
        content = file.read_bytes()
    except OSError:
        return ""
    found = _parsed(content)
    same = found is not None and found[0] == key
    return base64.b64encode(content).decode() if same else ""


def _parsed(content: bytes) -> tuple[str | None, Scored] | None:
    """`(key, scores)` of a file, None for what is none."""
    try:
        with np.load(BytesIO(content)) as archive:
            record = json.loads(str(archive[RECORD]))
            key = record.pop("key", None)
            sets = record.pop("sets")
            scores = {name: archive[f"set_{k}"] for k, name in enumerate(sets)}
            return key, Scored(scores, **record)
    except (EOFError, ValueError, KeyError, TypeError, *_BAD):
        return None


def _write(file: Path, key: str, scored: Scored) -> None:
    record = asdict(scored) | {"key": key, "sets": list(scored.scores)}
    del record["scores"]
    arrays = {f"set_{k}": s for k, s in enumerate(scored.scores.values())}
    buffer = BytesIO()
    np.savez_compressed(buffer, **arrays, **{RECORD: np.array(json.dumps(record))})
    file.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(file, buffer.getvalue())
