"""An unpickler that runs nothing: of a torch file, it reads values and descriptions."""

import pickle
import pickletools
from collections.abc import Callable
from reprlib import repr as brief
from typing import BinaryIO, NamedTuple

import jax.numpy as jnp
import numpy as np

from flowjax_ood.interop.torch_tensors import (
    CheckpointFormatError,
    Storage,
    rebuild_parameter,
    rebuild_tensor,
)

STORAGE_DTYPES = {
    "torch.DoubleStorage": np.dtype("<f8"),
    "torch.FloatStorage": np.dtype("<f4"),
    "torch.HalfStorage": np.dtype("<f2"),
    "torch.BFloat16Storage": np.dtype(jnp.bfloat16),
    "torch.ComplexDoubleStorage": np.dtype("<c16"),
    "torch.ComplexFloatStorage": np.dtype("<c8"),
    "torch.LongStorage": np.dtype("<i8"),
    "torch.IntStorage": np.dtype("<i4"),
    "torch.ShortStorage": np.dtype("<i2"),
    "torch.CharStorage": np.dtype("i1"),
    "torch.ByteStorage": np.dtype("u1"),
    "torch.BoolStorage": np.dtype("?"),
}


class TorchUnpickler(pickle.Unpickler):
    """Reads one pickle; `storages` are those that its tensors refer to, by key.

    A pickle names functions to call. Here a name stands for one of a few functions of
    this library, or reading ends with CheckpointFormatError. `file` is where the pickle
    starts, and can seek.
    """

    def __init__(self, file: BinaryIO):
        _check_memo(file)
        # strings of Python 2 are read as torch reads them
        super().__init__(file, encoding="utf-8")
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str):
        """Return a stand-in for the class or function, if it is one of a few."""
        full = f"{module}.{name}"
        if full not in _CALLS and full not in STORAGE_DTYPES:
            raise CheckpointFormatError(
                f"it names {full}, which is not loaded: only tensors in plain dicts "
                "and lists are. Save torch.save(model.state_dict(), path) instead"
            )
        return _Name(full)

    def persistent_load(self, pid) -> Storage:
        """Describe a storage, whose numbers are read later."""
        match pid:
            case (
                "storage",
                _Name(name),
                str(key),
                str(),  # the device it was on
                int(count),
                *view,
            ) if name in STORAGE_DTYPES and count >= 0 and view in ([], [None]):
                new = Storage(key, STORAGE_DTYPES[name], count)
                if self.storages.setdefault(key, new) == new:
                    return new
        raise CheckpointFormatError(
            f"a storage described by {brief(pid)} is not understood"
        )


def _check_memo(file: BinaryIO) -> None:
    """Raise CheckpointFormatError for a memo larger than the pickle at `file`.

    An instruction may put a value at any index of it, up to 2^32, and memory is taken
    for all that are below; those that write pickles count from 0.
    """
    start, highest = file.tell(), 0
    for opcode, index, _ in pickletools.genops(file):
        if index is not None and opcode.name in ("PUT", "BINPUT", "LONG_BINPUT"):
            highest = max(highest, index)
    length = file.tell() - start
    file.seek(start)
    if highest > length:
        raise CheckpointFormatError(
            f"a pickle of {length} bytes keeps a value under number {highest}"
        )


class _Name(NamedTuple):
    """Stands for a class or function. A tuple: a pickle cannot set attributes on it."""

    name: str

    def __call__(self, *args):
        if self.name not in _CALLS:
            raise CheckpointFormatError(f"it calls {self.name}")
        return _CALLS[self.name](*args)


class _Dict(dict):
    """An OrderedDict of the file; attributes set on it, like `_metadata`, are left."""

    __slots__ = ()

    def __setstate__(self, state):
        pass


_CALLS: dict[str, Callable] = {
    "collections.OrderedDict": _Dict,
    "torch._utils._rebuild_tensor_v2": rebuild_tensor,
    "torch._utils._rebuild_parameter": rebuild_parameter,
}
