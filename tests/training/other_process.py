"""Experiments on several devices, run in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def found_by(script: str, output: Path) -> dict[str, dict]:
    """`{experiment: {name: array}}` that a script beside this file leaves in `output`.

    It is given the file's name, and saves arrays under `experiment/name`.
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", HERE / script, output],
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
