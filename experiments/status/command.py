"""`status --workdir DIR ...`: how runs are getting on, from their files alone.

JAX is not imported, so the answer is there in a fraction of a second; nothing is
written, and nothing is taken from a run that trains. `--json` prints the records that
`status_record` describes; else a page for one run, a table for several.
"""

import json
import sys
import time
from argparse import Namespace
from pathlib import Path

from experiments.core.errors import user_errors
from experiments.core.options import refuse_overrides
from experiments.status.files import find_runs, read_run
from experiments.status.record import record
from flowjax_ood.training.logs.events import timestamp


def run(args: Namespace, overrides: list[str]) -> int:
    """Run `status`; returns its exit status, 1 where a run needs attention."""
    refuse_overrides("status", overrides, ": it reads what runs left")
    show = _print_json if args.json else _print_page
    status = show(look(args.workdir, check=args.check), bool(args.watch))
    while args.watch:
        try:
            time.sleep(args.watch)
            status = show(look(args.workdir, check=args.check), True)
        except KeyboardInterrupt:
            break  # that is how it ends
    return status


def look(workdirs: list[Path], check: bool = False) -> list[dict]:
    """The records of all runs in or below `workdirs`, each once.

    Raises UserError where one of them holds no run, or cannot be read.
    """
    with user_errors("cannot be read", OSError):
        runs = list(dict.fromkeys(run for w in workdirs for run in find_runs(w)))
        names = _names(runs)
        return [record(read_run(run, check), time.time(), names[run]) for run in runs]


def _names(runs: list[Path]) -> dict[Path, str]:
    """What tells runs apart: their paths, below the directory they share."""
    whole = [run.absolute() for run in runs]
    shared = 0
    for parts in zip(*(path.parts[:-1] for path in whole)):
        if len(set(parts)) > 1:
            break
        shared += 1
    return {run: "/".join(path.parts[shared:]) for run, path in zip(runs, whole)}


def _needing(records: list[dict]) -> int:
    return sum(bool(r["attention"]) for r in records)


def _print_json(records: list[dict], watching: bool) -> int:
    needing = _needing(records)
    content = {"time": timestamp(), "attention": needing, "runs": records}
    # one object a line, where it is printed again and again
    print(json.dumps(content, indent=None if watching else 2), flush=True)
    return int(needing > 0)


def _print_page(records: list[dict], watching: bool) -> int:
    # for people alone, who wait longer than scripts
    from rich.console import Console

    from experiments.status.display import page, table

    console = Console()
    if watching and sys.stdout.isatty():
        console.clear()
    alone = len(records) == 1
    console.print(page(records[0]) if alone else table(records, console.width))
    return int(_needing(records) > 0)
