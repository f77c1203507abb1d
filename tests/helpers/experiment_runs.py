"""The smallest run, and how tests look at what a command did."""

import json
import os
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "experiments" / "configs"
PYTHON = (sys.executable, "-m", "experiments")
# arguments of `train`: two couplings of two features, four steps
TINY = (
    f"--config={CONFIGS / 'demo.py'}:smoke",
    "--config.model.scales=1",
    "--config.model.couplings=2",
    "--config.model.width=2",
    "--config.model.blocks=1",
    "--config.data.limit_train=64",
    "--config.data.limit_test=20",
)


def environment(**changes: str) -> dict[str, str]:
    """Of a process of its own: as a user's, on one CPU device unless told."""
    return os.environ | {"JAX_NUM_CPU_DEVICES": "1", "JAX_PLATFORMS": "cpu"} | changes


def read_results(workdir: Path) -> dict:
    return json.loads((workdir / "results.json").read_text())


def read_bits(workdir: Path, dims: int = 784) -> dict[str, np.ndarray]:
    """`{set: bits/dim [N]}`, from the two terms in likelihoods.npz."""
    bits = {}
    with np.load(workdir / "likelihoods.npz") as arrays:
        for name in {key.rpartition("/")[0] for key in arrays}:
            nats = arrays[f"{name}/log_pz"].astype(np.float64)
            nats = nats + arrays[f"{name}/logdet"]
            bits[name] = 8 - nats / (dims * np.log(2))
    return bits


def only_error(stderr: str) -> str:
    """The one `error:` line of a command that failed, without a traceback."""
    assert "Traceback" not in stderr, stderr
    errors = [line for line in stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, stderr
    return errors[0].removeprefix("error: ")


def snapshot(directory: Path) -> dict[str, bytes]:
    """Every file below `directory` with its content."""
    files = sorted(p for p in directory.rglob("*") if p.is_file())
    return {str(p.relative_to(directory)): p.read_bytes() for p in files}
