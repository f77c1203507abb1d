"""`watch DETECTOR PATH`: images as they arrive, and an alarm for drift."""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from flowjax_ood.data.archives import open_archive, write_archive
from flowjax_ood.interface.errors import UserError, user_errors, writing
from flowjax_ood.novelty.storage import MANIFEST, read_manifest
from flowjax_ood.ood.drift import DriftMonitor, DriftReport, DriftState
from flowjax_ood.runtime.messages import say, warn
from flowjax_ood.tool.devices import on_all_devices
from flowjax_ood.tool.extraction import CHUNK, extract_rows, of_vectors
from flowjax_ood.tool.reading import Examples, image_files
from flowjax_ood.tool.scoring import NEW, NORMAL, UNREADABLE, Scored, scored_of
from flowjax_ood.tool.subject import Subject

# exit status with --fail
ALARM = 3
STREAM = "-"


class Watch:
    """What was seen of one stream; kept in a file after every batch."""

    def __init__(self, subject: Subject, file: Path, name: str, alarm: float):
        self.file, self.name = file, name
        self.monitor = DriftMonitor(alarm=alarm)
        files = read_manifest(subject.path)["files"]
        self.detector = json.dumps(files, sort_keys=True)
        self.seen: set[str] = set()
        self.state = self.monitor.start(
            subject.detector.calibration.scores, self.detector
        )
        if file.exists():
            self._resume()

    def _resume(self) -> None:
        remedy = "name another --state, or remove it to begin anew"
        with user_errors(f"--state {self.file}", remedy=remedy):
            with open_archive(self.file) as archive:
                arrays = {key: archive.read(key) for key in archive.keys}
                about = archive.read_json("about")
            if about["watched"] != self.name:
                raise ValueError(f"it is of {about['watched']}, not of {self.name}")
            fields = {key: arrays[key] for key in DriftState._fields}
            self.seen = set(about["seen"])
            self.state = DriftState(**fields)
            self.monitor.check(self.state, self.detector)
        say(f"going on after {int(self.state.steps)} images ({self.file})")

    @property
    def rung(self) -> bool:
        """Whether there was an alarm."""
        return int(self.state.alarm_at) >= 0

    def update(self, scores: np.ndarray, names: list[str]) -> DriftReport | None:
        """Take in scores, and keep what is known now; None for none."""
        report = None
        if len(scores):
            found = self.monitor.update(self.state, scores, self.detector)
            self.state, report = found
        self.seen |= set(names)
        about = {"watched": self.name, "seen": sorted(self.seen)}
        with writing("--state", self.file):
            write_archive(
                self.file,
                {**self.state._asdict(), "about": np.array(json.dumps(about))},
            )
        return report


def run(args: argparse.Namespace) -> int:
    """Watch until there is no more, or for ever."""
    subject = Subject.read(args.detector)
    stream = args.path == STREAM
    folder = Path(args.path).expanduser()
    if not stream and not folder.is_dir():
        raise UserError(f"{args.path} is no folder; make it, or give - for JSON lines")
    name = STREAM if stream else str(folder.resolve())
    label = "stream" if stream else folder.resolve().name
    file = args.state or subject.path / f"watch_{label}.npz"
    if file.name == MANIFEST or file.suffix != ".npz":
        raise UserError(f"--state must be a file NAME.npz, got {file}")
    watch = Watch(subject, file, name, args.alarm)
    bound = watch.monitor.false_alarm_bound
    say(
        f"watching {args.path}; without drift, an alarm comes with a probability of "
        f"at most {bound:g}, ever"
    )
    source = _lines(subject) if stream else _arrivals(folder, watch, args)
    told = watch.rung
    with on_all_devices():
        for examples in source:
            _take_in(subject, watch, examples, args.alpha)
            if watch.rung and not told:
                told = True
                warn(
                    f"drift, at image {int(watch.state.alarm_at)}: images no longer "
                    "come as those did that calibrated; fit a detector to new ones"
                )
            if watch.rung and args.fail:
                return ALARM
    return 0


def _take_in(subject: Subject, watch: Watch, examples: Examples, alpha: float) -> None:
    """Score a batch and print it."""
    rows = np.arange(len(examples))
    if examples.vectors is not None:
        found = of_vectors(examples)
    else:
        found = extract_rows(examples, subject.features, rows)
    scored = scored_of(subject, found)
    names = list(examples.names) if examples.paths else []
    report = watch.update(scored.score, names)
    for line in _records(examples, scored, report, alpha):
        print(json.dumps(line, allow_nan=False), flush=True)


def _records(
    examples: Examples, scored: Scored, report: DriftReport | None, alpha: float
) -> Iterator[dict[str, Any]]:
    for k, row in enumerate(scored.rows.astype(int)):
        yield {
            "image": examples.names[row],
            "decision": NEW if scored.p[k] <= alpha * (1 + 1e-12) else NORMAL,
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
        now, fresh = time.time(), []
        for file in image_files(folder):
            name = file.relative_to(folder).as_posix()
            try:
                changed = file.stat().st_mtime
            except FileNotFoundError:
                continue
            # one that is being written is taken at a later look
            whole = args.once or now - changed >= args.interval
            if name not in watch.seen and whole:
                fresh.append((changed, name, file))
        fresh.sort()
        for start in range(0, len(fresh), CHUNK):
            _, names, paths = zip(*fresh[start : start + CHUNK], strict=True)
            yield Examples(str(folder), names, paths=paths)
        if args.once:
            return
        time.sleep(args.interval)


def _lines(subject: Subject) -> Iterator[Examples]:
    """Examples that JSON lines on standard input name, one by one."""
    for number, line in enumerate(sys.stdin, 1):
        if not line.strip():
            continue
        where = f"line {number} of standard input"
        try:
            given = json.loads(line)
            path, vector = given.get("path"), given.get("vector")
        except (ValueError, AttributeError, RecursionError) as error:
            raise UserError(
                f'{where} is not {{"path": FILE}} or {{"vector": [...]}}: {error}'
            ) from error
        yield _example(subject, path, vector, where)


def _example(subject: Subject, path, vector, where: str) -> Examples:
    if subject.features is not None:
        if not isinstance(path, str):
            raise UserError(f'{where} has no "path"; the detector is of images')
        return Examples(STREAM, (path,), paths=(Path(path),))
    try:
        numbers = np.asarray(vector, np.float32)
    except (TypeError, ValueError):
        numbers = np.zeros(0, np.float32)
    if numbers.shape != (subject.detector.dims,) or not np.isfinite(numbers).all():
        raise UserError(
            f'{where} has no "vector" of {subject.detector.dims} finite numbers, '
            "which the detector was fitted to"
        )
    return Examples(STREAM, (where,), vectors=numbers[None])
