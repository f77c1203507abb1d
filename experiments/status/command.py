"""`status --workdir DIR ...`: show the progress of runs, from their files alone.

JAX is not imported, so the answer takes a fraction of a second; nothing is written, and
a run that trains is not disturbed. `--json` prints the records that `record.py`
describes; otherwise, a single run has a page, and several runs have a table.
"""

import json
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from experiments.core.options import refuse_overrides
from experiments.core.run_search import is_report
from experiments.status.files import RunFiles, find_runs
from experiments.status.record import record
from flowjax_ood.interface import streams
from flowjax_ood.interface.errors import user_errors
from flowjax_ood.interface.text import terminal_width
from flowjax_ood.runtime.files import names_apart
from flowjax_ood.runtime.terminations import Terminated
from flowjax_ood.training.logs.events import timestamp


def run(args: Namespace, overrides: Sequence[str]) -> int:
    """Run `status`; returns its exit status, 1 where a run needs attention."""
    refuse_overrides("status", overrides, ": it reads what runs left")
    show, needing = _print_json if args.json else _print_page, 0
    try:
        while True:
            records = look(args.workdir, check=args.check)
            needing = sum(bool(record["attention"]) for record in records)
            show(records, needing, bool(args.watch))
            # whoever read it is gone
            if not args.watch or streams.lost(sys.stdout):
                break
            time.sleep(args.watch)
    except KeyboardInterrupt as stop:  # Ctrl-C is the usual end of --watch
        if not args.watch or isinstance(stop, Terminated):
            raise
    return int(needing > 0)


def look(workdirs: list[Path], check: bool = False) -> list[dict]:
    """The records of all runs in or below `workdirs`, each once.

    Raises UserError where one of them holds no run, or cannot be read.
    """
    with user_errors("cannot be read", OSError):
        # of runs/*, what `report` left there is none
        given = [w for w in workdirs if len(workdirs) == 1 or not is_report(w)]
        runs = list(dict.fromkeys(run for w in given for run in find_runs(w)))
        # named by their paths below the directory they share
        return [
            record(RunFiles(run, check), time.time(), name)
            for run, name in zip(runs, names_apart(runs), strict=True)
        ]


def _print_json(records: list[dict], needing: int, watching: bool) -> None:
    content = {"time": timestamp(), "attention": needing, "runs": records}
    # one object a line, where it is printed again and again
    print(json.dumps(content, indent=None if watching else 2), flush=True)


def _print_page(records: list[dict], needing: int, watching: bool) -> None:
    # for people alone, who wait longer than scripts
    from rich.console import Console

    from experiments.status.display import page, table

    console = Console(width=terminal_width())
    if watching and sys.stdout.isatty():
        console.clear()
    alone = len(records) == 1
    console.print(page(records[0]) if alone else table(records, console.width))
