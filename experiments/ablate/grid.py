"""The cells of an ablation: every combination of its grids, checked."""

import itertools
import json
import re
from typing import NamedTuple

from ml_collections import ConfigDict

from experiments.core.checks import check
from experiments.core.config import with_overrides
from experiments.core.keys import among, complete, flatten, names, put
from flowjax_ood.interface.errors import UserError, user_errors

# The section that makes a config an ablation, and what it holds.
KEYS = ("seeds", "grids")
# what it may hold as well, and the key of grids that chooses among them
FLOWS, FLOW = "flows", "flow"


class Cell(NamedTuple):
    """One row of the table: settings `{key: value}`, and a config for every seed."""

    name: str
    folder: str
    settings: dict
    configs: dict[int, ConfigDict]

    def run(self, seed: int) -> str:
        """The name of a run."""
        return f"{self.name}, seed {seed}"


def cells(config: ConfigDict) -> list[Cell]:
    """Make the rows of `config`, that of a run with a section `ablate`.

    * `seeds`: `(0, 1, 2)`, the values that `seed` takes in every row;
    * `grids`: a tuple of `{key: (value, ...)}`. A grid is every combination of its
      values, its last key the fastest; the rows are those of all grids, each once;
    * `flows`, which may be left out: `({"name": ..., "model": {...}, ...}, ...)`, flows
      with sections of their own. A grid takes them by the key `flow`, whose values are
      names. The section `model` replaces the config's, of others the keys that are
      there.

    A row is named by the keys that are set, without their section. Raises UserError for
    a config without that section, and for keys and values that no run has.
    """
    if "ablate" not in config:
        raise UserError(
            "the config describes one run, not an ablation (no `ablate` section); "
            "experiments/configs/*_ablation.py and *_modern.py are ablations"
        )
    section = config.ablate.to_dict()
    if set(section) - {FLOWS} != set(KEYS):
        raise UserError(
            f"config.ablate holds {', '.join(KEYS)}, not {', '.join(sorted(section))}"
        )
    flows = {flow["name"]: flow for flow in section.get(FLOWS, ())}
    seeds, grids = section["seeds"], section["grids"]
    if not seeds or len(set(seeds)) != len(seeds):
        raise UserError(f"config.ablate.seeds must be different numbers, got {seeds}")
    base = ConfigDict({k: v for k, v in config.items() if k != "ablate"})
    rows: dict[str, Cell] = {}
    for grid in grids:
        for key, values in grid.items():
            if not isinstance(values, (tuple, list)):
                raise UserError(
                    f"config.ablate.grids: {key!r} takes a tuple of values, such as "
                    f"({values!r},), got {values!r}"
                )
        for values in itertools.product(*grid.values()):
            settings = dict(zip(map(str, grid), values))
            if "seed" in settings:
                raise UserError("seeds are set by config.ablate.seeds, not in a grid")
            for key in filter(lambda key: among(key, names("scored")), settings):
                raise UserError(
                    f"{key!r} cannot be in a grid: all rows are scored on the same sets"
                )
            name = words(settings) or "base"
            own = dict(settings)
            start = _flow(base, flows, own.pop(FLOW)) if FLOW in own else base
            configs = {seed: _with(start, {**own, "seed": seed}) for seed in seeds}
            with user_errors(f"row {name!r}", UserError):
                for each in configs.values():
                    check(each)
            # the same run by other words, such as a value that is the base's own
            same = json.dumps(flatten(configs[seeds[0]]), sort_keys=True, default=str)
            # letters that every system allows in the name of a directory
            folder = re.sub(r"[^\w=.-]", "_", name.replace(", ", "-"))
            rows.setdefault(same, Cell(name, folder, settings, configs))
    if not rows:
        raise UserError("config.ablate.grids holds no combination")
    folders = [cell.folder for cell in rows.values()]
    if twice := sorted({name for name in folders if folders.count(name) > 1}):
        raise UserError(
            f"two rows of config.ablate.grids are called {twice[0]!r}: keys of "
            "different sections share a last name"
        )
    return list(rows.values())


def _flow(base: ConfigDict, flows: dict[str, dict], name: str) -> ConfigDict:
    """A copy of `base` with the sections of the flow of that name."""
    if name not in flows:
        raise UserError(
            f"config.ablate.grids: no flow is called {name!r}; config.ablate.flows has "
            f"{', '.join(flows) or 'none'}"
        )
    sections = {key: value for key, value in flows[name].items() if key != "name"}
    config = base.copy_and_resolve_references()
    if model := sections.pop("model", None):
        with config.unlocked():
            config.model = ConfigDict(model)
    known = flatten(config)
    for key, value in flatten(sections).items():
        if key not in known:
            raise UserError(f"config.ablate.flows: {name!r} has an unknown key {key!r}")
        put(config, key, value)
    # as `load_config` does with the base
    complete(config)
    return config


def _with(base: ConfigDict, settings: dict) -> ConfigDict:
    """A copy of `base` with keys set, as strictly as from the command line."""
    config = base.copy_and_resolve_references()
    overrides = [f"{key}={_text(value)}" for key, value in settings.items()]
    # sections, too: an unknown key in them is refused with the nearest known key
    return with_overrides(config, overrides, keys=(*settings, *base))


def _text(value) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def words(settings: dict) -> str:
    """`mask=cycle, width=4`: settings by the last part of their keys."""
    return ", ".join(f"{k.split('.')[-1]}={_text(v)}" for k, v in settings.items())
