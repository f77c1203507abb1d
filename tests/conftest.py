"""How every test compiles, here and in the processes that tests start; their order.

Most of what the tests wait for is XLA, on programs too small to gain by its work:
without its optimisation passes all tests take about half the processor time.
`JAX_DISABLE_MOST_OPTIMIZATIONS=false pytest ...` compiles as users do.
"""

import gc
import os
from importlib.metadata import version
from pathlib import Path

import pytest

QUICK = "JAX_DISABLE_MOST_OPTIMIZATIONS"

# before JAX is imported
if QUICK not in os.environ:
    os.environ[QUICK] = "true"
    # XLA ends a process that sets a flag it does not know: where it is known to be
    if version("jaxlib").startswith("0.10."):
        given = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"--xla_cpu_use_fusion_emitters=false {given}".strip()

# tracing allocates much and leaves few cycles: the usual 700 cost 5 % of the time
gc.set_threshold(50_000, 20, 50)


def pytest_collection_modifyitems(items):
    """Start with the files that take longest, so that no worker ends alone.

    Those are the files that start processes, then the commands, then the library.
    """
    waiting = {i.path for i in items if i.get_closest_marker("multiprocess")}
    commands = Path(__file__).parent / "experiments"

    def rank(item) -> tuple[bool, bool]:
        return item.path not in waiting, commands not in item.path.parents

    items.sort(key=rank)


@pytest.fixture(scope="session", autouse=True)
def compiled(tmp_path_factory):
    """Directory of compiled programs, of this session: not the user's own.

    All workers and the processes that tests start share it, through the environment.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    directory = shared / "compiled"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(directory))
        # every program, as environment.py has it for the commands
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
        yield directory


# what speaks to a kind of bucket, and what serves one
BUCKETS = {
    "s3": ("s3fs", "moto", "flask_cors"),
    "gs": ("google.cloud.storage", "gcp_storage_emulator", "werkzeug"),
}


@pytest.fixture(scope="session")
def emulators():
    """`start(kind)`: the server of a kind of buckets, found by the environment."""
    started, patch = {}, pytest.MonkeyPatch()

    def start(kind: str):
        for package in BUCKETS[kind]:
            pytest.importorskip(package, reason="pip install -e '.[test]' has it")
        from tests.helpers.bucket import Emulator

        if kind not in started:
            started[kind] = Emulator(kind)
            for name, value in started[kind].environment.items():
                patch.setenv(name, value)
        return started[kind]

    yield start
    patch.undo()
    for server in started.values():
        server.close()


@pytest.fixture(scope="session", params=list(BUCKETS))
def emulator(request, emulators):
    """A server of buckets on this machine, of either kind."""
    return emulators(request.param)


@pytest.fixture
def bucket(emulator):
    """The URL of an empty bucket; its faults end with the test."""
    yield emulator.bucket()
    emulator.faults()


@pytest.fixture(params=["disk", *BUCKETS])
def place(request, tmp_path, emulators):
    """An empty folder, of a disk or of a bucket."""
    if request.param == "disk":
        return tmp_path / "runs" / "a"
    from flowjax_ood.runtime.paths import as_path

    return as_path(emulators(request.param).bucket()) / "runs" / "a"
