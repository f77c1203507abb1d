"""`detect --outputs=FILE.npz`: detectors on saved outputs of a network of one's own.

No network is trained or run: its logits and features are in the file, whatever
framework they come from. Detectors that need inputs or gradients are left out, and the
table says which.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import jax
import numpy as np

from experiments.core import drawing, score_cache
from experiments.core.results import versions, write_json
from experiments.core.score_cache import Scored
from experiments.core.workdir import check_writable
from experiments.detect import detectors, table
from experiments.detect.scores import fit, timed
from flowjax_ood import figures, ood
from flowjax_ood.data.archives import open_archive
from flowjax_ood.interface.errors import UserError, user_errors
from flowjax_ood.ood import checks, protocols
from flowjax_ood.ood.detector import Detector
from flowjax_ood.runtime.files import write_bytes
from flowjax_ood.runtime.progress import progress

TRAIN, TEST = "train", "test"
PARTS = ("logits", "features", "labels")
HEAD = ("weights", "bias")
LAYOUT = (
    "its arrays are test_logits [N, C] and NAME_logits of every OOD set NAME, with "
    "NAME_features [N, D]; for detectors that need them train_logits, train_features, "
    "train_labels [N], test_labels, and the last layer's weights [D, C] and bias [C]"
)
# those that outputs are not enough for say so, and are left out by name
EVERY = (
    *detectors.PUBLISHED,
    ood.TempScale(),
    ood.GrOOD("mean"),
    *detectors.OF_IMAGES,
    ood.ODIN((0.0014,), (1000.0,)),
    ood.MahalanobisLayers("uniform"),
    ood.FSSD(weights="uniform", magnitudes=(0.01,)),
    ood.MCDropout(),
)


@dataclass(frozen=True, eq=False)
class Saved:
    """A file of outputs: the training set's, if it is there, and `{set: outputs}`.

    The in-distribution test set comes first in `sets`; `labels` are of training,
    `test_labels` of that.
    """

    network: ood.Network
    train: ood.Outputs | None
    labels: np.ndarray | None
    test_labels: np.ndarray | None
    sets: dict[str, ood.Outputs]


def main(file: Path, workdir: Path, validation: int, batch_size: int = 250) -> None:
    """Fit and score all detectors that the file has the data for; write the results."""
    with user_errors("--outputs"):
        saved = read(file)
    check(saved, validation)
    check_writable("--workdir", workdir)
    parts = {name: _split(outputs, validation) for name, outputs in saved.sets.items()}
    tests = {name: tested for name, (_, tested) in parts.items()}
    given = _given(saved, parts, validation)
    of_file = score_cache.digest(
        *(saved.train, saved.labels, saved.test_labels, saved.network.head),
        *(saved.sets, validation, batch_size),
    )
    runs: dict[tuple[str, str], list[Scored]] = {}
    left_out: dict[str, str] = {}
    jobs = listed(saved, validation)
    with progress("detectors", len(jobs), "detectors") as shown:
        for done, (detector, ood_name) in enumerate(jobs, 1):
            names = [n for n in tests if ood_name in (None, n) or n == TEST]
            tested = {n: tests[n] for n in names}
            compute = partial(
                _scored, detector, saved.network, given[ood_name], tested, batch_size
            )
            try:
                run = score_cache.kept(
                    workdir / "scores",
                    f"{detector.name} {ood_name or 'none'}",
                    score_cache.digest(of_file, repr(detector), ood_name),
                    {name: len(outputs.logits) for name, outputs in tested.items()},
                    compute,
                )
            except (ValueError, TypeError, ImportError) as error:
                left_out[detector.name] = str(error)
            else:
                protocol = detectors.REPOSITORY if ood_name else detectors.NONE
                runs.setdefault((detector.name, protocol), []).append(run)
            shown.advance(done)
    if not runs:
        name, why = next(iter(left_out.items()))
        raise UserError(f"--outputs {file}: no detector could be fitted; {name}: {why}")
    counts = {name: len(outputs.logits) for name, outputs in tests.items()}
    _write(saved, file, workdir, validation, counts, runs, left_out)


def _scored(detector, network, given, tests, batch_size) -> Scored:
    fitted, seconds = fit(detector, network, given)
    return timed(fitted, tests, batch_size, fit_seconds=seconds)


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
            network=ood.Network(head=None if weights is None else (weights, bias)),
            train=outputs(TRAIN) if TRAIN in names else None,
            labels=archive.labels(f"{TRAIN}_labels"),
            test_labels=archive.labels(f"{TEST}_labels"),
            sets={name: outputs(name) for name in sets},
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
    if saved.test_labels is not None:
        with user_errors("--outputs: test_labels", ValueError, TypeError):
            checks.check_labels(saved.test_labels, *saved.sets[TEST].logits.shape)
    for name, outputs in saved.sets.items():
        if validation and len(outputs.logits) <= validation:
            raise UserError(
                f"--validation takes {validation} rows of {name}, which has "
                f"{len(outputs.logits)}: set it to less, or to 0 to choose nothing"
            )


def listed(saved: Saved, validation: int) -> list[tuple[Detector, str | None]]:
    """List all detectors, and of those that choose, one for each OOD set."""
    jobs: list[tuple[Detector, str | None]] = [(detector, None) for detector in EVERY]
    if validation:
        tuned = [ood.Tuned(d) for d in EVERY if d.grid]
        jobs += [(d, name) for name in [*saved.sets][1:] for d in tuned]
    return jobs


def _split(outputs, validation: int) -> tuple:
    """Outputs to choose by, and to test on: as of the other rows of `detect`."""
    if not validation:
        return None, outputs
    rows = protocols.split(len(jax.tree.leaves(outputs)[0]), validation)
    chosen_by = np.concatenate([rows.fit, rows.choose])
    return tuple(
        jax.tree.map(lambda a, at=at: a[at], outputs) for at in (chosen_by, rows.test)
    )


def _given(saved: Saved, parts: dict, validation: int) -> dict[str | None, ood.Given]:
    """Gather what detectors are fitted on: of each OOD set, and of None."""
    labels = saved.test_labels
    if labels is not None:
        labels, _ = _split(labels, validation)
    (inside, _), *others = parts.values()
    given = ood.Given(saved.train, saved.labels, id_validation=inside, id_labels=labels)
    of_sets = [replace(given, ood_validation=outside) for outside, _ in others]
    return dict(zip([None, *[*parts][1:]], [given, *of_sets]))


def _write(saved, file, workdir, validation, counts, runs, left_out) -> None:
    rows = [
        table.row(name, protocol, [run], list(counts))
        for (name, protocol), run in runs.items()
    ]
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
