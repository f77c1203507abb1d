"""Read runs, ablations and samples as their commands left them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.core.errors import UserError, user_errors
from experiments.core.keys import flatten
from experiments.core.results import UNITS, unit_of
from experiments.core.run_config import read_config
from flowjax_ood.training.logs import metrics as metric_log

# of results.json, whatever the run is on
NEEDED = ("data", "in_distribution", "auroc", "auroc_ci95", "train_seconds")
NEEDED += ("images_seen", "steps", "params", "eval", "versions")
# of ablation.json and of samples.json
ABLATION = ("rows", "in_distribution", "data", "versions")
SAMPLES = ("runs", "versions")


class KeptRun(NamedTuple):
    """A run that was trained and evaluated."""

    workdir: Path
    config: dict  # flat: {"model.width": 64}
    results: dict
    records: list[dict]  # of metrics.jsonl

    @property
    def seed(self) -> int:
        return self.config["seed"]


class KeptOutput(NamedTuple):
    """The JSON file of `ablate` or `samples`; its figures are in the same workdir."""

    workdir: Path
    content: dict


class Kept(NamedTuple):
    """Everything that was read."""

    runs: list[KeptRun]
    ablations: list[KeptOutput]
    samples: list[KeptOutput]


def read(workdirs: Sequence[Path]) -> Kept:
    """Read the runs and other outputs in `workdirs`, in that order, each once.

    Raises UserError, naming the workdir and the command to run, for one that holds
    nothing, or not all of what is needed.
    """
    kept = Kept([], [], [])
    # a workdir given by two names is read once
    for workdir in {w.resolve(): w for w in workdirs}.values():
        if (file := workdir / "ablation.json").exists():
            content = read_json(
                file, f"ablate --config=... --workdir={workdir}", ABLATION
            )
            kept.ablations.append(KeptOutput(workdir, content))
        elif (file := workdir / "samples.json").exists():
            content = read_json(
                file, f"samples --workdir DIR ... --out={workdir}", SAMPLES
            )
            kept.samples.append(KeptOutput(workdir, content))
        else:
            kept.runs.append(_run(workdir))
    return kept


def _run(workdir: Path) -> KeptRun:
    if not (workdir / "config.json").is_file():
        raise UserError(f"{workdir} {_nothing_in(workdir)}")
    config = flatten(read_config(workdir))
    command = f"evaluate --workdir={workdir}"
    file = workdir / "results.json"
    if not file.is_file():
        raise UserError(
            f"{workdir} holds a run without results.json; if its training is done: "
            f"python -m experiments {command}"
        )
    results = read_json(file, command, NEEDED)
    _require(file, command, results, [UNITS[unit_of(results)]])
    metrics = workdir / "metrics.jsonl"
    with user_errors("", ValueError):
        records = metric_log.read(metrics) if metrics.exists() else []
    return KeptRun(workdir, config, results, records)


def read_json(file: Path, command: str, needed: Sequence[str] = ()) -> dict:
    """Read the JSON object of a file; UserError names `command` if a key is missing."""
    remedy = f"make it anew: python -m experiments {command}"
    with user_errors(f"{file} cannot be read", OSError, ValueError, remedy=remedy):
        content = json.loads(file.read_text())
    if not isinstance(content, dict):
        raise UserError(f"{file} is no JSON object; {remedy}")
    _require(file, command, content, needed)
    return content


def _require(file: Path, command: str, content: dict, needed: Sequence[str]) -> None:
    missing = [key for key in needed if key not in content]
    if missing:
        raise UserError(
            f"{file} lacks {', '.join(missing)}; make it anew: python -m experiments "
            f"{command}"
        )


def _nothing_in(workdir: Path) -> str:
    """Explain why a directory is no run, and what to do."""
    if inside := sorted(f.parent for f in workdir.glob("*/config.json")):
        return (
            "holds no run itself, but there are some in it: python -m experiments "
            f"report --workdir {' '.join(map(str, inside))}"
        )
    lack = "does not exist; give the --workdir of a run, or train one"
    if workdir.is_dir():
        lack = "holds no run (no config.json); train one"
    return f"{lack}: python -m experiments train --config=... --workdir={workdir}"
