"""Read files of `torch.save` without torch, and without running what they hold.

A torch checkpoint is a pickle, and unpickling runs whatever functions the file names.
Here only a few names are understood, which describe tensors; any other one ends the
reading. The numbers themselves are plain bytes beside the pickle.
"""

import os
import struct
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from flowjax_ood.interop.torch_tensors import (
    CheckpointFormatError,
    Storage,
    with_arrays,
)
from flowjax_ood.interop.torch_unpickler import TorchUnpickler

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
BIG_ENDIAN = "written on a big-endian machine, or does not say on which"


def read_torch_checkpoint(path: str | os.PathLike) -> Any:
    """Read the content of `torch.load(path)` safely, tensors as NumPy arrays.

    Both formats of `torch.save` are read: the zip archive of torch 1.6 and later, and
    the older one. Returns the dicts, lists, tuples, numbers and strings of the file,
    each tensor as a read-only array of its shape and dtype; tensors that shared memory
    share it. Attributes of dicts, such as the `_metadata` of a state dict, are dropped.

    Raises CheckpointFormatError for what is not such a file, is cut short, was written
    on a big-endian machine, or names any class or function but those of tensors in
    dicts (as whole pickled models do): nothing that a file names is ever run. Raises
    FileNotFoundError and the like for a file that cannot be opened.
    """
    path = Path(path)
    with path.open("rb") as file:
        try:
            read = _read_zip if zipfile.is_zipfile(file) else _read_legacy
            file.seek(0)
            return read(file)
        except CheckpointFormatError as error:
            raise CheckpointFormatError(f"{path}: {error}") from error
        # a damaged pickle or archive can fail in about every way there is
        except Exception as error:
            raise CheckpointFormatError(
                f"{path}: damaged, or no torch checkpoint "
                f"({type(error).__name__}: {error})"
            ) from error


def read_state_dict(
    path: str | os.PathLike, key: str | None = None
) -> dict[str, np.ndarray]:
    """Read the tensors `{name: array}` of a checkpoint, or of its entry `key`.

    `load_original(read_state_dict("last.pth.tar", key="net"), ...)` reads a checkpoint
    of the paper's code. Raises as `read_torch_checkpoint` does, and
    CheckpointFormatError for a file, or an entry, that is no dict of tensors.
    """
    content = read_torch_checkpoint(path)
    outer = content if isinstance(content, Mapping) else {}
    state = content if key is None else outer.get(key)
    tensors = dict(state) if isinstance(state, Mapping) else {}
    if tensors and all(isinstance(value, np.ndarray) for value in tensors.values()):
        return tensors
    what = "it" if key is None else f"its entry {key!r}"
    inside = [repr(k) for k, value in outer.items() if isinstance(value, Mapping)]
    raise CheckpointFormatError(
        f"{path}: {what} is no dict of tensors; "
        f"dicts are under these keys: {', '.join(inside) or 'none'}"
    )


def _read_legacy(file: BinaryIO) -> Any:
    """Pickles of magic, protocol, system, content and storage keys; then the storages.

    Each storage is its number of elements, an int64, and their bytes.
    """
    try:
        magic = TorchUnpickler(file).load()
    except Exception:
        magic = None
    if magic != LEGACY_MAGIC:
        raise CheckpointFormatError("no torch checkpoint (wrong magic number)")
    protocol = TorchUnpickler(file).load()
    if protocol != LEGACY_PROTOCOL:
        raise CheckpointFormatError(
            f"of legacy protocol {protocol!r}; known: {LEGACY_PROTOCOL}"
        )
    system = TorchUnpickler(file).load()
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise CheckpointFormatError(BIG_ENDIAN)
    unpickler = TorchUnpickler(file)
    content = unpickler.load()
    keys = TorchUnpickler(file).load()
    if not isinstance(keys, list) or set(keys) != set(unpickler.storages):
        raise CheckpointFormatError("it does not hold the storages that it names")
    arrays, at, size = {}, file.tell(), os.fstat(file.fileno()).st_size
    for key in keys:
        storage = unpickler.storages[key]
        if size - at < 8 + storage.bytes:
            raise CheckpointFormatError(_cut_short(storage, size - at))
        (count,) = struct.unpack("<q", file.read(8))
        if count != storage.numbers:
            raise CheckpointFormatError(
                f"storage {key} holds {count} numbers, not the {storage.numbers} it "
                "names"
            )
        arrays[key] = _array(storage, file.read(storage.bytes))
        at += 8 + storage.bytes
    return with_arrays(content, arrays)


def _read_zip(file: BinaryIO) -> Any:
    """`NAME/data.pkl`, the content; `NAME/data/KEY`, the bytes of each storage."""
    with zipfile.ZipFile(file) as archive:
        listed = archive.namelist()
        names = set(listed)
        if len(names) < len(listed):
            raise CheckpointFormatError("it holds two files of one name")
        content_names = [
            n for n in listed if n.count("/") == 1 and n[-9:] == "/data.pkl"
        ]
        if not content_names:
            raise CheckpointFormatError("no torch checkpoint (a zip without data.pkl)")
        if len(content_names) > 1:
            raise CheckpointFormatError(
                f"it holds {len(content_names)} checkpoints "
                f"({', '.join(content_names)}); keep one in a file"
            )
        # torch compresses nothing; what is compressed may be larger than memory
        for entry in archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED:
                raise CheckpointFormatError(f"its {entry.filename} is compressed")
        root = content_names[0].removesuffix("data.pkl")
        # absent before torch 2.1, which wrote on little-endian machines
        order = root + "byteorder"
        if order in names and archive.read(order) != b"little":
            raise CheckpointFormatError(BIG_ENDIAN)
        unpickler = TorchUnpickler(BytesIO(archive.read(root + "data.pkl")))
        content = unpickler.load()
        arrays = {}
        for key, storage in unpickler.storages.items():
            name = f"{root}data/{key}"
            if name not in names:
                raise CheckpointFormatError(f"its storage {key} is missing")
            entry = archive.getinfo(name)
            if entry.file_size != storage.bytes:
                raise CheckpointFormatError(_cut_short(storage, entry.file_size))
            arrays[key] = _array(storage, archive.read(entry))
    return with_arrays(content, arrays)


def _array(storage: Storage, data: bytes) -> np.ndarray:
    return np.frombuffer(data, storage.dtype) if data else np.zeros(0, storage.dtype)


def _cut_short(storage: Storage, left: int) -> str:
    return f"storage {storage.key} of {storage.bytes} bytes has only {left} in the file"
