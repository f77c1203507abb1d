"""Checkpoints that tests work on."""

import shutil
from pathlib import Path

import pytest

from flowjax_ood.training.checkpoints.checkpoints import Checkpoints
from tests.helpers.checkpoint_files import state


@pytest.fixture(scope="package")
def written(tmp_path_factory) -> Path:
    """A directory with checkpoints of steps 4 and 8; tests work on copies."""
    directory = tmp_path_factory.mktemp("written") / "checkpoints"
    with Checkpoints(directory) as checkpoints:
        for step in (4, 8):
            checkpoints.save(step, state(step), {"seconds": step / 2, "images": step})
    return directory


@pytest.fixture
def directory(written, tmp_path) -> Path:
    return shutil.copytree(written, tmp_path / "checkpoints")
