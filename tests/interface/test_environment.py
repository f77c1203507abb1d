"""What a command does before its work: kept programs change nothing but the wait."""

import os
import platform
import stat
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from experiments.cli import run
from flowjax_ood.interface import environment as module
from tests.helpers.experiment_runs import CONFIGS, PYTHON, ROOT, TINY, environment

SETTINGS = (module.DIRECTORY, module.ENABLED, *module.DEFAULTS)


@pytest.fixture
def home(monkeypatch, tmp_path):
    """A fresh user's environment; what is set there is undone afterwards."""
    for name in (*SETTINGS, "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def settings() -> dict[str, str]:
    return {name: os.environ[name] for name in SETTINGS if name in os.environ}


# --- where compiled programs are kept ----------------------------------------------


def test_programs_are_kept_in_the_users_cache(home, capsys):
    module.use_compilation_cache()
    directory = home / ".cache" / "flowjax_ood" / "xla"
    assert settings() == {module.DIRECTORY: str(directory), **module.DEFAULTS}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert list(directory.iterdir()) == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("base", "used"), [("/elsewhere", "/elsewhere"), ("elsewhere", None), ("", None)]
)
def test_the_cache_home_is_honoured_if_it_is_absolute(home, monkeypatch, base, used):
    monkeypatch.setenv("XDG_CACHE_HOME", base)
    expected = Path(used) if used else home / ".cache"
    assert module.cache_directory() == expected / "flowjax_ood" / "xla"


def test_jaxs_own_settings_win(home, monkeypatch):
    given = {module.DIRECTORY: str(home / "mine")}
    given |= dict.fromkeys(module.DEFAULTS, "7")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    module.use_compilation_cache()
    assert settings() == given
    assert [p.name for p in home.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("name", "value"),
    [(module.DIRECTORY, ""), (module.ENABLED, "false"), (module.ENABLED, "NO")],
)
def test_the_cache_can_be_switched_off(home, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    module.use_compilation_cache()
    assert os.environ[module.ENABLED].lower() in module.OFF
    assert list(home.iterdir()) == []


def test_a_bucket_is_not_taken_for_a_path(home, monkeypatch):
    monkeypatch.setenv(module.DIRECTORY, "gs://bucket/xla")
    monkeypatch.chdir(home)
    module.use_compilation_cache()
    assert os.environ[module.DIRECTORY] == "gs://bucket/xla"
    assert module.ENABLED not in os.environ
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("name", ["XDG_CACHE_HOME", module.DIRECTORY])
def test_a_directory_that_cannot_be_made_costs_one_line(
    home, monkeypatch, capsys, name
):
    (home / "file").touch()
    monkeypatch.setenv(name, str(home / "file" / "below"))
    module.use_compilation_cache()
    assert os.environ[module.ENABLED] == "false"
    said = capsys.readouterr().err
    assert said.startswith("warning: compiled programs cannot be kept ([Errno 20]")
    assert str(home / "file") in said
    assert said.endswith(f"set {module.DIRECTORY} to a directory that can be written\n")
    assert said.count("\n") == 1


def test_the_oldest_programs_go_first(tmp_path):
    for age, name in enumerate(["new", "middle", "old", "oldest"]):
        path = tmp_path / f"{name}-cache"
        path.write_bytes(bytes(10))
        os.utime(path, (1000 - age, 1000 - age))
    (tmp_path / "other").write_bytes(bytes(100))  # not a program
    module._trim(tmp_path, 25)
    kept = {p.name for p in tmp_path.iterdir()}
    assert kept == {"new-cache", "middle-cache", "other"}
    module._trim(tmp_path, 20)
    assert {p.name for p in tmp_path.iterdir()} == kept


# --- what is kept is what would be compiled ----------------------------------------

# a donated training step over two devices, and its programs: asked for, and found
PROGRAM = """
import hashlib
import sys
from flowjax_ood.interface.environment import use_compilation_cache
use_compilation_cache()
import jax, numpy as np, optax
from flowjax_ood.models import RealNVP
from flowjax_ood.runtime.parallel import Parallel
from flowjax_ood.training.objectives import Likelihood
from flowjax_ood.training.state import create_state
from flowjax_ood.training.step import make_train_step

seen = []
jax.monitoring.register_event_listener(lambda name, **kw: seen.append(name))
flow = RealNVP((4, 4, 1), scales=1, couplings=2, width=2, blocks=0, norm="none")
optimizer, parallel = optax.sgd(1e-3), Parallel("jit")
assert len(parallel.devices) == 2
image = np.arange(4 * 16, dtype=np.uint8).reshape(4, 4, 4, 1)
key = jax.random.key(0)
state = create_state(flow, optimizer, key, (image + 0.5) / 256)
state = parallel.place_state(state)
step = parallel.wrap_step(make_train_step(Likelihood(flow), optimizer))
batch = parallel.place_batch({"image": image, "index": np.arange(4)})
for _ in range(3):
    given = state
    state, metrics = step(state, batch, key)
    assert jax.tree.leaves(given)[1].is_deleted()
digest = hashlib.sha256()
for leaf in jax.tree.leaves((state, metrics)):
    digest.update(np.asarray(leaf).tobytes())
asked = sum(name.endswith("compile_requests_use_cache") for name in seen)
found = sum(name.endswith("cache_hits") for name in seen)
print(asked, found, digest.hexdigest())
"""


def run_program(**changes) -> tuple[int, int, str, str]:
    """`(programs asked for, found in the cache, hash of the state, stderr)`."""
    env = environment(JAX_NUM_CPU_DEVICES="2", **changes)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=env,
    )
    asked, found, digest = done.stdout.split()
    return int(asked), int(found), digest, done.stderr


@pytest.mark.slow
@pytest.mark.multiprocess
def test_kept_programs_compute_the_same_bits(tmp_path):
    directory = {module.DIRECTORY: str(tmp_path / "xla")}
    _, _, expected, _ = run_program(**{module.ENABLED: "false"})
    asked, found, digest, said = run_program(**directory)
    assert (found, digest, said) == (0, expected, "")
    programs = list((tmp_path / "xla").glob("*-cache"))
    assert len(programs) == asked > 2
    # XLA:CPU would say here if a program was not made for this processor
    assert run_program(**directory) == (asked, asked, expected, "")

    # what a run that was killed may leave behind
    for path in programs:
        path.write_bytes(path.read_bytes()[:100])
    _, found, digest, said = run_program(**directory)
    assert (found, digest) == (0, expected)
    assert "Error reading persistent compilation cache entry" in said


def test_what_times_compilation_compiles(tmp_path):
    """In this process, where the tests' own cache is on."""
    seen = []

    def listen(name, **kw):
        seen.append(name.rpartition("/")[2])

    x = jnp.arange(3.0)

    def requests():
        seen.clear()
        jax.jit(lambda x: jnp.sin(x) * 7.25)(x)
        return seen.count("compile_requests_use_cache")

    jax.monitoring.register_event_listener(listen)
    try:
        assert requests() == 1
        with module.no_compilation_cache():
            assert requests() == 0
        assert requests() == 1
    finally:
        jax.monitoring.unregister_event_listener(listen)


def test_benchmark_times_compilation_without_the_cache(monkeypatch):
    from experiments.benchmark import command as benchmark

    found = []

    def command(args, overrides):
        found.append(jax.config.jax_enable_compilation_cache)

    monkeypatch.setattr(benchmark, "measure_models", command)
    assert run(["benchmark", f"--config={CONFIGS / 'demo.py'}:smoke"]) == 0
    assert found == [False]
    assert jax.config.jax_enable_compilation_cache


# --- what is imported ---------------------------------------------------------------


def modules_after(program: str) -> set[str]:
    """Packages loaded in a process of its own at the end of `program`."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=environment(JAX_ENABLE_COMPILATION_CACHE="false"),
    )
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}


def test_help_waits_for_no_numeric_package():
    loaded = modules_after("from experiments.cli import parser; parser()")
    assert "experiments" in loaded
    assert not loaded & {"jax", "flax", "optax", "numpy", "scipy"}


@pytest.mark.thorough
@pytest.mark.multiprocess
def test_the_first_training_step_waits_for_nothing_it_does_not_use(tmp_path):
    arguments = ["train", *TINY, f"--workdir={tmp_path / 'run'}"]
    loaded = modules_after(
        f"""
from experiments.cli import run
from flowjax_ood.runtime.parallel import Parallel
class AtTheStep(BaseException): pass
def wrap_step(self, step):
    def stop(*args):
        raise AtTheStep
    return stop
Parallel.wrap_step = wrap_step
try:
    run({arguments!r})
except AtTheStep:
    print()
else:
    raise SystemExit("no step was taken")
"""
    )
    assert "orbax" in loaded  # it is asked for a checkpoint first
    never = {"matplotlib", "PIL", "tensorflow_datasets", "tensorflow", "sklearn"}
    assert not loaded & (never | {"scipy", "pandas", "torch", "grain", "h5py"})


def test_the_command_line_says_where_programs_are_kept():
    done = subprocess.run(
        [*PYTHON, "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    for said in (module.DIRECTORY, module.ENABLED, "flowjax_ood/xla"):
        assert said in done.stdout


FAULTS = """
import resource, sys
import numpy as np
from flowjax_ood.interface.environment import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = np.empty(2**26, np.uint8)
    block.fill(1)
    del block
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a matter of glibc")
def test_freed_memory_is_kept_for_the_next_step():
    """64 MiB allocated again are the pages of before, not new ones."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}

    def faults(how):
        command = [sys.executable, "-c", FAULTS, how]
        done = subprocess.run(
            command, capture_output=True, text=True, env=env, cwd=ROOT
        )
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    assert faults("kept") < 100
    # without, they come page by page, even if pages are huge
    assert faults("returned") >= 32
    env["MALLOC_ARENA_MAX"] = "1"
    assert faults("kept") >= 32, "an environment that tunes malloc is left alone"
