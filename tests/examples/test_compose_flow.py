"""The example of composing runs as it stands, and says what it found."""

import re
import runpy
import sys

import pytest

from tests.docs.manual import ROOT

pytest.importorskip("sklearn")


def test_it_trains_compares_and_draws(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    arguments = ["compose_flow.py", "--steps", "100", f"--out={tmp_path / 'figures'}"]
    monkeypatch.setattr(sys, "argv", arguments)
    names = runpy.run_path(str(ROOT / "examples/compose_flow.py"))
    said = capsys.readouterr().out
    rows = re.findall(r"^  (flow|Gaussian|KDE) +(-?[\d.]+) \+- [\d.]+$", said, re.M)
    assert [name for name, _ in rows] == ["flow", "Gaussian", "KDE"] * 2
    # so few steps tell two moons from an ellipse, and teach a table something
    assert float(rows[0][1]) > float(rows[1][1]) + 0.3
    assert names["table_curve"][0] > -45
    assert float(re.search(r"back: (\S+)", said)[1]) < 1e-3
    assert float(re.search(r"both ways: (\S+)", said)[1]) < 1e-2
    assert len(names["moons_curve"]) == 2
    for name in ("moons", "table", "training"):
        picture = (tmp_path / "figures" / f"{name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG\r\n")
