"""The command `report`: one page about runs, ablations and samples."""

import argparse

from experiments.core.options import add_out, add_workdir

SUMMARY = "make one page of one or more runs: tables, spread over seeds, figures"
EPILOG = """\
Writes report.html, which contains its pictures, and report.md with its tables. Runs
that differ only in their seed are pooled. Nothing is computed anew, so runs must have
been evaluated. Results of `inspect`, `ablate` and `samples` are shown as well:
  python -m experiments report --workdir runs/*"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `report`."""
    add_workdir(parser, "directories of runs, ablations or samples", nargs="+")
    text = "directory of both files (default: `report` beside the first --workdir)"
    add_out(parser, text)
