"""Scores of many images, and the decisions that follow."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowjax_ood.evaluation.devices import on_all_devices
from flowjax_ood.interface.errors import UserError
from flowjax_ood.ood.rejection import Control, reject
from flowjax_ood.runtime.messages import warn
from flowjax_ood.runtime.progress import progress
from flowjax_ood.tool.extraction import Extracted, each_chunk
from flowjax_ood.tool.reading import Examples
from flowjax_ood.tool.subject import Subject

NEW, NORMAL, UNREADABLE = "new", "normal", "unreadable"
# without --alpha: the first that the images that calibrate support
ALPHAS = (0.01, 0.05)
# nearest normal images that are named
NEAREST = 3


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of M images that could be read, most of it by row.

    `rows [M]`: their numbers among all examples; `p`, `score`, `statistics [M, J]`;
    `nearest [M, 3]`: numbers of normal images; `known [M]`: among those fitted to.
    """

    rows: np.ndarray
    p: np.ndarray
    score: np.ndarray
    statistics: np.ndarray
    nearest: np.ndarray
    known: np.ndarray
    thumbnails: list[bytes]
    problems: dict[int, str]


@dataclass(frozen=True)
class Rule:
    """How p-values become decisions: `control` and `level` of `ood.reject`."""

    control: Control
    level: float

    @property
    def words(self) -> str:
        if self.control == "each":
            return f"called new at p <= {self.level:g}"
        share = f"{100 * self.level:g} %"
        return f"called new, of which at most {share} are normal on average"


def score(subject: Subject, examples: Examples, label: str = "scoring") -> Scored:
    """Score all examples, with progress."""
    parts = []
    with progress(label, len(examples), "images") as shown, on_all_devices():
        for part in _scored_chunks(subject, examples):
            parts.append(part)
            done = [*part.rows[-1:], *list(part.problems)[-1:]]
            shown.advance(int(max(done)) + 1)
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(p, name) for p in parts if len(p.rows)] or [[]])
        for name in ("rows", "p", "score", "statistics", "nearest", "known")
    }
    if not len(joined["rows"]):
        first = next(iter(parts[0].problems.values()))
        raise UserError(f"none of the {len(examples)} images can be read: {first}")
    thumbnails = [t for p in parts for t in p.thumbnails]
    problems = {row: text for p in parts for row, text in p.problems.items()}
    return Scored(**joined, thumbnails=thumbnails, problems=problems)


def _scored_chunks(subject: Subject, examples: Examples) -> Iterator[Scored]:
    for found in each_chunk(examples, subject.features):
        yield scored_of(subject, found)


def scored_of(subject: Subject, found: Extracted) -> Scored:
    """Score images whose vectors are there."""
    detector = subject.detector
    if not len(found.rows):
        none = np.zeros(0)
        statistics = np.zeros((0, len(detector.names)))
        nearest = np.zeros((0, NEAREST), int)
        return Scored(
            found.rows, none, none, statistics, nearest, none, [], found.problems
        )
    total, statistics = detector.scores(found.vectors)
    at = {int(row): k for k, row in enumerate(detector.references)}
    nearest = detector.nearest(found.vectors, NEAREST)
    return Scored(
        found.rows,
        detector.calibration.p_values(total),
        total,
        statistics,
        np.array([[at[int(row)] for row in rows] for rows in nearest]),
        np.array([row.tobytes() in subject.known for row in found.digests]),
        found.thumbnails,
        found.problems,
    )


def decide(
    subject: Subject, examples: Examples, scored: Scored, rule: Rule
) -> list[dict[str, Any]]:
    """A record for every example, in their order."""
    rejected, adjusted = reject(scored.p, rule.level, rule.control)
    parts = subject.detector.explain(scored.statistics)
    records: list[dict[str, Any]] = [
        {"image": name, "decision": UNREADABLE, "p_value": None}
        for name in examples.names
    ]
    for k, row in enumerate(scored.rows.astype(int)):
        by_part = {name: float(p[k]) for name, p in parts.items()}
        records[row] |= {
            "decision": NEW if rejected[k] else NORMAL,
            "p_value": float(scored.p[k]),
            "adjusted": float(adjusted[k]),
            "score": float(scored.score[k]),
            "fitted": bool(scored.known[k]),
            "parts": by_part,
            "nearest": [subject.names[i] for i in scored.nearest[k]],
        }
    for row, problem in scored.problems.items():
        records[row]["problem"] = problem
    return records


def most_unusual_first(scored: Scored) -> np.ndarray:
    """Numbers of scored images, by p-value, and by score where that ties."""
    return np.lexsort((scored.score, scored.p))


def spoke(parts: dict[str, float]) -> str:
    """The statistic of the least p-value, and how many others have the same."""
    least = min(parts.values())
    names = [name for name, p in parts.items() if p == least]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more} ({least:.2g})"


def rule_of(
    subject: Subject, alpha: float | None, fdr: float | None, count: int
) -> Rule:
    """The rule that is asked for, or alpha 0.01, or 0.05 where so few calibrate.

    Warns where the images that calibrate are too few for what is asked of `count`.
    """
    calibration = subject.detector.calibration
    least, known = calibration.least_p, len(calibration.of_distinct.scores)
    if fdr is not None:
        # so many must share the least p-value
        together = int(np.ceil(count * least / fdr - 1e-9))
        if together > 1:
            warn(
                f"with {known} images that calibrate, --fdr {fdr:g} of {count} images "
                f"calls some new only if {together} of them have the least p-value, "
                f"{least:.2g}; {int(np.ceil(count / fdr))} that calibrate would do for "
                "a single one"
            )
        return Rule("fdr", fdr)
    reached = least * (1 - 1e-12)
    if alpha is None:
        alpha = next((a for a in ALPHAS if a >= reached), ALPHAS[-1])
        if alpha != ALPHAS[0]:
            warn(
                f"alpha is {alpha:g}: {ALPHAS[0]:g} takes "
                f"{np.ceil(1 / ALPHAS[0]) - 1:.0f} images to calibrate, this detector "
                f"has {known}"
            )
    elif alpha < reached:
        warn(
            f"nothing can be called new at alpha {alpha:g}: no p-value is below "
            f"{least:.2g}; it takes {np.ceil(1 / alpha - 1e-9) - 1:.0f} images to "
            f"calibrate, this detector has {known}"
        )
    return Rule("each", alpha)
