"""The values that settings of detectors may have, declared by field and checked once.

@dataclass(frozen=True)
class SCALE(Detector):
    pruned: float = 0.85
    ranges = {"pruned": SHARE}
"""

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Within:
    """Numbers from `low` to `high`; `without` has the ends that are left out: `()`.

    `many`: a tuple of such numbers, at least one of them. `names`: strings that are
    allowed as well. `hint` ends the error.
    """

    low: float = -math.inf
    high: float = math.inf
    without: str = ""
    integer: bool = False
    many: bool = False
    names: tuple[str, ...] = ()
    hint: str = ""

    def __str__(self):
        kind = "an integer" if self.integer else "a number"
        if self.many:
            kind = "a tuple of one or more, each " + kind
        left = "(" if "(" in self.without or self.low == -math.inf else "["
        right = ")" if ")" in self.without or self.high == math.inf else "]"
        names = "".join(f" or {name!r}" for name in self.names)
        hint = f": {self.hint}" if self.hint else ""
        return f"{kind} in {left}{self.low:g}, {self.high:g}{right}{names}{hint}"

    def allows(self, value) -> bool:
        if self.many:
            items = _items(value)
            return bool(items) and all(map(self._allows, items))
        named = isinstance(value, str) and value in self.names
        return named or self._allows(value)

    def _allows(self, value) -> bool:
        kind = numbers.Integral if self.integer else numbers.Real
        number = isinstance(value, kind) and not isinstance(value, bool)
        if not number or not math.isfinite(value):
            return False
        above = value > self.low if "(" in self.without else value >= self.low
        below = value < self.high if ")" in self.without else value <= self.high
        return above and below


@dataclass(frozen=True)
class ShareOrCount:
    """A share of something in [0, 1), or how many of it: a whole number."""

    def __str__(self):
        return "a share in [0, 1) or a whole number"

    def allows(self, value) -> bool:
        return Within(0).allows(value) and (value < 1 or value == int(value))


@dataclass(frozen=True)
class Names:
    """A tuple of names, which may be empty; a name alone is not split into letters."""

    def __str__(self):
        return "a tuple of names, ('name',)"

    def allows(self, value) -> bool:
        several = isinstance(value, tuple | list)
        return several and all(isinstance(name, str) for name in value)


@dataclass(frozen=True)
class OneOf:
    """One of a few names, or of a few integers."""

    names: tuple[str | int, ...]

    def __str__(self):
        return f"one of {', '.join(map(str, self.names))}"

    def allows(self, value) -> bool:
        simple = isinstance(value, str | numbers.Integral)
        return simple and not isinstance(value, bool) and value in self.names


Range = Within | ShareOrCount | Names | OneOf
SHARE = Within(0, 1, ")", hint="a share, not per cent")
POSITIVE = Within(0, without="(")
COUNT = Within(1, integer=True)
SHARE_OR_COUNT = ShareOrCount()
NAMES = Names()
SEED = Within(0, 2**32 - 1, integer=True)
STEPS = Within(0, many=True, hint="0 is no step")


def ranges_of(**ranges: Range) -> Mapping[str, Range]:
    """Make the `ranges` of a detector, by field."""
    return MappingProxyType(ranges)


def check_settings(settings, ranges: Mapping[str, Range], what: str) -> None:
    """Raise ValueError for the first attribute of `settings` not within its range."""
    for name, allowed in ranges.items():
        value = getattr(settings, name)
        if not allowed.allows(value):
            raise ValueError(f"{what}: {name} must be {allowed}; got {value!r}")


def _items(value) -> list:
    try:
        return [] if isinstance(value, str) else list(value)
    except TypeError:
        return []
