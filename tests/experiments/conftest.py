"""Runs that several tests look at, trained once."""

import shutil
from pathlib import Path

import jax
import pytest
from filelock import FileLock

from experiments.cli import run
from tests.helpers.experiment_runs import CONFIGS, TINY


@pytest.fixture(scope="package", autouse=True)
def _compile_once(compiled):
    """Tests train and restore the same few flows: what is compiled is kept."""
    from jax.experimental.compilation_cache import compilation_cache

    changes = {
        "jax_compilation_cache_dir": str(compiled),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in changes}

    def configure(settings):
        for name, value in settings.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()

    configure(changes)
    yield
    configure(before)


def train(*arguments):
    """What trains in a given workdir by these arguments."""

    def make(workdir: Path) -> None:
        assert run(["train", *arguments, f"--workdir={workdir}"]) == 0

    return make


@pytest.fixture(scope="session")
def train_once(tmp_path_factory, compiled):
    """`train_once(name, train)`: this worker's copy of what `train(workdir)` leaves.

    The worker that needs it first trains, and the others wait.
    """

    def copy(name: str, train) -> Path:
        shared = compiled.with_name("trained") / name
        shared.parent.mkdir(exist_ok=True)
        with FileLock(shared.with_suffix(".lock")):
            if not shared.exists():
                training = shared.with_suffix(".training")
                shutil.rmtree(training, ignore_errors=True)
                train(training)
                training.rename(shared)
        return shutil.copytree(shared, tmp_path_factory.mktemp("runs") / name)

    return copy


@pytest.fixture(scope="session")
def smoke_run(train_once):
    """Workdir of the paper's FashionMNIST recipe: batch norm, several scales.

    With fewer couplings than its smoke variant, which takes a minute to compile.
    """
    config = CONFIGS / "fashion_mnist_realnvp.py"
    fewer = [f"--config.model.{k}" for k in ("scales=2", "couplings=1", "blocks=1")]
    return train_once("smoke", train(f"--config={config}:smoke", *fewer))


@pytest.fixture(scope="session")
def tiny_run(train_once):
    """Workdir of the smallest flow there is, without batch norm, with averaging."""
    average = "--config.optimizer.ema_decay=0.5"
    return train_once("tiny", train(*TINY, average))


@pytest.fixture(scope="session")
def held_run(train_once):
    """Workdir of a run with images held back, whose best state is not its last."""
    from tests.helpers.validation_runs import train

    return train_once("held", train)
