"""The example of composing runs as it stands, and says what it found."""

import re

import pytest

from tests.examples.running import run_example

pytest.importorskip("sklearn")


@pytest.mark.thorough
def test_it_trains_compares_and_draws(tmp_path, monkeypatch, capsys):
    pictures = ("moons", "table", "training")
    names, said, _ = run_example(
        *("compose_flow", tmp_path, monkeypatch, capsys, "--steps=100"),
        pictures=pictures,
    )
    rows = re.findall(r"^  (flow|Gaussian|KDE) +(-?[\d.]+) \+- [\d.]+$", said, re.M)
    assert [name for name, _ in rows] == ["flow", "Gaussian", "KDE"] * 2
    # so few steps tell two moons from an ellipse, and teach a table something
    assert float(rows[0][1]) > float(rows[1][1]) + 0.3
    assert names["table_curve"][0] > -45
    assert float(re.search(r"back: (\S+)", said)[1]) < 1e-3
    assert float(re.search(r"both ways: (\S+)", said)[1]) < 1e-2
    assert len(names["moons_curve"]) == 2
