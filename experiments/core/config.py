"""Configs from files, and changes to them from the command line."""

import ast
import difflib
import importlib.util
import traceback
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from experiments.core.checks import check
from experiments.core.errors import UserError
from experiments.core.keys import among, flatten, missing
from experiments.core.options import known_configs


def load_config(where: str, overrides: Sequence[str] = ()) -> ConfigDict:
    """The config of `PATH[:VARIANT]` with `a.b=value` overrides applied, checked.

    Raises UserError for a missing or broken file, an unknown variant or key (with the
    nearest known one), and for values that no run can have: see `checks.check`.
    """
    path, _, variant = where.partition(":")
    get_config = _get_config(path)
    try:
        config = get_config(variant)
    except ValueError as error:
        # what a config says of a variant it does not know
        raise UserError(f"{where}: {error}") from error
    except Exception as error:
        raise UserError(_broken(path, error)) from error
    if not isinstance(config, ConfigDict):
        raise UserError(
            f"get_config of {path} returned a {type(config).__name__}, not a ConfigDict"
        )
    if absent := missing(config):
        raise UserError(f"{path} is no whole config: {', '.join(absent)} missing")
    for override in overrides:
        _apply(config, override)
    check(config)
    return config


def _get_config(path: str):
    """The function `get_config` of a config file."""
    file = Path(path)
    if not file.is_file():
        known = known_configs()
        near = difflib.get_close_matches(f"{file.stem}.py", known, n=1)
        hint = f"did you mean experiments/configs/{near[0]}? " if near else ""
        raise UserError(
            f"no config file {path!r}; {hint}in experiments/configs: {', '.join(known)}"
        )
    if file.suffix != ".py":
        raise UserError(f"{path} is not a Python file; a config defines get_config")
    spec = importlib.util.spec_from_file_location("experiment_config", file)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(_broken(path, error)) from error
    if not hasattr(module, "get_config"):
        raise UserError(f"{path} defines no get_config(variant)")
    return module.get_config


def _broken(path: str, error: Exception) -> str:
    """Say what went wrong in a config file, and in which of its lines."""
    here = Path(path).resolve()
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.lineno for f in frames if Path(f.filename).resolve() == here]
    at = f", line {lines[-1]}" if lines else ""
    return f"config file {path}{at}: {type(error).__name__}: {error}"


def with_overrides(
    config: ConfigDict, overrides: Sequence[str], keys: tuple[str, ...]
) -> ConfigDict:
    """Set keys of a run's config: those of `keys`, or below them, and no others."""
    for override in overrides:
        key = override.partition("=")[0]
        if not among(key, keys):
            raise UserError(
                f"config key {key!r} is part of the trained run; here only "
                f"{', '.join(keys)} can be changed"
            )
        _apply(config, override)
    return config


def _apply(config: ConfigDict, override: str) -> None:
    name, equals, text = override.partition("=")
    if not equals:
        raise UserError(f"--config.{name} needs a value: --config.{name}=VALUE")
    flat = flatten(config)
    if name not in flat:
        raise UserError(_unknown_key(name, list(flat)))
    *parents, leaf = name.split(".")
    node = config
    for parent in parents:
        node = node[parent]
    node[leaf] = _parse(name, text, flat[name])


def _unknown_key(name: str, known: list[str]) -> str:
    inside = [k for k in known if k.startswith(name + ".")]
    if inside:
        return f"config key {name!r} is a group; set one of {', '.join(inside)}"
    # a key without its group, "batch_size", or else a misspelt one
    near = [k for k in known if k.endswith("." + name)]
    near = near or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, near))}?"
    if not near:
        hint = f"known: {', '.join(known)}"
    return f"unknown config key {name!r}; {hint}"


def _parse(name: str, text: str, current):
    kind = type(current)
    if kind is str:
        return text
    if kind is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if kind is tuple:
        # of integers where it holds some, else of names
        numbers = bool(current) and all(type(n) is int for n in current)
        value = _as_tuple(value, int if numbers else str)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        article = "an" if kind is int else "a"
        raise UserError(
            f"config key {name!r} takes {article} {kind.__name__} such as {current!r}, "
            f"got {text!r}"
        )
    return value


def _as_tuple(value, kind: type) -> tuple | None:
    """A tuple of that kind, None for what is none; `3` and `a:test,b:test` are."""
    if kind is str and isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if not isinstance(value, (list, tuple)):
        value = (value,)
    return (
        tuple(v for v in value if v != "")
        if all(type(v) is kind for v in value)
        else None
    )
