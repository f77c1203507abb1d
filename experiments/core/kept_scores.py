"""What a `detect` run has kept: scores of its sets by every detector, and classes.

Names of detectors are those of its results.json, as files have short ones. The scores
are read whatever version of the library made them: they are numbers with names.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.core import json_file
from experiments.core.json_file import Each, IfThere, Items
from experiments.core.score_cache import PREDICTED, TRUE, file_name, read_kept
from flowjax_ood.interface.errors import UserError, user_errors

RESULTS = {
    "evaluated": Each(int),
    "rows": Items({"name": str, "protocol": str}, 1),
    "data": IfThere(Each({"name": str, "split": str})),
}
# how a row is named after what its settings were chosen by. Those that were chosen by
# images of the tested OOD set are left out: a decision knows no outliers
SHOWN = {"none": "", "leak_free": " (made outliers)"}


class KeptScores(NamedTuple):
    """Scores of one network, float64 `[N]`, higher = more in-distribution.

    `detectors`: `{detector: {set: scores}}`, the in-distribution set `id_name` in each.
    `outliers`: the OOD sets of all; other sets of some are corrupted copies of the
    first in-distribution images. `training`: the set that is made of training images,
    or None. `network`: the folder that most are from. `predicted {set: classes}` and
    `labels [N]`, of the in-distribution set, where they are kept.
    """

    network: str
    id_name: str
    outliers: tuple[str, ...]
    training: str | None
    detectors: dict[str, dict[str, np.ndarray]]
    predicted: dict[str, np.ndarray]
    labels: np.ndarray | None

    @property
    def size(self) -> int:
        """In-distribution images."""
        return len(next(iter(self.detectors.values()))[self.id_name])

    def corrupted(self, name: str) -> list[str]:
        """The corrupted sets that a detector has scores of, by kind and severity."""
        plain = {self.id_name, self.training, *self.outliers}
        return sorted(set(self.detectors[name]) - plain)


def read_scores(workdir: Path, network: str | None = None) -> KeptScores:
    """Read the scores of a `detect` workdir, of one of its networks.

    `network`: a folder of `scores/`; by default every detector's first. Raises
    UserError without a finished run, without scores, and for damaged files.
    """
    remedy = "run `python -m experiments detect` on that --workdir first"
    results = json_file.read(workdir / "results.json", RESULTS, remedy=remedy)
    directory = workdir / "scores"
    folders = _folders(directory, network)
    sets = list(results["evaluated"])
    if not sets:
        raise UserError(f"{workdir / 'results.json'} names no sets; {remedy}")
    training = _training(results.get("data", {}), sets)
    outliers = tuple(n for n in sets[1:] if n != training)
    detectors, used = {}, []
    for name, protocol in _rows(results["rows"]):
        found = _find(folders, name, protocol)
        if found is None:
            continue
        with user_errors("scores", ValueError, OSError):
            scored = read_kept(found).scores
        if sets[0] in scored:
            as_numbers = {n: s.astype(np.float64) for n, s in scored.items()}
            detectors[name + SHOWN[protocol]] = as_numbers
            used.append(found.parent)
    if not detectors:
        raise UserError(f"{directory} holds no scores of its results.json; {remedy}")
    _check_alike(detectors, sets[0])
    own = max(used, key=used.count)
    predicted, labels = _classes(own, sets[0])
    return KeptScores(
        own.name, sets[0], outliers, training, detectors, predicted, labels
    )


def _folders(directory: Path, network: str | None) -> list[Path]:
    """Where to look for a detector's scores, in that order."""
    below = [p for p in directory.glob("*") if p.is_dir()]
    # seed_10 comes after seed_9
    below.sort(key=lambda p: (len(p.name), p.name))
    if network is None:
        return [*below, directory]
    if directory / network not in below:
        known = ", ".join(p.name for p in below) or "none"
        raise UserError(
            f"--network={network} is no folder of {directory}; it has: {known}"
        )
    seeds = {p for p in below if p.name.startswith("seed_")} - {directory / network}
    others = [p for p in below if p not in seeds and p.name != network]
    return [directory / network, *others, directory]


def _training(data: dict, sets: list[str]) -> str | None:
    """The set among those that are scored whose images were trained on."""
    if "train" not in data:
        return None
    own = data["train"]["name"], data["train"]["split"]
    same = (n for n in sets if n in data and (data[n]["name"], data[n]["split"]) == own)
    return next(same, None)


def _rows(rows: list[dict]) -> Iterator[tuple[str, str]]:
    for row in rows:
        if row["protocol"] in SHOWN:
            yield row["name"], row["protocol"]


def _find(folders: list[Path], name: str, protocol: str) -> Path | None:
    # ensembles and flows choose nothing, and are named without a protocol
    for label in (f"{name} {protocol}", name):
        for folder in folders:
            if (file := folder / file_name(label)).is_file():
                return file
    return None


def _check_alike(detectors: dict[str, dict[str, np.ndarray]], id_name: str) -> None:
    counts = {name: len(scores[id_name]) for name, scores in detectors.items()}
    if len(set(counts.values())) > 1:
        first, *_ = counts
        other = next(n for n in counts if counts[n] != counts[first])
        raise UserError(
            f"scores of {id_name} differ in number: {first} has {counts[first]}, "
            f"{other} {counts[other]}; run `detect` again, with one config"
        )


def _classes(folder: Path, id_name: str) -> tuple[dict, np.ndarray | None]:
    kept = {}
    for name in (PREDICTED, TRUE):
        file = folder / file_name(name)
        if file.is_file():
            with user_errors("scores", ValueError, OSError):
                classes = read_kept(file).scores
            kept[name] = {n: c.astype(np.int64) for n, c in classes.items()}
    return kept.get(PREDICTED, {}), kept.get(TRUE, {}).get(id_name)
