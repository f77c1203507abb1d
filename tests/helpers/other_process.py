"""Experiments on several devices, run in a process of their own."""

import os
import subprocess
from pathlib import Path

import numpy as np

from tests.helpers.run_scripts import ROOT, script_command


def found_by(script: str, output: Path) -> dict[str, dict]:
    """`{experiment: {name: array}}` that a script of this package leaves in `output`.

    It is given the file's name, and saves arrays under `experiment/name`.
    """
    done = subprocess.run(
        script_command(script, output),
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = {}
    for name, value in np.load(output).items():
        experiment, _, key = name.partition("/")
        found.setdefault(experiment, {})[key] = value
    return found
