"""`fit IMAGES --out DETECTOR`."""

import argparse
import json
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from flowjax_ood.data.checks import check_bytes
from flowjax_ood.evaluation.devices import on_all_devices
from flowjax_ood.interface.errors import UserError, user_errors, writing
from flowjax_ood.interface.text import duration, print_table
from flowjax_ood.novelty import storage
from flowjax_ood.novelty.calibration import LEAST_CALIBRATED, find_repeated
from flowjax_ood.novelty.detector import (
    LEAST_FITTED,
    NoveltyDetector,
    NoveltySettings,
    calibration_count,
)
from flowjax_ood.novelty.features import Features
from flowjax_ood.runtime.messages import say, warn
from flowjax_ood.tool.extraction import Extracted, extract, packed
from flowjax_ood.tool.reading import Examples, Header, read_examples
from flowjax_ood.tool.subject import (
    NORMAL,
    changes,
    chosen_features,
    described,
    promises,
    versions,
)

UNFINISHED = "unfinished"
# of the images; one is always left out with a warning
MOST_UNREADABLE = 0.05
NAMED = 3  # images named in a warning
# images of a class, for a covariance within classes
LEAST_OF_CLASS = 5
# shorter sides are told of
LEAST_SIDE = 8


def run(args: argparse.Namespace) -> int:
    """Fit a detector, and say what it can promise."""
    started = time.monotonic()
    check_out(args.out, args.overwrite)
    examples = read_examples(args.images)
    others = read_examples(args.calibrate) if args.calibrate else None
    check_kinds(examples, others)
    check_enough(len(examples), None if others is None else len(others))
    _tell_loose(examples)
    given = len(examples)
    if others is None:
        # before anything is looked at: what calibrates must not choose
        order = np.random.default_rng(args.seed).permutation(given)
        count = calibration_count(given)
        others = examples.rows(np.sort(order[:count]))
        examples = examples.rows(np.sort(order[count:]))
    features, why, headers = _features(args.method, examples)
    sizes = sorted({tuple(map(int, h.size)) for h in headers})
    colour = any(h.colour for h in headers)
    if args.calibrate and features is not None:
        there = [h for h in others.headers() if h is not None]
        for change in changes(there, sizes, colour, "images that calibrate"):
            warn(change)
    _check_memory(features, given + len(others))
    with writing("--out", args.out):
        (args.out / UNFINISHED).mkdir(parents=True, exist_ok=True)
        with on_all_devices():
            fitted = _read(examples, features, "reading images to fit to", args.out)
            held = _read(others, features, "reading to calibrate by", args.out)
            check_enough(len(fitted.rows), len(held.rows))
            repeated = find_repeated(fitted.digests, held.digests)
            if repeated.all():
                raise UserError(
                    f"all {len(repeated)} images that calibrate are among those to fit "
                    "to, or copies of one another: give others"
                )
            settings = features.settings if features else (NoveltySettings(),)
            with user_errors():
                detector = NoveltyDetector.fit(
                    fitted.vectors,
                    [replace(own, seed=args.seed) for own in settings],
                    calibrate=held.vectors,
                    labels=_labels(examples, fitted),
                    repeated=repeated,
                    label="training the flow",
                )
        copies = int(detector.calibration.repeated.sum())
        if copies:
            warn(
                f"{copies} of {len(held.rows)} images that calibrate are copies of "
                "others: p-values are by all, or by those that are none, whichever "
                "are larger"
            )
        facts = {
            "source": str(args.images),
            "calibration_source": str(args.calibrate) if args.calibrate else None,
            "features": described(features),
            "method": "vectors" if features is None else features.name,
            "why": why,
            "sizes": sizes[:100],
            "colour": colour,
            "counts": {
                "images": given,
                "unreadable": len(fitted.problems) + len(held.problems),
                "copies": copies,
                "fitted": len(fitted.rows),
                "calibrated": len(held.rows),
            },
            "left_out": {
                source.names[row]: problem
                for source, found in ((examples, fitted), (others, held))
                for row, problem in found.problems.items()
            },
            "classes": list(examples.classes),
            "promises": promises(detector),
            "least_p": detector.calibration.least_p,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - started, 1),
            "versions": versions(),
        }
        normal = _normal(examples, fitted, held, detector)
        storage.save(args.out, detector, facts, {NORMAL: normal})
        shutil.rmtree(args.out / UNFINISHED)
    tell(args.out, facts)
    return 0


def check_out(out: Path, overwrite: bool) -> None:
    """Raise UserError where something else would be lost."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; name a directory")
    there = storage.is_detector(out)
    if there and not overwrite:
        raise UserError(
            f"{out} holds a detector already; name another --out, or replace it by "
            "--overwrite"
        )
    files = list(out.iterdir()) if out.is_dir() else []
    others = [p for p in files if p.name != UNFINISHED]
    if (out / UNFINISHED).is_dir():
        # of a fit that a full disk ended
        others = [p for p in others if not storage.is_archive(p.name)]
    if others and not there:
        raise UserError(
            f"{out} holds {others[0].name} and no detector; name another directory, "
            "which need not exist"
        )


def check_kinds(examples: Examples, others: Examples | None) -> None:
    """Raise UserError where images are to be calibrated by vectors, or others by."""
    if others is None:
        return
    if (examples.vectors is None) != (others.vectors is None):
        raise UserError(
            f"{examples.source} and {others.source} are not both images, nor both "
            "embeddings"
        )
    if examples.vectors is not None and others.vectors is not None:
        mine, theirs = examples.vectors.shape[1], others.vectors.shape[1]
        if mine != theirs:
            raise UserError(
                f"embeddings have {mine} numbers in {examples.source}, {theirs} in "
                f"{others.source}: give those of the same encoder"
            )


def check_enough(count: int, calibrate: int | None) -> None:
    """Raise UserError for too few examples.

    `calibrate`: how many calibrate, where these are not a part of the others.
    """
    least = LEAST_FITTED if calibrate is not None else LEAST_FITTED + LEAST_CALIBRATED
    if count < least or (calibrate is not None and calibrate < LEAST_CALIBRATED):
        also = "" if calibrate is None else f", and {calibrate} to calibrate by,"
        raise UserError(
            f"{count} images{also} are too few: it takes {LEAST_FITTED} to fit to and "
            f"{LEAST_CALIBRATED} others to calibrate by, better some hundred of both"
        )


def _features(
    method: str, examples: Examples
) -> tuple[Features | None, str, list[Header]]:
    """What is compared, and why; headers of the images that are fitted to."""
    if examples.vectors is not None:
        if method != "auto":
            raise UserError(
                f"--method {method} is of images; {examples.source} holds embeddings"
            )
        return None, "embeddings were given", []
    headers = [header for header in examples.headers() if header is not None]
    if not headers:
        raise UserError(f"no image in {examples.source} can be read")
    colour = sum(header.colour for header in headers)
    if 0 < colour < len(headers):
        warn(
            f"{colour} of {len(headers)} images are in colour, the others grey; all "
            "count as colour. Convert them to one kind if that is by chance"
        )
    tiny = sum(min(header.size) < LEAST_SIDE for header in headers)
    if tiny:
        warn(
            f"{tiny} of {len(headers)} images have a side below {LEAST_SIDE} pixels: "
            "are they whole?"
        )
    features, why = chosen_features(method, headers)
    say(f"comparing {features.name}: {why}")
    return features, why, headers


def _tell_loose(examples: Examples) -> None:
    """Warn where a few images outside of class folders leave these without a use."""
    loose = [name for name in examples.names if "/" not in name]
    if examples.paths and 0 < len(loose) < len(examples) / 2:
        warn(
            f"folders are not taken for classes: {len(loose)} of {len(examples)} "
            f"images are outside of them ({', '.join(loose[:NAMED])})"
        )


def _labels(examples: Examples, fitted: Extracted) -> np.ndarray | None:
    """Classes of the images that are fitted to; None without, or with too few each."""
    if examples.labels is None:
        return None
    labels = examples.labels[fitted.rows]
    least = int(np.unique(labels, return_counts=True)[1].min())
    if least < LEAST_OF_CLASS:
        warn(
            f"classes are left aside: one has {least} images to fit to, and it takes "
            f"{LEAST_OF_CLASS} of each"
        )
        return None
    return labels


def _check_memory(features: Features | None, count: int) -> None:
    if features is None:
        return
    # as float32, twice, and in float64 while components are found
    with user_errors():
        check_bytes(count * features.dims * 16, f"{count} images take", "give fewer")


def _read(examples: Examples, features, label: str, out: Path) -> Extracted:
    found = extract(examples, features, label, out / UNFINISHED)
    bad = len(found.problems)
    if bad > max(1, MOST_UNREADABLE * len(examples)):
        names = ", ".join(examples.names[row] for row in list(found.problems)[:NAMED])
        first = next(iter(found.problems.values()))
        raise UserError(
            f"{bad} of {len(examples)} images in {examples.source} cannot be read "
            f"({names}): {first}; mend or remove them"
        )
    for row, problem in found.problems.items():
        warn(f"left out {examples.names[row]}: {problem}")
    return found


def _normal(examples, fitted: Extracted, held: Extracted, detector) -> dict:
    """What is kept of the images: names and small pictures of those that are found."""
    references = detector.references
    names = [examples.names[fitted.rows[i]] for i in references]
    return {
        "names": np.array(json.dumps(names)),
        "digests": np.concatenate([fitted.digests, held.digests]),
        **packed([fitted.thumbnails[i] for i in references]),
    }


def promise(found: dict[str, float]) -> list[str]:
    """One row of what a detector can promise."""
    between = f"{found['low']:.2%} to {found['high']:.2%}"
    return [f"{found['alpha']:g}", f"{found['rate']:.2%}", between]


def tell(path: Path, facts: dict) -> None:
    """Say what a detector can promise."""
    counts = facts["counts"]
    print(
        f"{path} is fitted to {counts['fitted']} images and calibrated by "
        f"{counts['calibrated']} others, in {duration(facts['seconds'])}"
    )
    print_table(
        ["alpha", "normal images called new", "95 % confidence"],
        [promise(p) for p in facts["promises"]],
        title="What it can promise",
    )
    print(
        f"p-values reach down to {facts['least_p']:.2g}: for alpha below that, give "
        "more images. All of this holds for images that come as those came that "
        "calibrated."
    )
