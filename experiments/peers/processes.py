"""One process per library, of which only one works at a time."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from experiments.peers.tasks import Library

ROOT = Path(__file__).parents[2]


class PeerError(Exception):
    """A library's process ended before it answered; the message is its last line."""


def installed(library: Library) -> bool:
    """Whether a library can be imported here; nothing is imported."""
    return importlib.util.find_spec(library.package) is not None


class Worker:
    """A library's process; `ask` waits for its answer."""

    def __init__(self, name: str, threads: int):
        self.name = name
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by `close`)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "experiments.peers.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            cwd=ROOT,
            env=_environment(threads),
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._questions, self._answers = self._process.stdin, self._process.stdout

    def ask(self, **request) -> dict:
        """The answer to one request. Raises PeerError where none comes."""
        with suppress(BrokenPipeError):  # it ended: there will be no answer
            self._questions.write(json.dumps(request) + "\n")
            self._questions.flush()
        answer = self._answers.readline()
        if not answer:
            self._process.wait()
            self._said.seek(0)
            last = self._said.read().strip().splitlines() or ["it said nothing"]
            raise PeerError(f"{last[-1]} (exit status {self._process.returncode})")
        return json.loads(answer)

    def build(self, contest: str, task: str, shape, threads: int) -> dict:
        """Make the flow or the detector; the worker's `build`."""
        request = {"name": self.name, "task": task, "threads": threads}
        request |= {"contest": contest, "shape": asdict(shape)}
        return self.ask(build=request)

    def close(self) -> None:
        """End the process; it has nothing to lose."""
        self._process.kill()
        self._process.wait()
        for stream in (self._questions, self._answers, self._said):
            with suppress(BrokenPipeError):
                stream.close()


@contextmanager
def workers(names: list[str], threads: int) -> Iterator[dict[str, Worker]]:
    """A process for each library, all ended when the block is left."""
    with ExitStack() as stack:
        running = {}
        for name in names:
            running[name] = stack.enter_context(closing(Worker(name, threads)))
        yield running


def _environment(threads: int) -> dict[str, str]:
    """Every library on the same cores, by one device, and compiling for itself."""
    changes = {
        "OMP_NUM_THREADS": str(threads),
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "1",
        "JAX_ENABLE_COMPILATION_CACHE": "false",
    }
    # what use_all_cores left alone: a choice of the user's that means several devices
    flags = os.environ.get("XLA_FLAGS", "").split()
    kept = [f for f in flags if "xla_force_host_platform" not in f]
    return os.environ | changes | {"XLA_FLAGS": " ".join(kept)}
