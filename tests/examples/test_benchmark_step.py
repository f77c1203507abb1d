"""The example of timing: what holds on every machine; no time is asked for."""

import numpy as np
import pytest

from tests.examples.running import run_example


@pytest.mark.thorough
def test_both_variants_take_the_same_steps(tmp_path, monkeypatch, capsys):
    arguments = ("--rounds=3", "--steps=1", "--batch=8", "--width=8")
    ran = run_example("benchmark_step", tmp_path, monkeypatch, capsys, *arguments)
    ours, others = ran.names["curves"].values()
    # it trains, and both variants train alike
    assert len(ours) >= 5
    assert ours[-1] < ours[0]
    assert np.allclose(ours, others, rtol=1e-4)
    assert ran.names["flops"] > 0
    # the state's memory is given to the next one, and is not where it is kept
    given, kept = ran.numbers(r"^(?:direct|without donation) .* ([\d.]+)$")
    assert given < kept


@pytest.mark.thorough
def test_ratios_are_of_what_was_timed(tmp_path, monkeypatch, capsys):
    arguments = ("--rounds=3", "--steps=1", "--batch=4", "--width=4")
    ran = run_example("benchmark_step", tmp_path, monkeypatch, capsys, *arguments)
    names = ran.names
    runners, clocks = list(names["RUNNERS"]), list(names["CLOCKS"])
    assert list(names["ratios"]) == [
        (runner, clock) for clock in clocks for runner in runners[1:]
    ]
    for (runner, clock), found in names["ratios"].items():
        at = clocks.index(clock)
        direct, other = (
            names["milliseconds"][each][:, at] for each in ("direct", runner)
        )
        assert np.isclose(found.value, np.median(direct / other))
        assert 0 < found.low <= found.value <= found.high < np.inf
    # a row of the table for each runner by each clock
    row = rf"^(?:{'|'.join(clocks)}) +(?:{'|'.join(runners)}) +([\d.]+) "
    assert len(ran.numbers(row)) == len(runners) * len(clocks)
