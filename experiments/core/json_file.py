"""JSON files of workdirs, read in one way: damage is an error that names the file.

A power cut leaves files empty or cut short, an editor or another program leaves other
types. A shape says what has to be there, and is checked before anything is used:

* `str`, `dict`, `list`, `bool`: a value of that type; `int`: a whole number of at least
  0; `float`: a finite number; `object`: anything;
* `{"key": shape}`: an object with that key, which may be missing if its shape is
  `IfThere(shape)`;
* `Each(shape)`: an object all of whose values have the shape;
* `Items(shape, least)`: a list of at least so many values of the shape;
* `Maybe(shape)`: null, too.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from flowjax_ood.interface.errors import UserError
from flowjax_ood.training.logs.metrics import is_number

# a type, a dict of shapes, or one of the classes below
Shape = Any


class Each(NamedTuple):
    """An object all of whose values have the shape."""

    shape: Shape


class Items(NamedTuple):
    """A list of at least `least` values of the shape."""

    shape: Shape
    least: int = 0


class Maybe(NamedTuple):
    """A value of the shape, or null."""

    shape: Shape


class IfThere(NamedTuple):
    """Of a key that may be missing: the shape of its value."""

    shape: Shape


KINDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}


def load(file: Path, shape: Shape = dict) -> dict:
    """Read a file whose content has that shape.

    Raises FileNotFoundError, OSError where it cannot be read, and ValueError, in words
    that do not name the file, for content that is no JSON or of another shape.
    """
    try:
        content = json.loads(file.read_bytes())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"it is not JSON ({error})") from error
    if wrong := mismatch(content, shape):
        raise ValueError(wrong)
    return content


def read(file: Path, shape: Shape = dict, *, remedy: str) -> dict:
    """`load`; UserError, which names the file and the remedy, for all that is wrong."""
    try:
        return load(file, shape)
    except FileNotFoundError as error:
        raise UserError(f"{file} is missing; {remedy}") from error
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}; {remedy}") from error
    except ValueError as error:
        raise UserError(f"{file} is damaged: {error}; {remedy}") from error


def require(content: dict, shape: Shape, file: Path, *, remedy: str) -> None:
    """UserError, which names the file and the remedy, unless it is of that shape."""
    if wrong := mismatch(content, shape):
        raise UserError(f"{file} is damaged: {wrong}; {remedy}")


def mismatch(value: Any, shape: Shape, name: str = "") -> str:
    """Say where a value is not of a shape; empty where it is."""
    if isinstance(shape, IfThere):
        shape = shape.shape
    if isinstance(shape, Maybe):
        return "" if value is None else mismatch(value, shape.shape, name)
    below = f"{name}." if name else ""
    if isinstance(shape, Each):
        known = {key: shape.shape for key in value} if isinstance(value, dict) else {}
        return mismatch(value, known or dict, name)
    if isinstance(shape, Items):
        if type(value) is not list or len(value) < shape.least:
            least = f" of at least {shape.least}" if shape.least else ""
            return f"{name or 'it'} is {_shown(value)}, not a list{least}"
        named = ((v, f"{name}[{n}]") for n, v in enumerate(value))
        return next(filter(None, (mismatch(v, shape.shape, n) for v, n in named)), "")
    if isinstance(shape, dict):
        if wrong := mismatch(value, dict, name):
            return wrong
        needed = [key for key, s in shape.items() if not isinstance(s, IfThere)]
        if absent := [f"{below}{key}" for key in needed if key not in value]:
            return f"it lacks {', '.join(absent)}"
        given = ((value[k], s, below + k) for k, s in shape.items() if k in value)
        return next(filter(None, (mismatch(*each) for each in given)), "")
    if _is(value, shape):
        return ""
    return f"{name or 'it'} is {_shown(value)}, not {KINDS[shape]}"


def _is(value: object, kind: type) -> bool:
    if kind is object:
        return True
    if kind is int:
        return type(value) is int and value >= 0
    if kind is float:
        return is_number(value)
    return type(value) is kind


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
