"""Examples run as scripts, and what they said."""

import re
import runpy
import sys
from pathlib import Path
from typing import NamedTuple

from tests.docs.manual import ROOT


class Ran(NamedTuple):
    """The names that a script defined, what it printed, and its folder of figures."""

    names: dict
    said: str
    out: Path

    def numbers(self, pattern: str) -> list[list[float]]:
        """The groups of every match of `pattern`, as numbers."""
        found = re.finditer(pattern, self.said, re.M)
        return [[float(text) for text in row.groups()] for row in found]


def run_example(
    name: str, tmp_path, monkeypatch, capsys, *arguments, pictures: tuple = ()
) -> Ran:
    """Run `examples/NAME.py`; it must draw `pictures`, `NAME` unless given."""
    out = tmp_path / "figures"
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments, f"--out={out}"])
    # what it writes besides lies in tmp_path, too
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    names = runpy.run_path(str(ROOT / f"examples/{name}.py"))
    for picture in pictures or (name,):
        assert (out / f"{picture}.png").read_bytes().startswith(b"\x89PNG\r\n")
    return Ran(names, capsys.readouterr().out, out)
