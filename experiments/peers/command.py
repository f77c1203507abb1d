"""`peers --out=DIR`: compare our training step and log-density with other libraries'.

Every library builds a flow of the same shape in its own process, on the same cores, and
rounds take turns, so that a busy machine slows all of them alike. Writes peers.json and
prints a Markdown table.
"""

import os
import platform
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from experiments.core.environment import cores
from experiments.core.errors import UserError
from experiments.core.options import known_names, refuse_overrides
from experiments.core.results import spread, versions, write_json
from experiments.core.workdir import check_writable
from experiments.peers.processes import PeerError, installed, workers
from experiments.peers.table import markdown
from experiments.peers.tasks import LIBRARIES, MODES, OURS, TASKS, Shape
from flowjax_ood.runtime.messages import warn

# idle threads of the library before may still be spinning
PAUSE = 0.3


def run(args: Namespace, overrides: Sequence[str]) -> None:
    """Run `peers`. Raises UserError for arguments that cannot be measured."""
    refuse_overrides("peers", overrides)
    tasks = list(dict.fromkeys(known_names("task", args.task, TASKS)))
    names = list(LIBRARIES)
    if args.library:
        # rates are stated against ours
        asked = known_names("library", args.library, LIBRARIES)
        names = list(dict.fromkeys([OURS, *asked]))
        if absent := [LIBRARIES[n].package for n in names if not installed(n)]:
            raise UserError(
                f"{absent[0]} is not installed; pip install 'flowjax_ood[peers]' has "
                "all libraries, or leave it out of --library"
            )
    shape = Shape(batch=args.batch)
    main(args.out, names, tasks, shape, rounds=args.rounds, seconds=args.seconds)


def main(
    out: Path,
    names: list[str],
    tasks: list[str],
    shape: Shape,
    *,
    rounds: int = 5,
    seconds: float = 1.0,
) -> None:
    """Measure, write peers.json in `out`, and print the table.

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
    rows = []
    for task in tasks:
        rows += compare(names, task, shape, threads, rounds, seconds)
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
    write_json(out / "peers.json", content)
    print(markdown(content))
    print(f"peers.json is in {out}")
    if not any(row["status"] == "measured" for row in rows):
        raise UserError("nothing could be measured; the table says why")


def compare(names, task, shape, threads, rounds, seconds) -> list[dict]:
    """A row for every library: its description, and its rates in every mode."""
    rows = {
        name: {
            "task": task,
            "library": name,
            "how": LIBRARIES[name].how,
            "status": "measured" if installed(name) else "not installed",
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
            rows[name] |= attempt(name, running[name].build, task, shape, threads)
        for mode in MODES:
            first = {n: attempt(n, running[n].ask, first=mode) for n in list(present)}
            rates: dict[str, list[float]] = {name: [] for name in present}
            for number in range(rounds if present else 0):
                print(f"{mode}: round {number + 1} of {rounds}", flush=True)
                for name in _turns(present, number):
                    time.sleep(PAUSE)
                    request = {"round": mode, "seconds": seconds}
                    if answer := attempt(name, running[name].ask, **request):
                        rates[name].append(shape.batch / answer["seconds"])
            for name in present:
                rows[name][mode] = {
                    "first_call_seconds": first[name]["seconds"],
                    "first_value": first[name]["value"],
                    **spread("examples_per_second", rates[name]),
                    **_ratio(rates, name),
                }
    return list(rows.values())


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


def processor() -> str:
    """The model name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
