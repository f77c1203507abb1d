"""Read runs, ablations and samples as their commands left them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.core import json_file
from experiments.core.json_file import Each, IfThere, Items, Maybe
from experiments.core.kept_results import (
    DESCRIBED,
    MEANS,
    VERSIONS,
    evaluate_again,
    read_results,
)
from experiments.core.keys import flatten
from experiments.core.run_config import read_config
from experiments.core.run_search import is_report, runs_below
from flowjax_ood.interface.errors import UserError, user_errors
from flowjax_ood.training.logs import metrics as metric_log

# measures of ablation.json over the seeds of a row
SPREAD = ("auroc", "bits_per_dim")
# of samples.json and ablation.json
SAMPLES = {"runs": dict, "versions": VERSIONS}
ABLATION = {
    "in_distribution": Maybe(str),
    "data": Each(DESCRIBED),
    "rows": Items(
        {
            "name": str,
            "seeds": Items(int, 1),
            "params": Items(int, 1),
            "images_seen": Items(int, 1),
            "train_seconds": Items(float, 1),
            "auroc": Each(Items(float, 1)),
            **{
                f"{m}_{s}": MEANS
                for m in ("auroc", "bits_per_dim")
                for s in ("mean", "std")
            },
        }
    ),
    "missing": IfThere(Items(str)),
    "failed": IfThere(dict),
    "versions": VERSIONS,
}


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
            kept.ablations.append(KeptOutput(workdir, _ablation(file)))
        elif (file := workdir / "samples.json").exists():
            remedy = anew(f"samples --workdir DIR ... --out={workdir}")
            content = json_file.read(file, SAMPLES, remedy=remedy)
            kept.samples.append(KeptOutput(workdir, content))
        elif not (len(workdirs) > 1 and is_report(workdir)):
            # an earlier report is in runs/*
            kept.runs.append(_run(workdir))
    return kept


def _run(workdir: Path) -> KeptRun:
    if not (workdir / "config.json").is_file():
        raise UserError(f"{workdir} {_nothing_in(workdir)}")
    config = flatten(read_config(workdir))
    if not (workdir / "results.json").is_file():
        raise UserError(
            f"{workdir} holds a run without results.json; if its training is done, "
            f"{evaluate_again(workdir)}"
        )
    results = read_results(workdir)
    metrics = workdir / "metrics.jsonl"
    with user_errors("", ValueError):
        records = metric_log.read(metrics) if metrics.exists() else []
    return KeptRun(workdir, config, results, records)


def anew(command: str) -> str:
    """The remedy for a damaged file that a command makes."""
    return f"make it anew: python -m experiments {command}"


def _ablation(file: Path) -> dict:
    """ablation.json, whose rows hold the sets of the first."""
    remedy = anew(f"ablate --config=... --workdir={file.parent}")
    content = json_file.read(file, ABLATION, remedy=remedy)
    if rows := content["rows"]:
        own = {"auroc": [], "bits_per_dim": [content["in_distribution"]]}
        shape = {
            f"{measure}_{s}": dict.fromkeys([*more, *rows[0]["auroc"]], object)
            for measure, more in own.items()
            for s in ("mean", "std")
        }
        json_file.require(content, {"rows": Items(shape)}, file, remedy=remedy)
    return content


def _nothing_in(workdir: Path) -> str:
    """Explain why a directory is no run, and what to do."""
    if inside := runs_below(workdir):
        return (
            "holds no run itself, but there are some in it: python -m experiments "
            f"report --workdir {' '.join(map(str, inside))}"
        )
    lack = "does not exist; give the --workdir of a run, or train one"
    if workdir.is_dir():
        lack = "holds no run (no config.json); train one"
    return f"{lack}: python -m experiments train --config=... --workdir={workdir}"
