"""Tensors of a torch file: described while its pickle is read, made afterwards."""

import math
from collections.abc import Mapping
from reprlib import repr as brief
from typing import Any, NamedTuple

import numpy as np


class CheckpointFormatError(ValueError):
    """The file is no torch checkpoint, is damaged, or names code that is not run."""


# Tuples, so that no instruction of a pickle can change one after it was checked.
class Storage(NamedTuple):
    """`numbers` numbers of one dtype, kept in the file under `key`."""

    key: str
    dtype: np.dtype
    numbers: int

    @property
    def bytes(self) -> int:
        """Length in the file."""
        return self.numbers * self.dtype.itemsize


class Tensor(NamedTuple):
    """Element `(i, j, ...)` is number `offset + i stride[0] + j stride[1] + ...`."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def rebuild_tensor(
    storage, offset, size, stride, requires_grad, hooks, metadata=None
) -> Tensor:
    """Stand in for `torch._utils._rebuild_tensor_v2`."""
    numbers = (offset, *size, *stride)
    if (
        not isinstance(storage, Storage)
        or len(size) != len(stride)
        or not all(type(n) is int and n >= 0 for n in numbers)
        or metadata  # a conjugate or negative not yet carried out
    ):
        raise CheckpointFormatError(
            f"a tensor of size {brief(size)}, strides {brief(stride)}, offset "
            f"{brief(offset)} and metadata {brief(metadata)} is not understood"
        )
    return Tensor(storage, offset, tuple(size), tuple(stride))


def rebuild_parameter(data, requires_grad, hooks) -> Tensor:
    """Stand in for `torch._utils._rebuild_parameter`."""
    if not isinstance(data, Tensor):
        raise CheckpointFormatError("a parameter without its tensor")
    return data


def with_arrays(content, arrays: Mapping[str, np.ndarray]):
    """`content` with a read-only array in place of each `Tensor`.

    `arrays` are the storages by their keys. Raises CheckpointFormatError for a tensor
    that reaches outside of its storage, and for what is neither a tensor nor a dict,
    list, tuple, number, string or None.
    """
    done: dict[int, object] = {}

    def visit(value):
        # what is shared, or holds itself, is made once
        if id(value) in done:
            return done[id(value)]
        new: Any
        match value:
            case Tensor():
                new = _view(value, arrays[value.storage.key])
            case dict():
                new = done[id(value)] = {}
                for key, item in value.items():
                    new[_plain(key)] = visit(item)
            case list():
                new = done[id(value)] = []
                new.extend(map(visit, value))
            case tuple() if type(value) is tuple:
                new = tuple(map(visit, value))
            case _:
                return _plain(value)
        done[id(value)] = new
        return new

    return visit(content)


def _plain(value):
    if value is None or isinstance(value, str | bytes | int | float | bytearray):
        return value
    if type(value) is tuple:
        return tuple(map(_plain, value))
    raise CheckpointFormatError(f"it holds {value!r}, which is no plain value")


def _view(tensor: Tensor, array: np.ndarray) -> np.ndarray:
    if math.prod(tensor.size) == 0:
        return np.zeros(tensor.size, array.dtype)
    steps = zip(tensor.size, tensor.stride, strict=True)
    last = tensor.offset + sum((n - 1) * stride for n, stride in steps)
    if last >= array.size:
        raise CheckpointFormatError(
            f"a tensor of size {tensor.size}, strides {tensor.stride} and offset "
            f"{tensor.offset} reaches outside of its storage of {array.size} numbers"
        )
    return np.lib.stride_tricks.as_strided(
        array[tensor.offset :],
        tensor.size,
        [stride * array.itemsize for stride in tensor.stride],
        writeable=False,
    )
