"""Configs from files, changes to them from the command line, and their keeping."""

import ast
import difflib
import importlib.util
import json
import traceback
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from flowjax_ood.analysis.atomic import write_bytes

CONFIGS = Path(__file__).parent / "configs"
# What every config has, whatever its experiment.
ROOMS = ("seed", "parallel", "data", "model", "optimizer", "train", "eval")
# What may differ when a run goes on: nothing of this changes what is computed.
# (Other images at another path are refused by their hash.)
MAY_CHANGE = (
    "data.path",
    "data.ood_path",
    "eval",
    "train.log_every",
    "train.checkpoint_every",
    "train.keep_checkpoints",
)

# Keys that kept configs may lack, at what they were when nobody could set them.
LATER_KEYS = {
    "data": {"ood_source": (), "ood_path": (), "altered": (), "channels": 0},
    "train": {"negative": "", "negative_classes": 0, "negative_threshold": -30_000.0},
    "eval": {"draws": 1},
}


class UserError(Exception):
    """Something asked for cannot be done; the message says what and how to mend it."""


def load_config(where: str, overrides: Sequence[str] = ()) -> ConfigDict:
    """The config of `PATH[:VARIANT]` with `a.b=value` overrides applied.

    Raises UserError for a missing or broken file, an unknown variant or key (with the
    nearest known one), and a value of another type.
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
    _check_rooms(config, path)
    for override in overrides:
        _apply(config, override)
    return config


def known_configs() -> list[str]:
    """File names of the experiments in experiments/configs."""
    shared = ("__init__.py", "common.py", "glow_common.py", "tabular_common.py")
    return sorted(p.name for p in CONFIGS.glob("*.py") if p.name not in shared)


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
    """What went wrong in a config file, and in which of its lines."""
    here = Path(path).resolve()
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.lineno for f in frames if Path(f.filename).resolve() == here]
    at = f", line {lines[-1]}" if lines else ""
    return f"config file {path}{at}: {type(error).__name__}: {error}"


def _check_rooms(config: dict | ConfigDict, origin: str | Path) -> None:
    missing = [room for room in ROOMS if room not in config]
    if not missing:
        # the keys every run reads, whatever its model is
        from experiments.configs.common import real_nvp

        needed = flatten(real_nvp("", "", ()))
        found = flatten(config)
        missing = [k for k in needed if k not in found and not k.startswith("model.")]
    if missing:
        raise UserError(f"{origin} is no whole config: {', '.join(missing)} missing")


def with_overrides(
    config: ConfigDict, overrides: Sequence[str], keys: tuple[str, ...]
) -> ConfigDict:
    """A run's config with overrides of the given keys, or of all below them, alone."""
    for override in overrides:
        key = override.partition("=")[0]
        if not _among(key, keys):
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
        value = _parse_integers(value) if numbers else _parse_names(value)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        article = "an" if kind is int else "a"
        raise UserError(
            f"config key {name!r} takes {article} {kind.__name__} such as {current!r}, "
            f"got {text!r}"
        )
    return value


def _parse_names(value):
    """A tuple of names, None for anything else; `a:test,b:test` needs no quotes."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    named = isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value)
    return tuple(v for v in value if v) if named else None


def _parse_integers(value):
    """A tuple of integers, None for anything else; `3` is one of them."""
    value = value if isinstance(value, (list, tuple)) else (value,)
    return tuple(value) if all(type(n) is int for n in value) else None


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

    Raises UserError, changing nothing, if the workdir belongs to another config, holds
    checkpoints of nobody knows which, or cannot be written.
    """
    file = workdir / "config.json"
    if file.exists():
        before, now = flatten(read_config(workdir)), flatten(config)
        free = _may_change(now)
        changed = [
            f"{k} ({_value(before, k)} there, {_value(now, k)} now)"
            for k in sorted(before.keys() | now.keys())
            if _value(before, k) != _value(now, k) and not _among(k, free)
        ]
        if changed:
            raise UserError(
                f"{workdir} belongs to another config: {'; '.join(changed)}. Give "
                "another --workdir, or the same config to go on"
            )
    elif any(workdir.glob("checkpoints/*")):
        raise UserError(
            f"{workdir} holds checkpoints but no config.json to tell of which run; "
            "restore it, or give another --workdir"
        )
    try:
        # several processes of one ablation may write it at a time
        text = json.dumps(config.to_dict(), indent=2) + "\n"
        write_bytes(file, text.encode())
    except OSError as error:
        raise UserError(f"cannot write in --workdir {workdir}: {error}") from error


def _value(flat: dict, key: str) -> str:
    return repr(flat[key]) if key in flat else "nothing"


def _may_change(config: dict) -> tuple[str, ...]:
    """Keys of a run that may be set anew when it goes on."""
    keys = MAY_CHANGE
    if config.get("model.norm") != "batch":
        # batch norm takes its statistics where the mode of parallelism has them taken
        keys += ("parallel",)
    if config.get("optimizer.schedule") == "constant":
        # a longer run is the same run, where no schedule looks at its end
        keys += ("train.num_steps", "train.num_epochs")
    return keys


def _among(key: str, keys: tuple[str, ...]) -> bool:
    return any(key == k or key.startswith(k + ".") for k in keys)


def read_config(workdir: Path) -> ConfigDict:
    """The config a run was started with."""
    file = workdir / "config.json"
    if not file.is_file():
        raise UserError(f"{workdir} holds no run (no config.json); train one first")
    try:
        raw = json.loads(file.read_text())
    except ValueError as error:
        raise UserError(
            f"{file} is not JSON ({error}); restore it, or start in a new workdir"
        ) from error
    if not isinstance(raw, dict):
        raise UserError(f"{file} is no config; restore it, or start in a new workdir")
    raw = _with_later_keys(raw)
    _check_rooms(raw, file)
    return ConfigDict(_tuples(_renamed(raw)))


def _with_later_keys(raw: dict) -> dict:
    """A kept config with the keys it is too old to have."""
    later = {
        room: keys | raw[room]
        for room, keys in LATER_KEYS.items()
        if isinstance(raw.get(room), dict)
    }
    return raw | later


def _renamed(raw: dict) -> dict:
    """A kept config with its keys as they are called now."""
    model = dict(raw["model"])
    if "dtype" in model:
        dtype = model.pop("dtype")
        # "float32" left it to the accelerator how to multiply: by default, TF32
        old = {"float32": "tensorfloat32"}
        model["precision"] = old.get(dtype, dtype)
        # keys that came with that name, at what they were when nobody could set them
        since = {"stack": "chain", "remat": "none", "reversible": False}
        model = since | {"convolution": "auto"} | model
    return raw | {"model": model}


def _tuples(value):
    """JSON knows no tuples: lists become tuples again."""
    if isinstance(value, dict):
        return {k: _tuples(v) for k, v in value.items()}
    return tuple(value) if isinstance(value, list) else value
