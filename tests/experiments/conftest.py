"""Runs that several tests look at, trained once."""

import jax
import pytest
from experiment_runs import CONFIGS, TINY

from experiments.__main__ import run


@pytest.fixture(scope="session", autouse=True)
def _compile_once(tmp_path_factory):
    """Tests train and restore the same few flows: what is compiled is kept."""
    from jax.experimental.compilation_cache import compilation_cache

    before = jax.config.jax_compilation_cache_dir
    directory = tmp_path_factory.mktemp("compiled")
    jax.config.update("jax_compilation_cache_dir", str(directory))
    compilation_cache.reset_cache()
    with pytest.MonkeyPatch.context() as patch:
        # for the processes that tests start: not the user's own cache
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(directory))
        yield
    jax.config.update("jax_compilation_cache_dir", before)
    compilation_cache.reset_cache()


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory):
    """Workdir of the paper's FashionMNIST recipe (batch norm), smoke variant."""
    workdir = tmp_path_factory.mktemp("runs") / "smoke"
    config = CONFIGS / "fashion_mnist_realnvp.py"
    assert run(["train", f"--config={config}:smoke", f"--workdir={workdir}"]) == 0
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
    from validation_runs import train

    return train(tmp_path_factory.mktemp("runs") / "held")
