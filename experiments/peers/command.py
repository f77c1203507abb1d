"""`peers --out=DIR`: compare our speed with that of other libraries.

Of flows, the training step, the log-density and sampling; of detectors, fitting and
scoring.
Every library builds the same thing in its own process, on the same cores, and rounds
take turns, so that a busy machine slows all of them alike. Writes peers.json, or
peers_detectors.json, and prints a Markdown table.
"""

import os
import platform
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from experiments.core.options import known_names, refuse_overrides
from experiments.core.results import spread, versions, write_json
from experiments.core.workdir import check_writable
from experiments.peers.processes import PeerError, installed, workers
from experiments.peers.table import detectors_markdown, markdown
from experiments.peers.tasks import CONTESTS, OURS, Library
from flowjax_ood.interface.environment import cores
from flowjax_ood.interface.errors import UserError
from flowjax_ood.runtime.messages import warn

# idle threads of the library before may still be spinning
PAUSE = 0.3


def run(args: Namespace, overrides: Sequence[str]) -> None:
    """Run `peers`. Raises UserError for arguments that cannot be measured."""
    refuse_overrides("peers", overrides)
    contest = CONTESTS[args.of]
    libraries, tasks = contest.libraries, list(contest.tasks)
    if args.task:
        tasks = list(dict.fromkeys(known_names("task", args.task, tasks)))
    names = list(libraries)
    if args.library:
        # rates are stated against ours
        asked = known_names("library", args.library, libraries)
        names = list(dict.fromkeys([OURS, *asked]))
        packages = [libraries[n].package for n in names if not installed(libraries[n])]
        if packages:
            raise UserError(
                f"{packages[0]} is not installed; pip install 'flowjax_ood[peers]' has "
                "all libraries, or leave it out of --library"
            )
    shape = contest.shape
    if args.batch is not None:
        if args.of != "flows":
            raise UserError(f"--batch is of flows, not of {args.of}; leave it out")
        shape = replace(shape, batch=args.batch)
    main(
        args.out,
        args.of,
        names,
        tasks,
        shape,
        rounds=args.rounds,
        seconds=args.seconds,
    )


def main(
    out: Path,
    contest: str,
    names: list[str],
    tasks: list[str],
    shape,
    *,
    rounds: int = 5,
    seconds: float = 1.0,
) -> None:
    """Measure, write the contest's file in `out`, and print the table.

    A library that is not installed, or fails, keeps its row, which says so.
    """
    check_writable("--out", out)
    threads, load = cores(), os.getloadavg()[0]
    if load > threads / 2:
        warn(
            f"other programs are at work (load average {load:.1f} on "
            f"{threads} cores): all rates will be too low, most of all those of "
            "PyTorch, whose threads wait for each other"
        )
    rows: list[dict] = []
    content = {
        "machine": {
            "processor": processor(),
            "cores": threads,
            "load_average_at_start": load,
        },
        "shape": asdict(shape),
        "dtype": "float32",
        "rounds": rounds,
        "seconds_a_round": seconds,
        "rows": rows,
        "versions": versions(),
    }
    file = CONTESTS[contest].file
    for task in tasks:
        rows += compare(contest, names, task, shape, threads, rounds, seconds)
        # after each: what was measured outlives an interruption
        write_json(out / file, content)
    print(markdown(content) if contest == "flows" else detectors_markdown(content))
    print(f"{file} is in {out}")
    if not any(row["status"] == "measured" for row in rows):
        raise UserError("nothing could be measured; the table says why")


def compare(contest, names, task, shape, threads, rounds, seconds) -> list[dict]:
    """A row for every library: its description, and its rates in every mode."""
    libraries, modes = CONTESTS[contest].libraries, CONTESTS[contest].modes
    rows = {
        name: {
            "task": task,
            "library": name,
            "how": libraries[name].how,
            "status": _status(libraries[name], task),
        }
        for name in names
    }
    present = [name for name in names if rows[name]["status"] == "measured"]
    with workers(present, threads) as running:

        def attempt(name, action, *given, **request) -> dict:
            """The answer; empty where the library fails: it has no more turns."""
            try:
                return action(*given, **request)
            except PeerError as error:
                rows[name]["status"] = f"failed: {error}"
                present.remove(name)
                print(f"{task}: {name} {rows[name]['status']}", flush=True)
                return {}

        for name in list(present):
            print(f"{task}: building {name}", flush=True)
            rows[name] |= attempt(
                name, running[name].build, contest, task, shape, threads
            )
        for mode in modes:
            first = {n: attempt(n, running[n].ask, first=mode) for n in list(present)}
            scores = {n: answer.pop("scores", None) for n, answer in first.items()}
            rates: dict[str, list[float]] = {name: [] for name in present}
            for number in range(rounds if present else 0):
                print(f"{mode}: round {number + 1} of {rounds}", flush=True)
                for name in _turns(present, number):
                    time.sleep(PAUSE)
                    request = {"round": mode, "seconds": seconds}
                    if answer := attempt(name, running[name].ask, **request):
                        count = shape.examples(mode)
                        rates[name].append(count / answer["seconds"])
            for name in present:
                answer = first[name]
                rows[name][mode] = {
                    "first_call_seconds": answer["seconds"],
                    **{k: answer[k] for k in ("first_value",) if k in answer},
                    **spread("examples_per_second", rates[name]),
                    **_ratio(rates, name),
                    **_agreement(scores, name),
                }
    return list(rows.values())


def _status(library: Library, task: str) -> str:
    """What the row of a library says before it is measured."""
    if task in library.lacks:
        return "has none"
    return "measured" if installed(library) else "not installed"


def _turns(names: list[str], number: int) -> list[str]:
    """All names, starting with a different name in every round."""
    start = number % max(1, len(names))
    return names[start:] + names[:start]


def _ratio(rates: dict[str, list[float]], name: str) -> dict:
    """Our rate over theirs, round by round: a slow round is slow for both."""
    if OURS not in rates or len(rates[OURS]) != len(rates[name]):
        return {}
    ratios = [ours / theirs for ours, theirs in zip(rates[OURS], rates[name])]
    return spread("ours_over_this", ratios)


def _agreement(scores: dict[str, list | None], name: str) -> dict:
    """Spearman's correlation of the scores with ours, where there are any."""
    from scipy.stats import spearmanr

    ours, theirs = scores.get(OURS), scores[name]
    if ours is None or theirs is None:
        return {}
    return {"rank_correlation": float(spearmanr(ours, theirs).statistic)}


def processor() -> str:
    """The model name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
