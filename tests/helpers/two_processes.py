"""Commands as two real processes of one run, and as one with as many devices."""

import json
import subprocess
import time
from pathlib import Path

from tests.helpers.experiment_runs import PYTHON, ROOT, environment
from tests.helpers.run_scripts import free_port


class Two:
    """Two processes of one command, started; ended at the end of a `with`."""

    def __init__(self, *argv, each: tuple = ((), ())):
        where = ("--num-processes=2", f"--coordinator=localhost:{free_port()}")
        self.processes = [
            subprocess.Popen(
                (*PYTHON, *argv, *where, f"--process-id={number}", *own),
                cwd=ROOT,
                env=environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for number, own in enumerate(each)
        ]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for process in self.processes:
            process.kill()
            process.communicate()

    def wait_for(self, workdir: Path, step: int, seconds: float = 200) -> None:
        """Until step `step` is logged."""
        began = time.monotonic()
        while max(steps_of(workdir), default=0) < step:
            for process in self.processes:
                assert process.poll() is None, process.stderr.read()
            assert time.monotonic() - began < seconds, "no step in time"
            time.sleep(0.05)

    def finish(self) -> list[tuple[int, str, str]]:
        """`(status, stdout, stderr)` of both."""
        outputs = [process.communicate(timeout=240) for process in self.processes]
        return [(p.returncode, *o) for p, o in zip(self.processes, outputs)]


def steps_of(workdir: Path) -> list[int]:
    file = workdir / "metrics.jsonl"
    lines = file.read_text().split("\n")[:-1] if file.exists() else []
    return [json.loads(line)["step"] for line in lines]


def alone(*argv, devices: int = 2) -> None:
    """One process with as many devices."""
    done = subprocess.run(
        (*PYTHON, *argv),
        cwd=ROOT,
        env=environment(JAX_NUM_CPU_DEVICES=str(devices)),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
