"""What a compiled program sends between devices, read off its text."""

import math
import re
from typing import NamedTuple

KINDS = (
    "all-reduce",
    "all-gather",
    "ragged-all-to-all",
    "all-to-all",
    "reduce-scatter",
    "collective-permute",
    "collective-broadcast",
)
_OPERATION = re.compile(rf" = (.*?) ({'|'.join(KINDS)})(?:-start)?\(")
_ARRAY = re.compile(r"\b([a-z]\w*)\[([\d,]*)\]")
# the bits that an element type ends with: f32, bf16, s8, f8e4m3fn; of "pred" a byte
_BITS = re.compile(r"[a-z]+(\d+)")


class Collective(NamedTuple):
    """An operation among devices: its kind, and the arrays that each device gets.

    `types` are XLA's names of element types, an array each; `values` and `nbytes` are
    sums over the arrays.
    """

    kind: str
    types: tuple[str, ...]
    values: int
    nbytes: int


def collectives(text: str) -> list[Collective]:
    """Every collective operation of a compiled program, in its order.

    Args:
        text: `jax.jit(f).lower(...).compile().as_text()`. An operation inside a loop
            counts once. Of programs for accelerators, whose operations start and end
            apart, results of a start may repeat what is sent.
    """
    found = []
    for result, kind in _OPERATION.findall(text):
        arrays = [
            (name, math.prod(map(int, filter(None, shape.split(",")))))
            for name, shape in _ARRAY.findall(result)
        ]
        found.append(
            Collective(
                kind,
                tuple(name for name, _ in arrays),
                sum(values for _, values in arrays),
                sum(-(-values * _bits(name) // 8) for name, values in arrays),
            )
        )
    return found


def _bits(name: str) -> int:
    bits = _BITS.match(name)
    return int(bits[1]) if bits else 8
