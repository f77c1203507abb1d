"""A state to save, and what is on the disk of it."""

from collections import namedtuple
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flowjax_ood.training.checkpoints.checkpoints import CheckpointError, Checkpoints
from flowjax_ood.training.checkpoints.manifest import NOTES

Moments = namedtuple("Moments", "count mean")  # as optax keeps them


def state(seed: int = 0, width: int = 3) -> dict:
    rng = np.random.default_rng(seed)
    return {
        "step": np.array(seed, np.int32),
        "params": {"layer": {"kernel": rng.normal(size=(4, width)).astype("f4")}},
        # large enough for a file of its own, which orbax does not checksum
        "large": rng.normal(size=(300, 400)).astype("f4"),
        "half": jnp.asarray(rng.normal(size=5), jnp.bfloat16),
        "ema": {},
        "opt_state": (optax.EmptyState(), Moments(np.int32(3), np.ones(width, "f4"))),
    }


def snapshot(directory: Path) -> dict:
    return {p: p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def error_of(directory, template=None, step=None) -> str:
    """The message of the error that restoring gives; it must change nothing."""
    before = snapshot(directory)
    with Checkpoints(directory) as checkpoints, pytest.raises(CheckpointError) as error:
        checkpoints.restore(template or state(), step)
    assert snapshot(directory) == before
    return str(error.value)


def every_file(directory: Path) -> list[Path]:
    files = sorted(p for p in (directory / "8").rglob("*") if p.is_file())
    return [p for p in files if p.name not in ("manifest.json", NOTES)]
