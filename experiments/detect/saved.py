"""`detect --outputs=FILE.npz`: detectors on saved outputs of a network of one's own.

No network is trained or run: its logits and features are in the file, whatever
framework they come from. Detectors that need inputs or gradients are left out, and the
table says which.
"""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import numpy as np

from experiments.core import drawing
from experiments.core.errors import UserError, user_errors
from experiments.core.results import versions, write_json
from experiments.core.workdir import check_writable
from experiments.detect import detectors, score_cache, table
from experiments.detect.score_cache import Scored
from experiments.detect.scores import timed
from flowjax_ood import figures, ood
from flowjax_ood.data.archives import open_archive
from flowjax_ood.ood import protocols
from flowjax_ood.ood.detector import Detector
from flowjax_ood.runtime.files import write_bytes
from flowjax_ood.runtime.progress import progress

TRAIN, TEST = "train", "test"
PARTS = ("logits", "features", "labels")
HEAD = ("weights", "bias")
LAYOUT = (
    "its arrays are test_logits [N, C] and NAME_logits of every OOD set NAME, with "
    "NAME_features [N, D]; for detectors that need them train_logits, train_features, "
    "train_labels [N], and the last layer's weights [D, C] and bias [C]"
)


@dataclass(frozen=True, eq=False)
class Saved:
    """A file of outputs: the training set's, if it is there, and `{set: outputs}`.

    The in-distribution test set comes first in `sets`.
    """

    network: ood.Network
    train: ood.Outputs | None
    labels: np.ndarray | None
    sets: dict[str, ood.Outputs]


def main(file: Path, workdir: Path, validation: int, batch_size: int = 250) -> None:
    """Fit and score all detectors that the file has the data for; write the results."""
    with user_errors("--outputs"):
        saved = read(file)
    check(saved, validation)
    check_writable("--workdir", workdir)
    runs, left_out = {}, {}
    jobs = listed(saved, validation)
    with progress("detectors", len(jobs), "detectors") as shown:
        for done, (detector, ood_name) in enumerate(jobs, 1):
            protocol = detectors.REPOSITORY if ood_name else detectors.NONE
            row = detector.name, protocol
            try:
                run = _run(saved, detector, ood_name, validation, workdir, batch_size)
            except (ValueError, TypeError) as error:
                left_out[detector.name] = str(error)
            else:
                runs.setdefault(row, []).append(run)
            shown.advance(done)
    if not runs:
        name, why = next(iter(left_out.items()))
        raise UserError(f"--outputs {file}: no detector could be fitted; {name}: {why}")
    _write(saved, file, workdir, validation, runs, left_out)


def read(file: Path) -> Saved:
    """Read a file of outputs. Raises OSError, ValueError and TypeError naming it."""
    with open_archive(file) as archive:
        names = [k.removesuffix("_logits") for k in archive.keys if "_logits" in k]
        known = {f"{name}_{part}" for name in names for part in PARTS} | {*HEAD}
        unknown = sorted({*archive.keys} - known)
        if TEST not in names or not {*names} - {TRAIN, TEST} or unknown:
            keys = ", ".join(map(repr, unknown)) or ", ".join(sorted(archive.keys))
            what = "has unknown arrays" if unknown else "lacks sets, it has"
            raise ValueError(f"{file} {what} {keys}; {LAYOUT}")

        def optional(key):
            return archive.read(key) if key in archive.keys else None

        def outputs(name):
            with _named(f"{file}, {name}"):
                return ood.Outputs.of(
                    archive.read(f"{name}_logits"), optional(f"{name}_features")
                )

        weights, bias = map(optional, HEAD)
        sets = [TEST, *(n for n in names if n not in (TRAIN, TEST))]
        return Saved(
            ood.Network(head=None if weights is None else (weights, bias)),
            outputs(TRAIN) if TRAIN in names else None,
            archive.labels(f"{TRAIN}_labels"),
            {name: outputs(name) for name in sets},
        )


def _named(where: str):
    return user_errors(where, ValueError, TypeError)


def check(saved: Saved, validation: int) -> None:
    """Raise UserError for sets unlike `test`, or too small to choose by."""
    every = saved.sets | ({} if saved.train is None else {TRAIN: saved.train})
    logits, features = (a.shape[1] for a in saved.sets[TEST][:2])
    for name, outputs in every.items():
        if (outputs.logits.shape[1], outputs.features.shape[1]) != (logits, features):
            raise UserError(
                f"--outputs: {name} has {outputs.logits.shape[1]} logits and "
                f"{outputs.features.shape[1]} features, test has {logits} and "
                f"{features}: use one network for all sets"
            )
    if saved.network.head is not None:
        shapes = [np.shape(a) for a in saved.network.head]
        if shapes != [(features, logits), (logits,)]:
            raise UserError(
                f"--outputs: weights and bias have shapes {shapes[0]} and {shapes[1]}, "
                f"of {features} features and {logits} logits they are "
                f"{(features, logits)} and {(logits,)}; torch stores them transposed"
            )
    for name, outputs in saved.sets.items():
        if validation and len(outputs.logits) <= validation:
            raise UserError(
                f"--validation takes {validation} rows of {name}, which has "
                f"{len(outputs.logits)}: set it to less, or to 0 to choose nothing"
            )


def listed(saved: Saved, validation: int) -> list[tuple[Detector, str | None]]:
    """List detectors of outputs, and of those that choose, one for each OOD set."""
    of_outputs = [d for d in detectors.PUBLISHED if type(d).fit is Detector.fit]
    jobs = [(detector, None) for detector in of_outputs]
    if validation:
        tuned = [ood.Tuned(d) for d in of_outputs if d.grid]
        jobs += [(d, name) for name in [*saved.sets][1:] for d in tuned]
    return jobs


def _split(outputs: ood.Outputs, validation: int) -> tuple:
    """Outputs to choose by, and to test on: as of the other rows of `detect`."""
    count = len(outputs.logits)
    if not validation:
        return None, outputs
    rows = protocols.split(count, validation)
    chosen_by = np.concatenate([rows.fit, rows.choose])
    return tuple(
        jax.tree.map(lambda a, at=at: a[at], outputs) for at in (chosen_by, rows.test)
    )


def _run(saved, detector, ood_name, validation, workdir, batch_size) -> Scored:
    """Scores of one detector, of all sets or of one OOD set, kept in the workdir."""
    names = [n for n in saved.sets if ood_name in (None, n) or n == TEST]
    parts = {name: _split(saved.sets[name], validation) for name in names}
    given = ood.Given(saved.train, saved.labels)
    if ood_name:
        given = ood.Given(saved.train, saved.labels, parts[TEST][0], parts[ood_name][0])
    tests = {name: tested for name, (_, tested) in parts.items()}
    head = saved.network.head
    key = score_cache.digest(given.train, saved.labels, head, parts, repr(detector))

    def compute() -> Scored:
        start = time.monotonic()
        fitted = detector.fit(saved.network, given)
        seconds = time.monotonic() - start
        return timed(fitted, tests, batch_size, fit_seconds=seconds)

    label = f"{detector.name} {ood_name or 'none'}"
    return score_cache.kept(workdir / "scores", label, key, compute)


def _write(saved, file, workdir, validation, runs, left_out) -> None:
    counts = {n: len(_split(o, validation)[1].logits) for n, o in saved.sets.items()}
    rows = [table.row(*pair, [run], list(counts)) for pair, run in runs.items()]
    results = {
        "outputs": str(file),
        "evaluated": counts,
        "validation": validation,
        "fitted_on": 0 if saved.train is None else len(saved.train.logits),
        "networks": [{}],
        "rows": table.ranked(rows),
        "left_out": left_out,
        "versions": versions(),
    }
    write_json(workdir / "results.json", results)
    text = table.markdown(results, TEST, compare=False)
    if left_out:
        lines = (f"* {name}: {why}" for name, why in left_out.items())
        text = "\n".join((text, "Left out:", "", *lines, ""))
    write_bytes(workdir / "table.md", text.encode())
    print(text)
    shown = list(drawing.told_apart(counts, TEST, workdir))
    panels = {
        name: {n: s for n, s in run[0].scores.items() if n in shown}
        for (name, protocol), run in runs.items()
        if protocol == detectors.NONE and name in figures.detectors.SHOWN
    }
    figure = partial(figures.score_histograms, panels, id_name=TEST)
    drawn = panels and drawing.draw(workdir / "scores.png", figure)
    pictures = ", scores.png" if drawn else ""
    print(f"wrote results.json, table.md{pictures} in {workdir}")
