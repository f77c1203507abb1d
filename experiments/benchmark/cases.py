"""The cases of a benchmark: every combination of the swept settings, checked."""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ml_collections import ConfigDict

from experiments.benchmark import STACKINGS
from experiments.core.keys import TABLE, flatten

# {column of every row: the config's key for it}
COLUMNS = {
    key.name.rpartition(".")[2]: key.name
    for key in sorted(TABLE, key=lambda key: key.column)
    if key.column
}


class Case(NamedTuple):
    """One row: a mode, and a config with everything swept set in it."""

    mode: str
    config: ConfigDict
    # {column: value}: the mode, `COLUMNS`, the stacking, and the other varied keys
    settings: dict


def sweep(
    load: Callable[[list[str]], ConfigDict],
    modes: Sequence[str],
    axes: Sequence[Sequence[dict[str, str]]],
) -> list[Case]:
    """Every combination of modes and axes, the last axis the fastest, each one once.

    `load` gives the config with overrides `KEY=VALUE`, and raises UserError for those
    it does not take. Adapters, and steps in a call, matter to training alone:
    elsewhere they are "jit" and 1.
    """
    own = {*COLUMNS.values(), *STACKINGS["chain"]}
    varied = [k for choices in axes for k in choices[0] if k not in own]
    cases: dict[tuple, Case] = {}
    for mode, choices in itertools.product(modes, itertools.product(*axes)):
        overrides = [f"{k}={v}" for choice in choices for k, v in choice.items()]
        config = load(overrides)
        if mode != "train":
            config.parallel = "jit"
            if "steps_per_call" in config.train:
                config.train.steps_per_call = 1
        flat = flatten(config)
        # in the order of the sweep
        settings = {"mode": mode, **{key: flat[key] for key in varied}}
        # models without a precision have one: float32
        flat.setdefault(COLUMNS["precision"], "float32")
        settings |= {column: flat[key] for column, key in COLUMNS.items()}
        settings["stack"] = stacking(config)
        same = (mode, tuple((k, str(v)) for k, v in flat.items()))
        cases.setdefault(same, Case(mode, config, settings))
    return list(cases.values())


def stacking(config: ConfigDict) -> str:
    """The stacking of a config's couplings, one of `STACKINGS`."""
    model = config.model
    options = [model.get("remat", "none")]
    if model.get("reversible", False):
        options.append("reversible")
    return "+".join([model.get("stack", "chain"), *(o for o in options if o != "none")])


def varying(rows: Sequence[dict]) -> list[str]:
    """The columns of `rows` (dictionaries of settings) that are not the same in all."""
    return [c for c in rows[0] if any(row[c] != rows[0][c] for row in rows)]


def short(column: str) -> str:
    """A column's name for a table: `model.couplings` is "couplings"."""
    known = {"batch_size": "batch", "steps_per_call": "steps/call"}
    return known.get(column, column.rpartition(".")[2].replace("_", " "))


def label(settings: dict, columns: Sequence[str]) -> str:
    """A case in a few words: its mode, and its values of `columns`."""
    shown = [settings["mode"]]
    for column in columns:
        if column in ("precision", "parallel", "stack"):
            shown.append(str(settings[column]))
        elif column != "mode":
            shown.append(f"{short(column)} {settings[column]}")
    return " ".join(shown)
