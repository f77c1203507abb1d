"""Configs from files, changes to them from the command line, and their keeping."""

import ast
import difflib
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

# What may differ when a run goes on: nothing of this changes what is computed.
MAY_CHANGE = (
    "parallel",
    "data.path",
    "eval",
    "train.log_every",
    "train.checkpoint_every",
    "train.keep_checkpoints",
)


class UserError(Exception):
    """Something asked for cannot be done; the message says what and how to mend it."""


def load_config(where: str, overrides: Sequence[str] = ()) -> ConfigDict:
    """The config of `PATH[:VARIANT]` with `a.b=value` overrides applied.

    Raises UserError for a missing file, an unknown variant or key (with the nearest
    known one), and a value of another type.
    """
    path, _, variant = where.partition(":")
    file = Path(path)
    if not file.is_file():
        known = sorted(p.name for p in (Path(__file__).parent / "configs").glob("*.py"))
        known = [n for n in known if n not in ("__init__.py", "common.py")]
        raise UserError(
            f"no config file {path!r}; in experiments/configs: {', '.join(known)}"
        )
    spec = importlib.util.spec_from_file_location("experiment_config", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "get_config"):
        raise UserError(f"{path} defines no get_config(variant)")
    try:
        config = module.get_config(variant)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error
    for override in overrides:
        _apply(config, override)
    return config


def with_overrides(
    config: ConfigDict, overrides: Sequence[str], rooms: tuple[str, ...]
) -> ConfigDict:
    """A run's config with overrides in the given rooms, such as "eval", alone."""
    for override in overrides:
        if override.partition(".")[0] not in rooms:
            raise UserError(
                f"config key {override.partition('=')[0]!r} is part of the trained run;"
                f" here only {' and '.join(rooms)} keys can be changed"
            )
        _apply(config, override)
    return config


def _apply(config: ConfigDict, override: str) -> None:
    name, equals, text = override.partition("=")
    if not equals:
        raise UserError(f"--config.{name} needs a value: --config.{name}=VALUE")
    flat = flatten(config)
    if name not in flat:
        near = difflib.get_close_matches(name, flat, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(flat)}"
        raise UserError(f"unknown config key {name!r}; {hint}")
    *parents, leaf = name.split(".")
    node = config
    for parent in parents:
        node = node[parent]
    node[leaf] = _parse(name, text, flat[name])


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
    if kind is tuple and isinstance(value, (str, list)):
        # one set is written without parentheses: --config.data.ood=mnist:test
        value = (value,) if isinstance(value, str) else tuple(value)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise UserError(
            f"config key {name!r} takes a {kind.__name__} such as {current!r}, got "
            f"{text!r}"
        )
    return value


def flatten(config, prefix: str = "") -> dict:
    """`{"a.b": value}` of a nested config."""
    flat = {}
    for key, value in config.items():
        if isinstance(value, (ConfigDict, dict)):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def keep_config(config: ConfigDict, workdir: Path) -> None:
    """Write config.json, or check that the workdir's own asks for the same run.

    Raises UserError, changing nothing, if the workdir belongs to another config.
    """
    file = workdir / "config.json"
    if file.exists():
        before, now = flatten(read_config(workdir)), flatten(config)
        changed = [
            f"{k} ({before.get(k)!r} there, {now.get(k)!r} now)"
            for k in sorted(before.keys() | now.keys())
            if before.get(k) != now.get(k) and not _may_change(k)
        ]
        if changed:
            raise UserError(
                f"{workdir} belongs to another config: {'; '.join(changed)}. Give "
                "another --workdir, or the same config to go on"
            )
    workdir.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps(config.to_dict(), indent=2) + "\n")
    temporary.replace(file)


def _may_change(key: str) -> bool:
    return any(key == k or key.startswith(k + ".") for k in MAY_CHANGE)


def read_config(workdir: Path) -> ConfigDict:
    """The config a run was started with."""
    file = workdir / "config.json"
    if not file.is_file():
        raise UserError(f"{workdir} holds no run (no config.json); train one first")
    try:
        raw = json.loads(file.read_text())
    except json.JSONDecodeError as error:
        raise UserError(
            f"{file} is not JSON ({error}); restore it, or start in a new workdir"
        ) from error
    return ConfigDict(_tuples(raw))


def _tuples(value):
    """JSON knows no tuples: lists become tuples again."""
    if isinstance(value, dict):
        return {k: _tuples(v) for k, v in value.items()}
    return tuple(value) if isinstance(value, list) else value
