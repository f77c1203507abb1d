"""A traced case leaves its trace, and where the time of its steps goes."""

import json

import jax
import numpy as np

from experiments.benchmark import profiles
from experiments.benchmark.profiles import profile, table
from flowjax_ood.analysis.step_profile import Part
from tests.helpers.benchmark_runs import fake_run


def a_run(program_known: bool = True):
    """A case that multiplies matrices, and the list of its calls."""
    calls, x = [], np.ones((256, 256), np.float32)
    program = jax.jit(lambda x: x @ x).lower(x).compile()
    run = fake_run()

    def call():
        calls.append(0)
        return program(x)

    run.call, run.program = call, program if program_known else None
    return run, calls


def test_a_profile_is_of_a_few_calls(tmp_path):
    run, calls = a_run()
    profile(run, tmp_path / "trace")
    assert len(calls) == profiles.PROFILED
    for kind in ("*.xplane.pb", "*.trace.json.gz"):
        (file,) = (tmp_path / "trace").rglob(kind)
        assert file.stat().st_size > 0
    found = json.loads((tmp_path / "trace" / "profile.json").read_text())
    assert found["case"]["mode"] == "train"
    assert found["parts"][0]["kind"] == "matrix products"
    spent = sum(part["seconds"] for part in found["parts"])
    assert 0 < spent < found["seconds_per_call"]
    assert "| matrix products |" in (tmp_path / "trace" / "profile.md").read_text()


def test_without_names_of_operations_the_trace_is_left(tmp_path, capsys):
    run, _ = a_run(program_known=False)
    profile(run, tmp_path)
    assert "does not say which operations" in capsys.readouterr().err
    assert list(tmp_path.rglob("*.xplane.pb"))
    assert not (tmp_path / "profile.json").exists()


def test_the_table_adds_up():
    found = [
        Part("convolutions", "backward", 0.006),
        Part("convolutions", "forward", 0.003),
        Part("sums", "update", 0.001),
    ]
    assert table(found, 0.0125).splitlines() == [
        "A call took 12.5 ms, of which a device spent 10.0 ms in operations:",
        "",
        "| operations | forward, ms | backward, ms | update, ms | all, ms | share |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| convolutions | 3 | 6 | 0 | 9 | 90.0% |",
        "| sums | 0 | 0 | 1 | 1 | 10.0% |",
    ]
