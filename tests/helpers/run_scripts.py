"""A script as several processes of one run."""

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("localhost", 0))
        return listening.getsockname()[1]


def run_together(
    commands: list[list], seconds: float = 300, cwd: Path = ROOT, **environment
) -> list[tuple[int, str, str]]:
    """`(status, stdout, stderr)` of each command, all running at a time."""
    running = [
        subprocess.Popen(
            command,
            cwd=cwd,
            env=os.environ | {"JAX_PLATFORMS": "cpu"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    try:
        outputs = [process.communicate(timeout=seconds) for process in running]
    finally:
        for process in running:
            process.kill()
            process.wait()
    return [(p.returncode, *found) for p, found in zip(running, outputs)]


def script_command(script: str, *arguments) -> list:
    """The command that runs a script of this package; its directory must be `ROOT`."""
    # the later -W counts first: a program that another process is writing, or was
    # killed while it wrote, is compiled anew, as pyproject.toml has it for the tests
    anew = "ignore:Error reading persistent compilation cache entry:UserWarning"
    flags = ["-W", "error", "-W", anew]
    return [sys.executable, *flags, "-m", f"tests.helpers.{script}", *arguments]


def run_script(script: str, output: Path, processes: int, devices: int) -> None:
    """Run a script of this package on as many processes with as many devices each."""
    command = script_command(script, output, str(devices))
    commands = [command]
    if processes > 1:
        where = [f"localhost:{free_port()}", str(processes)]
        commands = [[*command, *where, str(k)] for k in range(processes)]
    for status, _, err in run_together(commands):
        assert status == 0, err
