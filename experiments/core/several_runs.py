"""Runs that a command puts side by side: their names, and what they have in common."""

from collections.abc import Sequence
from pathlib import Path

from experiments.core.evaluation import TrainedFlow
from flowjax_ood.interface import text
from flowjax_ood.interface.errors import UserError


def run_names(workdirs: Sequence[Path]) -> dict[Path, str]:
    """Name each run by the part of its path by which it differs.

    Without what all paths end in: rows of an ablation have the same `seed_0`.
    """
    paths = [w.resolve() for w in workdirs]
    if len(set(paths)) < len(paths):
        raise UserError("--workdir names a run more than once")
    while len(paths) > 1 and len({path.name for path in paths}) == 1:
        paths = [path.parent for path in paths]
    names = text.run_names(paths)
    split = {path: name.partition("=") for path, name in names.items()}
    if len(split) > 1 and len({parts[:2] for parts in split.values()}) == 1:
        # rows of an ablation of one key, such as flow=maf
        names = {path: value for path, (_, _, value) in split.items()}
    return {w: names[path] for w, path in zip(workdirs, paths)}


def check_alike(first: TrainedFlow, other: TrainedFlow) -> None:
    """Raise UserError unless two runs model the same set, in the same size."""
    a, b = first.sets, other.sets
    for what, there, here in (
        ("images", a.event_shape, b.event_shape),
        ("values of a pixel", a.bins, b.bins),
        ("test set", a.test.name, b.test.name),
    ):
        if there != here:
            raise UserError(
                f"{first.label} and {other.label} cannot be compared: {what} {there} "
                f"there, {here} here; give runs of the same images"
            )
