"""The steps of `--profile` are read without JAX; others are refused with an example."""

import subprocess
import sys
from argparse import ArgumentTypeError

import pytest

from experiments.cli import run
from experiments.train import profiled_steps
from tests.helpers.experiment_runs import TINY, only_error


@pytest.mark.parametrize(
    ("text", "steps"), [("20:24", (20, 24)), ("1:1", (1, 1)), (" 3 : 10 ", (3, 10))]
)
def test_steps_are_read(text, steps):
    assert profiled_steps(text) == steps


@pytest.mark.parametrize("text", ["", "20", "0:3", "5:4", "a:b", "1:2:3", "-1:2", "2:"])
def test_other_steps_are_refused_with_an_example(text):
    with pytest.raises(ArgumentTypeError) as refused:
        profiled_steps(text)
    assert repr(text) in str(refused.value)
    assert "20:24" in str(refused.value)


def test_steps_beyond_the_last_are_refused_before_training(tmp_path, capsys):
    argv = ["train", *TINY, f"--workdir={tmp_path / 'run'}", "--profile=100:104"]
    assert run(argv) == 2
    said = only_error(capsys.readouterr().err)
    assert "--profile=100:104: training ends at step 4" in said
    assert not (tmp_path / "run").exists()


def test_reading_steps_needs_no_jax():
    program = (
        "import sys; from experiments.train import profiled_steps; "
        "profiled_steps('1:2'); assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
