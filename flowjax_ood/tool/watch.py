"""`watch DETECTOR PATH`: images as they arrive, and an alarm for drift."""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

import numpy as np

from flowjax_ood.data.archives import open_archive, write_archive
from flowjax_ood.evaluation.devices import on_all_devices
from flowjax_ood.interface import streams
from flowjax_ood.interface.errors import (
    UNUSABLE,
    UserError,
    os_error,
    user_errors,
    writing,
)
from flowjax_ood.novelty.storage import read_manifest
from flowjax_ood.ood.drift import DriftMonitor, DriftReport, DriftState
from flowjax_ood.ood.rejection import reject
from flowjax_ood.runtime.messages import say, warn
from flowjax_ood.tool.extraction import CHUNK, extract_rows, of_vectors
from flowjax_ood.tool.reading import Examples, image_files
from flowjax_ood.tool.scoring import (
    NEW,
    NORMAL,
    UNREADABLE,
    Rule,
    Scored,
    rule_of,
    scored_of,
)
from flowjax_ood.tool.subject import Subject

# exit status with --fail
ALARM = 3
STREAM = "-"
# seconds between savings of a stream's state
SAVE_EVERY = 1.0
# seconds after which a file that is gone is forgotten: a drive may be back before
FORGOTTEN_AFTER = 7 * 24 * 3600.0


class Watch:
    """What was seen of one stream; kept in a file."""

    def __init__(self, subject: Subject, file: Path, name: str, alarm: float):
        self.file, self.name, self.alarm = file, name, alarm
        self.monitor = DriftMonitor(alarm=alarm)
        files = read_manifest(subject.path)["files"]
        self.detector = json.dumps(files, sort_keys=True)
        # keys of files that are about to be scored
        self.pending: set[str] = set()
        # when files that were scored were first missed, by their keys
        self.missed: dict[str, float] = {}
        # the state of the bets, and keys of the files that it knows: always together,
        # whenever a signal comes
        begun = self.monitor.start(subject.detector.calibration.scores, self.detector)
        self._known: tuple[DriftState, frozenset[str]] = begun, frozenset()
        if file.exists():
            self._resume()
        # what cannot be written is told of before anything is scored
        self.save()

    def _resume(self) -> None:
        remedy = "name another --state, or remove it to begin anew"
        kinds = (*UNUSABLE, KeyError, AttributeError)
        with user_errors(f"--state {self.file}", *kinds, remedy=remedy):
            with open_archive(self.file) as archive:
                arrays = {key: archive.read(key) for key in archive.keys}
                about = archive.read_json("about")
            state = DriftState(**{key: arrays[key] for key in DriftState._fields})
            for key, now in (
                ("watched", self.name),
                ("alarm", self.alarm),
                ("detector", self.detector),
            ):
                if about[key] != now:
                    said = "" if key == "detector" else f", {about[key]} and not {now}"
                    raise ValueError(f"it is of another {key}{said}")
            self.monitor.check(state, self.detector)
            self._known = state, frozenset(about["seen"])
            self.missed = dict(about.get("missed", {}))
        say(f"going on after {int(state.steps)} images ({self.file})")

    @property
    def rung(self) -> bool:
        """Whether there was an alarm."""
        return int(self.state.alarm_at) >= 0

    @property
    def state(self) -> DriftState:
        """The state of the bets."""
        return self._known[0]

    @property
    def seen(self) -> frozenset[str]:
        """Keys of the files that were scored."""
        return self._known[1]

    def update(self, scores: np.ndarray) -> tuple[DriftState, DriftReport | None]:
        """The state after scores, for `keep`, and the report; None of no scores."""
        if not len(scores):
            return self.state, None
        return self.monitor.update(self.state, scores, self.detector)

    def keep(self, state: DriftState) -> None:
        """The pending files are done, and this is the state after them."""
        self._known = state, self.seen | self.pending
        self.pending = set()

    def forget(self, present: Set[str], now: float) -> None:
        """Forget files that were scored and have been gone for a week.

        So the state stays as small as the folder. `present`: keys of its files.
        """
        missing = self.seen - present
        self.missed = {key: self.missed.get(key, now) for key in missing}
        old = {k for k, since in self.missed.items() if now - since > FORGOTTEN_AFTER}
        self._known = self.state, self.seen - old
        self.missed = {k: at for k, at in self.missed.items() if k not in old}

    def save(self) -> None:
        """Write what is known to the file, in one step."""
        about = {
            "watched": self.name,
            "alarm": self.alarm,
            "detector": self.detector,
            "seen": sorted(self.seen),
            "missed": self.missed,
        }
        arrays = self.state._asdict() | {"about": np.array(json.dumps(about))}
        with writing("--state", self.file):
            write_archive(self.file, arrays)
        self.saved = time.monotonic()


def run(args: argparse.Namespace) -> int:
    """Watch until there is no more, or for ever."""
    subject = Subject.read(args.detector).load_encoder()
    stream = args.path == STREAM
    folder = Path(args.path).expanduser()
    if not stream and not folder.is_dir():
        raise UserError(f"{args.path} is no folder; make it, or give - for JSON lines")
    if not stream and subject.features is None:
        raise UserError(
            f"{args.detector} is of embeddings, which no folder has; give - for JSON "
            'lines of {"vector": [...]}'
        )
    name = STREAM if stream else str(folder.resolve())
    label = "stream" if stream else folder.resolve().name
    file = args.state or subject.path / f"watch_{label}.npz"
    if file.suffix != ".npz":
        raise UserError(f"--state must be a file NAME.npz, got {file}")
    rule = rule_of(subject, args.alpha, None, 1)
    watch = Watch(subject, file, name, args.alarm)
    say(
        f"watching {args.path}; while images come as those did that calibrated, one "
        f"independent of the other, an alarm comes with a probability of at most "
        f"{watch.monitor.false_alarm_bound:g}, ever"
    )
    told, compared = watch.rung, False
    if told:
        say(f"drift was found at image {int(watch.state.alarm_at)}, in an earlier run")
    source = _lines(subject) if stream else _arrivals(folder, watch, args)
    with on_all_devices():
        try:
            for examples in itertools.chain([None], source):
                if examples is not None and not compared:
                    compared = True
                    for change in subject.check(examples):
                        warn(change)
                if examples is not None:
                    _take_in(subject, watch, examples, rule)
                if watch.rung and not told:
                    told = True
                    warn(
                        f"drift, at image {int(watch.state.alarm_at)}: images no "
                        "longer come as those did that calibrated; fit a detector to "
                        "new ones"
                    )
                if watch.rung and args.fail and not args.once:
                    break
        finally:
            watch.save()
    return ALARM if args.fail and watch.rung else 0


def _take_in(subject: Subject, watch: Watch, examples: Examples, rule: Rule) -> None:
    """Score a batch, print it, and then remember it."""
    rows = np.arange(len(examples))
    if subject.features is None:
        found = of_vectors(examples)
    else:
        found = extract_rows(examples, subject.features, rows)
    scored = scored_of(subject, found)
    state, report = watch.update(scored.score)
    for line in _records(examples, scored, report, rule.level):
        print(json.dumps(line, allow_nan=False), flush=True)
    if (error := streams.lost(sys.stdout)) is not None:
        raise UserError(
            f"nobody reads what is printed ({os_error(error)}); run it again to go on "
            "after the last image that was printed whole"
        )
    watch.keep(state)
    if examples.source != STREAM or time.monotonic() - watch.saved > SAVE_EVERY:
        watch.save()


def _records(
    examples: Examples, scored: Scored, report: DriftReport | None, alpha: float
) -> Iterator[dict[str, Any]]:
    if report is not None:
        rejected = reject(scored.p, alpha, "each").reject
        for k, row in enumerate(scored.rows.astype(int)):
            yield {
                "image": examples.names[row],
                "decision": NEW if rejected[k] else NORMAL,
                "p_value": float(scored.p[k]),
                "score": float(scored.score[k]),
                "log_wealth": float(report.log_wealth[k]),
                "alarm_at": report.alarm_at,
            }
    for row, problem in scored.problems.items():
        yield {
            "image": examples.names[row],
            "decision": UNREADABLE,
            "problem": problem,
        }


def _arrivals(folder: Path, watch: Watch, args) -> Iterator[Examples]:
    """Image files that were not there before, in the order of their times."""
    while True:
        now, fresh, present = time.time(), [], set()
        for file in image_files(folder):
            name = file.relative_to(folder).as_posix()
            try:
                found = file.stat()
            except OSError:
                continue  # gone again
            # one that is written anew is another image
            key = f"{name} {found.st_size} {found.st_mtime_ns}"
            present.add(key)
            # one that is being written is taken at a later look; a time to come is of
            # another clock
            whole = args.once or abs(now - found.st_mtime) >= args.interval
            if key not in watch.seen and whole:
                fresh.append((found.st_mtime, name, key, file))
        watch.forget(present, now)
        fresh.sort()
        for start in range(0, len(fresh), CHUNK):
            _, names, keys, paths = zip(*fresh[start : start + CHUNK], strict=True)
            watch.pending = set(keys)
            yield Examples(str(folder), names, paths=paths)
        if args.once:
            return
        time.sleep(args.interval)


def _lines(subject: Subject) -> Iterator[Examples]:
    """Examples that JSON lines on standard input name, one by one.

    A line that cannot be used is told of, and those after it are read.
    """
    # as bytes: text that is not UTF-8 would take the lines around it with it
    number, lines = 0, iter(getattr(sys.stdin, "buffer", sys.stdin))
    while True:
        number += 1
        where = f"line {number} of standard input"
        try:
            line = next(lines, None)
            if line is None:
                return
            if line.strip():
                yield _example(subject, json.loads(line), where)
        except (ValueError, TypeError, RecursionError) as error:
            record = {"image": where, "decision": UNREADABLE, "problem": str(error)}
            print(json.dumps(record), flush=True)


def _example(subject: Subject, given: Any, where: str) -> Examples:
    """Raises ValueError for what the detector cannot score."""
    if not isinstance(given, dict):
        raise ValueError('not {"path": FILE} or {"vector": [...]}')
    if subject.features is not None:
        path = given.get("path")
        if not isinstance(path, str):
            raise ValueError('no "path"; the detector is of images')
        return Examples(STREAM, (path,), paths=(Path(path),))
    try:
        with np.errstate(over="ignore"):
            numbers = np.asarray(given.get("vector"), np.float32)
    except (TypeError, ValueError, OverflowError):
        numbers = np.zeros(0, np.float32)
    if numbers.shape != (subject.detector.dims,) or not np.isfinite(numbers).all():
        raise ValueError(
            f'no "vector" of {subject.detector.dims} finite numbers, as those that the '
            "detector was fitted to"
        )
    return Examples(STREAM, (where,), vectors=numbers[None])
