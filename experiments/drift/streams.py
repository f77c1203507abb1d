"""Streams of kept scores that change at a step, many at a time."""

from typing import NamedTuple

import numpy as np

from experiments.core.kept_scores import KeptScores
from flowjax_ood.interface.errors import UserError

NONE = "none"
SHARES = {"all": 1.0, "half": 0.5, "a tenth": 0.1}


class Change(NamedTuple):
    """From a step on, `share` of the scores are of the set `other`, or a class is gone.

    Without both, nothing changes.
    """

    name: str
    other: str | None = None
    share: float = 1.0
    missing: int | None = None


class Streams(NamedTuple):
    """Calibration scores `[S, n]`, and scores `[S, T]` that follow them."""

    calibration: np.ndarray
    scores: np.ndarray


def changes(kept: KeptScores, name: str) -> list[Change]:
    """List the changes that a detector has scores for.

    Of the first OOD set, all, half and a tenth; of others, and of corrupted images,
    all; every class missing, where classes are kept.
    """
    listed = [Change(NONE)]
    outliers = [n for n in kept.outliers if n in kept.detectors[name]]
    for number, other in enumerate(outliers):
        for words, share in SHARES.items():
            if number == 0 or share == 1:
                listed.append(Change(f"{other}, {words}", other, share))
    listed += [Change(f"{n}, all", n) for n in kept.corrupted(name)]
    if kept.labels is not None:
        classes = np.unique(kept.labels).tolist()
        listed += [Change(f"without class {c}", missing=c) for c in classes]
    return listed


def check_counts(kept: KeptScores, calibrate: int, steps: int, change: int) -> None:
    """Raise UserError for streams longer than there are scores, or without a change."""
    if change >= steps:
        raise UserError(
            f"--change={change} is not before the end of a stream of {steps}: give less"
        )
    if calibrate + steps > kept.size:
        raise UserError(
            f"{kept.id_name} has {kept.size} scores, and a stream takes "
            f"{calibrate + steps}: give less to --calibrate or --steps"
        )


def draw(
    kept: KeptScores,
    name: str,
    change: Change,
    count: int,
    calibrate: int,
    steps: int,
    at: int,
    seed: int,
) -> Streams:
    """Draw `count` streams of `steps` scores; the first `at` are in-distribution.

    No image is in a stream twice, nor a corrupted copy of one, as long as there are
    enough. The streams of a seed have the same images, whatever the detector and until
    the change.
    """
    scores = kept.detectors[name]
    own = scores[kept.id_name]
    other = own if change.other is None else scores[change.other]
    copies = change.other in kept.corrupted(name)
    calibration = np.empty((count, calibrate))
    streams = np.empty((count, steps))
    for k in range(count):
        rng = np.random.default_rng([seed, k])
        order = rng.permutation(len(own))
        calibration[k] = own[order[:calibrate]]
        rest = order[calibrate:]
        streams[k] = own[rest[:steps]]
        after = steps - at
        if change.missing is not None:
            assert kept.labels is not None  # of which `changes` knows the class
            left = rest[at:]
            left = left[kept.labels[left] != change.missing]
            streams[k, at:] = own[_taken(rng, left, after)]
        elif change.other is not None:
            pool = np.arange(len(other))
            if copies:
                unused = rest[steps:]
                pool = unused[unused < len(other)]
                if len(pool) < after:
                    # few would be repeated: also copies of images of the stream
                    pool = np.setdiff1d(np.arange(len(other)), order[:calibrate])
                pool = pool if len(pool) else np.arange(len(other))
            drawn = other[_taken(rng, rng.permutation(pool), after)]
            changed = rng.random(after) < change.share
            streams[k, at:] = np.where(changed, drawn, streams[k, at:])
    return Streams(calibration, streams)


def _taken(rng, rows: np.ndarray, count: int) -> np.ndarray:
    """The first `count` rows; drawn with repetition where there are fewer."""
    return rows[:count] if len(rows) >= count else rng.choice(rows, count)
