"""Runs that several tests look at, trained once."""

import jax
import pytest

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


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory):
    """Workdir of the paper's FashionMNIST recipe: batch norm, several scales.

    With fewer couplings than its smoke variant, which takes a minute to compile.
    """
    workdir = tmp_path_factory.mktemp("runs") / "smoke"
    config = CONFIGS / "fashion_mnist_realnvp.py"
    fewer = [f"--config.model.{k}" for k in ("scales=2", "couplings=1", "blocks=1")]
    argv = ["train", f"--config={config}:smoke", *fewer, f"--workdir={workdir}"]
    assert run(argv) == 0
    return workdir


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """Workdir of the smallest flow there is, without batch norm, with averaging."""
    workdir = tmp_path_factory.mktemp("runs") / "tiny"
    average = "--config.optimizer.ema_decay=0.5"
    assert run(["train", *TINY, average, f"--workdir={workdir}"]) == 0
    return workdir


@pytest.fixture(scope="session")
def held_run(tmp_path_factory):
    """Workdir of a run with images held back, whose best state is not its last."""
    from tests.helpers.validation_runs import train

    return train(tmp_path_factory.mktemp("runs") / "held")
