"""`fit IMAGES --out DETECTOR`."""

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from flowjax_ood.data.checks import check_bytes
from flowjax_ood.interface.errors import UserError, user_errors, writing
from flowjax_ood.interface.text import duration, print_table
from flowjax_ood.novelty import storage
from flowjax_ood.novelty.detector import (
    LEAST_CALIBRATED,
    LEAST_FITTED,
    NoveltyDetector,
    NoveltySettings,
    calibration_count,
)
from flowjax_ood.novelty.features import Features
from flowjax_ood.runtime.messages import say, warn
from flowjax_ood.tool.devices import on_all_devices
from flowjax_ood.tool.extraction import Extracted, extract, packed
from flowjax_ood.tool.reading import Examples, Header, read_examples
from flowjax_ood.tool.subject import (
    NORMAL,
    chosen_features,
    described,
    digests_of,
    promises,
    versions,
)

UNFINISHED = "unfinished"
# of the images; one is always left out with a warning
MOST_UNREADABLE = 0.05
NAMED = 3  # images named in a warning


def run(args: argparse.Namespace) -> int:
    """Fit a detector, and say what it can promise."""
    started = time.monotonic()
    check_out(args.out, args.overwrite)
    examples = read_examples(args.images)
    others = read_examples(args.calibrate) if args.calibrate else None
    check_kinds(examples, others)
    check_enough(len(examples), None if others is None else len(others))
    features, why, headers = _features(args.method, [examples, others])
    _check_memory(features, len(examples) + (len(others) if others else 0))
    with writing("--out", args.out):
        (args.out / UNFINISHED).mkdir(parents=True, exist_ok=True)
        with on_all_devices():
            found = _read(examples, features, "reading images", args.out)
            held = _read(others, features, "reading to calibrate", args.out)
            found = _without_twins(examples, found)
            fitted, calibrated, labels, counts = _split(
                examples, found, others, held, args.seed
            )
            settings = features.settings if features else (NoveltySettings(),)
            with user_errors(""):
                detector = NoveltyDetector.fit(
                    fitted.vectors,
                    [replace(own, seed=args.seed) for own in settings],
                    calibrate=calibrated.vectors,
                    labels=labels,
                    label="training the flow",
                )
        facts = {
            "source": str(args.images),
            "calibration_source": str(args.calibrate) if args.calibrate else None,
            "features": described(features),
            "method": "vectors" if features is None else features.name,
            "why": why,
            "sizes": sorted({tuple(map(int, h.size)) for h in headers})[:100],
            "colour": any(h.colour for h in headers),
            "counts": counts,
            "classes": list(examples.classes),
            "promises": promises(len(calibrated.rows), detector),
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - started, 1),
            "versions": versions(),
        }
        storage.save(
            args.out,
            detector,
            facts,
            {NORMAL: _normal(examples, fitted, calibrated, detector)},
        )
        shutil.rmtree(args.out / UNFINISHED)
    tell(args.out, facts)
    return 0


def check_out(out: Path, overwrite: bool) -> None:
    """Raise UserError where something else would be lost."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; name a directory")
    there = (out / storage.MANIFEST).exists()
    if there and not overwrite:
        raise UserError(
            f"{out} holds a detector already; name another --out, or replace it by "
            "--overwrite"
        )
    others = [p for p in out.iterdir() if p.name != UNFINISHED] if out.is_dir() else []
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
    if examples.vectors is not None:
        mine, theirs = examples.vectors.shape[1], others.vectors.shape[1]
        if mine != theirs:
            raise UserError(
                f"embeddings have {mine} numbers in {examples.source}, {theirs} in "
                f"{others.source}: give those of the same encoder"
            )


def check_enough(count: int, calibrate: int | None) -> None:
    """Raise UserError for too few examples, before any are read."""
    least = LEAST_FITTED if calibrate is not None else LEAST_FITTED + LEAST_CALIBRATED
    if count < least or (calibrate is not None and calibrate < LEAST_CALIBRATED):
        also = "" if calibrate is None else f", and {calibrate} to calibrate by"
        raise UserError(
            f"{count} images{also} are too few: it takes {LEAST_FITTED} to fit to and "
            f"{LEAST_CALIBRATED} others to calibrate by, better some hundred of both"
        )


def _features(
    method: str, sets: Sequence[Examples | None]
) -> tuple[Features | None, str, list[Header]]:
    headers: list[Header] = []
    for examples in sets:
        if examples is None:
            continue
        if examples.vectors is not None:
            if method != "auto":
                raise UserError(
                    f"--method {method} is of images; {examples.source} holds "
                    "embeddings"
                )
            return None, "embeddings were given", []
        headers += [header for header in examples.headers() if header is not None]
    if not headers:
        raise UserError(f"no image in {sets[0].source} can be read")
    colour = sum(header.colour for header in headers)
    if 0 < colour < len(headers):
        warn(
            f"{colour} of {len(headers)} images are in colour, the others grey; all "
            "count as colour. Convert them to one kind if that is by chance"
        )
    features, why = chosen_features(method, headers)
    say(f"comparing {features.name}: {why}")
    return features, why, headers


def _check_memory(features: Features | None, count: int) -> None:
    if features is None:
        return
    # as float32, twice, and in float64 while components are found
    with user_errors(""):
        check_bytes(count * features.dims * 16, f"{count} images take", "give fewer")


def _read(examples: Examples | None, features, label: str, out: Path):
    if examples is None:
        return None
    found = extract(examples, features, label, out / UNFINISHED)
    bad = len(found.problems)
    if bad:
        first = next(iter(found.problems.values()))
        names = ", ".join(examples.names[row] for row in list(found.problems)[:NAMED])
        if bad > max(1, MOST_UNREADABLE * len(examples)):
            raise UserError(
                f"{bad} of {len(examples)} images in {examples.source} cannot be read "
                f"({names}): {first}; mend or remove them"
            )
        warn(f"left out {bad} of {len(examples)} images ({names}): {first}")
    return found


def _without_twins(examples: Examples, found: Extracted) -> Extracted:
    """Leave out all but the first of equal images: both halves would know them."""
    seen: set[bytes] = set()
    kept, twins = [], []
    for i, (row, vector) in enumerate(zip(found.digests, found.vectors, strict=True)):
        keys = {row.tobytes(), vector.tobytes()}
        (twins if keys & seen else kept).append(i)
        seen |= keys
    if twins:
        names = ", ".join(examples.names[found.rows[i]] for i in twins[:NAMED])
        warn(
            f"left out {len(twins)} of {len(found.rows)} images that are there twice, "
            f"once shrunk ({names}{', ...' if len(twins) > NAMED else ''})"
        )
    return found.take(np.array(kept, int))


def _split(examples, found, others, held, seed):
    """`(fitted, calibrated, labels, counts)`."""
    counts: dict[str, Any] = {
        "images": len(examples),
        "unreadable": len(found.problems),
        "twins": len(examples) - len(found.problems) - len(found.rows),
    }
    if held is None:
        total = len(found.rows)
        check_enough(total, None)
        order = np.random.default_rng(seed).permutation(total)
        count = calibration_count(total)
        calibrated = found.take(np.sort(order[:count]))
        fitted = found.take(np.sort(order[count:]))
    else:
        known = digests_of(found.digests) | {v.tobytes() for v in found.vectors}
        fresh = [
            i
            for i, (row, v) in enumerate(zip(held.digests, held.vectors, strict=True))
            if row.tobytes() not in known and v.tobytes() not in known
        ]
        if leaked := len(held.rows) - len(fresh):
            names = sorted(set(range(len(held.rows))) - set(fresh))
            first = others.names[held.rows[names[0]]]
            warn(
                f"left out {leaked} of {len(held.rows)} images to calibrate by that "
                f"are among those to fit to, the first is {first}"
            )
        fitted, calibrated = found, held.take(np.array(fresh, int))
        check_enough(len(fitted.rows), len(fresh))
        counts["calibration_images"] = len(others)
    labels = None
    if examples.labels is not None:
        labels = examples.labels[fitted.rows]
    counts |= {"fitted": len(fitted.rows), "calibrated": len(calibrated.rows)}
    return fitted, calibrated, labels, counts


def _normal(examples, fitted, calibrated, detector) -> dict[str, np.ndarray]:
    """What is kept of the images: names and small pictures of those that are found."""
    references = detector.references
    names = [examples.names[fitted.rows[i]] for i in references]
    return {
        "names": np.array(json.dumps(names)),
        "digests": np.concatenate([fitted.digests, calibrated.digests]),
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
        [
            [
                f"{p['alpha']:g}",
                f"{p['rate']:.2%}",
                f"{p['low']:.2%} to {p['high']:.2%}",
            ]
            for p in facts["promises"]
        ],
        title="What it can promise",
    )
    least = 1 / (counts["calibrated"] + 1)
    print(
        f"p-values reach down to {least:.2g}: for alpha below that, give more images."
        " All of this holds for images that come as those came that calibrated."
    )
