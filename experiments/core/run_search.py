"""Where runs are: at a directory, or below it. It needs no JAX."""

from flowjax_ood.runtime.files import folders_and_files
from flowjax_ood.runtime.paths import AnyPath

# folders of a run that hold no runs, and how deep runs are searched for
INSIDE = {"checkpoints", "damaged_checkpoints", "best", "profile", "tensorboard"}
DEPTH = 4


def search(directory: AnyPath) -> list[AnyPath]:
    """The workdirs of runs at a directory or below, in the order of their names."""
    runs = []
    waiting = [(directory, 0)]
    while waiting:
        path, depth = waiting.pop()
        folders, files = folders_and_files(path)
        if "config.json" in files:
            runs.append(path)
        elif depth < DEPTH:
            inner = [f for f in folders if f not in INSIDE and f[0] != "."]
            waiting += [(path / f, depth + 1) for f in reversed(inner)]
    return runs


def is_report(directory: AnyPath) -> bool:
    """Whether a directory holds what `report` wrote, beside runs, and no run."""
    return (directory / "report.html").is_file() and not search(directory)


def runs_below(directory: AnyPath) -> list[AnyPath]:
    """The runs to name where a directory holds none itself: the nearest first.

    Those of `ablate` and `detect` are among them. None for no directory.
    """
    found = search(directory) if directory.is_dir() else []
    return sorted(found, key=lambda run: len(run.parts))
