"""Configs from files, and changes to them from the command line."""

import ast
import difflib
import importlib.util
import traceback
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from experiments.core.checks import as_type, check, check_sections, shown, type_words
from experiments.core.keys import ROWS, SYSTEMS, Kind, among, flatten, kind, put
from experiments.core.options import CONFIGS, known_configs
from flowjax_ood.interface.errors import UserError


def load_config(
    where: str, overrides: Sequence[str] = (), system: Kind | None = None
) -> ConfigDict:
    """The config of `PATH[:VARIANT]` with `a.b=value` overrides applied, checked.

    `system`: the kind of a command that takes no other, see `keys.SYSTEMS`.

    Raises UserError for a missing or broken file, an unknown variant or key (with the
    nearest known one), a config of another command, and for values that no run can
    have: see `checks.check`.
    """
    path, variant = _file_and_variant(where)
    get_config = _get_config(path)
    try:
        config = get_config(variant)
    except ValueError as error:
        # what a config says of a variant it does not know
        raise UserError(f"{where}: {error}") from error
    except (Exception, SystemExit) as error:
        raise UserError(_broken(path, error)) from error
    if not isinstance(config, ConfigDict):
        raise UserError(
            f"get_config of {path} returned a {type(config).__name__}, not a ConfigDict"
        )
    where = f"config file {path}"
    check_sections(config, where)
    _check_command(config, where, system)
    for override in overrides:
        _apply(config, override)
    check(config, where)
    return config


def _check_command(config: ConfigDict, where: str, system: Kind | None) -> None:
    """Raise UserError for a config that another command takes."""
    of = kind(config)
    if of is system or (system is None and of not in SYSTEMS):
        return
    if system is None:
        raise UserError(f"{where} describes {of.value}; use the command `{of.command}`")
    section, command = SYSTEMS[system]
    raise UserError(
        f"{where} has no section {section!r}, which says what `{command}` does; its "
        f"configs are those of experiments/configs with such a section"
    )


def _file_and_variant(where: str) -> tuple[str, str]:
    """The two parts of `PATH[:VARIANT]`; a path may have colons of its own."""
    path, _, variant = where.rpartition(":")
    if Path(where).is_file() or not path:
        return where, ""
    if not Path(path).is_file():
        path, _, variant = where.partition(":")
    return path, variant


def _get_config(path: str):
    """The function `get_config` of a config file."""
    file = Path(path)
    if not file.is_file():
        known = known_configs()
        near = difflib.get_close_matches(f"{file.stem}.py", known, n=1)
        # from another directory, the whole path
        nearest = f"experiments/configs/{near[0]}" if near else ""
        nearest = str(CONFIGS / near[0]) if nearest == path else nearest
        hint = f"did you mean {nearest}? " if near else ""
        raise UserError(
            f"no config file {path!r}; {hint}in experiments/configs: {', '.join(known)}"
        )
    if file.suffix != ".py":
        raise UserError(f"{path} is not a Python file; a config defines get_config")
    spec = importlib.util.spec_from_file_location("experiment_config", file)
    # there is a loader of .py files
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise UserError(_broken(path, error)) from error
    if not hasattr(module, "get_config"):
        raise UserError(f"{path} defines no get_config(variant)")
    return module.get_config


def _broken(path: str, error: BaseException) -> str:
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
    row = ROWS.get(name)
    wanted = row.type_of(kind(config)) if row else None
    put(config, name, _parse(name, text, wanted or type(flat[name]), flat[name]))


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


def _parse(name: str, text: str, wanted: type | tuple[type], current):
    """The value of a key of type `wanted` that `text` says; `current` is an example."""
    if wanted is str:
        return text
    if wanted is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        value = text
    if isinstance(wanted, tuple):
        value = _several(value, *wanted)
    value = as_type(value, wanted)
    if value is None:
        raise UserError(
            f"config key {name!r} takes {type_words(wanted)} such as {current!r}, "
            f"got {shown(text)}"
        )
    return value


def _several(value, wanted: type) -> tuple:
    """A tuple of what may be a single value: `3` and `a:test,b:test` are tuples."""
    if wanted is str and isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if not isinstance(value, (list, tuple)):
        value = (value,)
    return tuple(v for v in value if v != "")
