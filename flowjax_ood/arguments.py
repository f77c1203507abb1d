"""Numbers among the arguments of models and layers: checked, each by one error."""

import math
import operator
from numbers import Real
from typing import Any


def whole_number(name: str, value, least: int | None = None, remedy: str = "") -> int:
    """Return `value` as an int.

    Raises ValueError, which names it, for what is no whole number, such as 1.5, "2" or
    True, and for less than `least`, with what to do then.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be a whole number, got {value!r}") from None
    if least is not None and number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}{remedy}")
    return number


def real_number(name: str, value: Any) -> float:
    """Return `value`; ValueError, which names it, for what is no finite number."""
    # `Real` has numbers of NumPy too, which are no `float` to a checker of types
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number:
        raise ValueError(f"{name} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    return value


def event_shape(name: str, shape) -> tuple[int, ...]:
    """Return `shape` as a tuple of ints, at least 1; ValueError, which names it."""
    try:
        return tuple(whole_number(name, length, 1) for length in shape)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} must be a tuple of whole numbers, at least 1, got {shape!r}"
        ) from None
