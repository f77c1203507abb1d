"""config.json: the config of a run, kept in its workdir and read again."""

import json
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

import flowjax_ood
from experiments.core import json_file
from experiments.core.checks import check, check_sections
from experiments.core.config import with_overrides
from experiments.core.keys import among, flatten, names
from experiments.core.run_search import runs_below
from flowjax_ood.interface.errors import UserError, user_errors, writing
from flowjax_ood.runtime.files import write_bytes
from flowjax_ood.runtime.processes import on_all, on_lead

# differences between two configs that an error names
MOST_NAMED = 8


def keep_config(config: ConfigDict, workdir: Path, free: tuple[str, ...] = ()) -> None:
    """Write config.json, or check that the workdir's own asks for the same run.

    `free`: keys, and sections, that this run does not read, besides those that may
    change as it goes on.

    Raises UserError, changing nothing, if the workdir belongs to another config, holds
    checkpoints without a config.json, or cannot be written.
    """
    check_config(config, workdir, free)

    def write() -> None:
        with writing("--workdir", workdir):
            # several processes of one ablation may write it at a time
            content = json.dumps(config.to_dict(), indent=2) + "\n"
            write_bytes(workdir / "config.json", content.encode())

    on_lead(write)


def check_config(config: ConfigDict, workdir: Path, free: tuple[str, ...] = ()) -> None:
    """Check as `keep_config` does, and write nothing."""

    def check_kept() -> None:
        if (workdir / "config.json").exists():
            before, now = flatten(read_config(workdir)), flatten(config)
            unread = free + names("resume", now)
            changed = [
                f"{k} ({_value(before, k)} there, {_value(now, k)} now)"
                for k in sorted(before.keys() | now.keys())
                if _value(before, k) != _value(now, k) and not among(k, unread)
            ]
            if changed:
                named, rest = changed[:MOST_NAMED], changed[MOST_NAMED:]
                more = f", and {len(rest)} more" if rest else ""
                raise UserError(
                    f"{workdir} belongs to another config: {'; '.join(named)}{more}. "
                    "Give another --workdir, or the same config to go on"
                )
        elif any(workdir.glob("checkpoints/*")):
            raise UserError(
                f"{workdir} holds checkpoints but no config.json to say of which run; "
                "restore it, or give another --workdir"
            )

    on_lead(check_kept)


def check_hosts(config: ConfigDict) -> None:
    """Raise UserError where the processes of a run were started with other configs.

    They would compile other programs, and wait for each other for ever, or average
    what does not belong together. Where each reads its data may differ.
    """
    apart = names("per_host")
    own = {k: repr(v) for k, v in flatten(config).items() if not among(k, apart)}
    own["version"] = flowjax_ood.__version__
    lead = on_lead(lambda: own)
    other = sorted(k for k in own.keys() | lead if own.get(k) != lead.get(k))

    def refuse():
        if other:
            raise UserError(
                f"this process was started with another config than process 0: "
                f"{', '.join(other)}; start the same command on every host"
            )

    on_all(refuse)


def _value(flat: dict, key: str) -> str:
    return repr(flat[key]) if key in flat else "nothing"


def read_config(workdir: Path, overrides: Sequence[str] = ()) -> ConfigDict:
    """The config a run was started with, checked.

    `overrides`: `KEY=VALUE` of keys that may be set for a trained run. Raises UserError
    for other keys, and for a workdir without a whole config.
    """
    file = workdir / "config.json"
    if not file.is_file():
        inside, more = runs_below(workdir), ""
        if len(inside) > 1:
            more = f", or one of the {len(inside) - 1} others below it"
        raise UserError(
            f"{workdir} holds no run (no config.json); "
            + (f"give {inside[0]}{more}" if inside else "train one first")
        )
    remedy = "restore it, or start in a new workdir"
    raw = json_file.read(file, remedy=remedy)
    check_sections(raw, str(file))
    with user_errors(f"{file} is no config", ValueError, remedy=remedy):
        config = ConfigDict(_tuples(raw))
    with_overrides(config, overrides, names("evaluate"))
    check(config, str(file))
    return config


def _tuples(value):
    """JSON knows no tuples: lists become tuples again."""
    if isinstance(value, dict):
        return {k: _tuples(v) for k, v in value.items()}
    return tuple(value) if isinstance(value, list) else value
