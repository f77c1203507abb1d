"""Torch checkpoints written without torch, both formats, sound and unsound."""

import io
import pickle
import zipfile
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from flowjax_ood.interop.torch_checkpoint import LEGACY_MAGIC, LEGACY_PROTOCOL


@dataclass(frozen=True)
class Global:
    """Pickled as the bare name of a class or function."""

    name: str

    def __call__(self):
        raise AssertionError("only a name")


@dataclass(eq=False)
class Call:
    """Pickled as a call of `function`, with a state set on the result if given."""

    function: str
    args: tuple
    state: object = None


@dataclass
class Storage:
    key: str
    type: str
    data: np.ndarray
    count: int | None = None  # to lie about

    def described(self, *more) -> tuple:
        count = self.data.size if self.count is None else self.count
        return ("storage", Global(f"torch {self.type}"), self.key, "cpu", count, *more)


@dataclass
class Tensor:
    """A view of a storage, as `_rebuild_tensor_v2` takes it."""

    storage: Storage
    size: tuple
    stride: tuple
    offset: int = 0
    more: tuple = field(default=(False, None))

    def as_call(self) -> Call:
        args = (self.storage, self.offset, self.size, self.stride, *self.more)
        return Call("torch._utils _rebuild_tensor_v2", args)


def tensor(key: str, array, kind: str = "FloatStorage") -> Tensor:
    """A contiguous tensor with a storage of its own."""
    array = np.asarray(array)
    strides = tuple(s // array.itemsize for s in array.strides)
    return Tensor(Storage(key, kind, array.reshape(-1)), array.shape, strides)


class Pickler(pickle._Pickler):
    """Writes names that need not exist, and storages by reference."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def __init__(self, file, protocol, *more):
        super().__init__(file, protocol=protocol)
        self.more, self.storages = more, {}

    def persistent_id(self, obj):
        if isinstance(obj, Storage):
            self.storages[obj.key] = obj
            return obj.described(*self.more)
        return None

    def save_global_name(self, obj):
        self.write(b"c" + "\n".join(obj.name.split()).encode() + b"\n")
        self.memoize(obj)

    def save_call(self, obj):
        self.save_reduce(Global(obj.function), obj.args, state=obj.state, obj=obj)

    def save_tensor(self, obj):
        self.save(obj.as_call())

    dispatch[Global] = save_global_name
    dispatch[Call] = save_call
    dispatch[Tensor] = save_tensor


def pickled(content, *more) -> bytes:
    out = io.BytesIO()
    Pickler(out, 2, *more).dump(content)
    return out.getvalue()


def legacy(content, *, little_endian=True, magic=LEGACY_MAGIC) -> bytes:
    """The bytes of a file as torch wrote it before 1.6."""
    out = io.BytesIO()
    system = {"protocol_version": LEGACY_PROTOCOL, "little_endian": little_endian}
    for head in (magic, LEGACY_PROTOCOL, system):
        pickle.dump(head, out, protocol=2)
    pickler = Pickler(out, 2, None)
    pickler.dump(content)
    storages = dict(sorted(pickler.storages.items()))
    pickle.dump(list(storages), out, protocol=2)
    for storage in storages.values():
        out.write(np.int64(storage.data.size).tobytes() + storage.data.tobytes())
    return out.getvalue()


def zipped(content, *, byteorder="little", compression=zipfile.ZIP_STORED) -> bytes:
    """The bytes of a file as torch writes it since 1.6."""
    pickled, out = io.BytesIO(), io.BytesIO()
    pickler = Pickler(pickled, 2)
    pickler.dump(content)
    with zipfile.ZipFile(out, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled.getvalue())
        if byteorder:
            archive.writestr("archive/byteorder", byteorder)
        for key, storage in pickler.storages.items():
            archive.writestr(f"archive/data/{key}", storage.data.tobytes())
        archive.writestr("archive/version", "3\n")
    return out.getvalue()
