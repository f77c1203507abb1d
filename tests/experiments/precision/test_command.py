"""`precision` compares arithmetic on a trained run, and changes nothing of it."""

import json

import numpy as np
import pytest

from experiments.cli import run
from experiments.precision.command import ARITHMETIC


@pytest.mark.thorough
def test_what_precision_does_to_a_run(tiny_run, capsys):
    before = (tiny_run / "results.json").read_bytes()
    assert run(["precision", f"--workdir={tiny_run}"]) == 0
    assert (tiny_run / "results.json").read_bytes() == before
    content = json.loads((tiny_run / "precision.json").read_text())
    rows = content["precisions"]
    assert [*rows] == [*ARITHMETIC]
    # the likelihoods of float32 are those that evaluation reports
    reported = json.loads(before)
    for name, value in reported["bits_per_dim"].items():
        assert rows["float32"]["bits_per_dim"][name] == pytest.approx(value, rel=1e-6)
    assert rows["float32"]["auroc"] == pytest.approx(reported["auroc"], abs=1e-6)
    assert rows["float32"]["log_prob_from_float32_max"] == 0
    # another arithmetic is another number, but not far
    off = {name: row["log_prob_from_float32_max"] for name, row in rows.items()}
    assert 1e-3 < off["bfloat16"] < 50
    assert off["float32, winograd"] < 0.05
    for row in rows.values():
        assert np.isfinite(row["log_prob_from_float32_median"])
        assert 0 < row["round_trip_error_max"] < 1e-2
    shown = capsys.readouterr().out
    assert "bfloat16" in shown
    assert "precision.json is in" in shown
