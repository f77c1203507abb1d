"""`--distributed`: several processes, one a host, as one run.

On a TPU pod slice, under SLURM and under Open MPI, JAX finds the other processes.
Elsewhere each process is started with `--coordinator=HOST:PORT --num-processes=N
--process-id=K`, where HOST:PORT is an address of process 0, the same for all.
"""

import argparse
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from flowjax_ood.interface.errors import UserError
from flowjax_ood.interface.options import whole_number
from flowjax_ood.runtime.messages import first_line

# exit status: another process is gone, and the command can be started again
LOST = 75
# words in errors of JAX that may mean that other processes are gone
OF_CONTACT = (
    "gloo",
    "nccl",
    "connection",
    "peer",
    "heartbeat",
    "coordination",
    "unavailable",
    "deadline_exceeded",
    "aborted",
)
# seconds that JAX would wait longer: it is not to be the first to give up
SLACK = 60
FLAGS = ("coordinator", "num_processes", "process_id")


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add the flags of a command that runs on several hosts."""
    group = command.add_argument_group(
        "several hosts", "start the same command on every host, with one workdir"
    )
    group.add_argument(
        "--distributed",
        action="store_true",
        help="enough on TPU pods, SLURM and Open MPI; elsewhere, add the next three",
    )
    group.add_argument(
        "--coordinator",
        metavar="HOST:PORT",
        help="an address of process 0 that all hosts reach, and a free port there",
    )
    group.add_argument(
        "--num-processes", type=int, metavar="N", help="number of processes"
    )
    group.add_argument("--process-id", type=int, metavar="K", help="0 to N - 1")
    group.add_argument(
        "--join-timeout",
        type=whole_number(1, 10**6),
        default=300,
        metavar="SECONDS",
        help="how long to wait for the other processes at the start (default: 300)",
    )


def initialize(args: argparse.Namespace) -> bool:
    """Join the other processes, if `args` name any; call before JAX is used.

    Returns whether there are any.

    Raises UserError for flags that do not go together, and if the other processes
    cannot be reached.
    """
    given = {name: getattr(args, name, None) for name in FLAGS}
    if not _wanted(getattr(args, "distributed", False), given):
        return False
    import jax

    from flowjax_ood.runtime.signals import release_sigterm

    # the only collectives of CPUs between processes
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    apart = (
        f"--distributed: the {given['num_processes'] or 'other'} processes did not meet"
        f" at {given['coordinator'] or 'their coordinator'}"
    )
    remedy = "start all of them, with one HOST:PORT that is an address of process 0"
    try:
        with _at_most(args.join_timeout, apart, remedy):
            jax.distributed.initialize(
                coordinator_address=given["coordinator"],
                num_processes=given["num_processes"],
                process_id=given["process_id"],
                initialization_timeout=args.join_timeout + SLACK,
            )
    except (ValueError, TypeError) as error:
        raise UserError(
            "--distributed: JAX does not find the other processes "
            f"({first_line(error)}); it does on TPU pods, under SLURM and Open MPI. "
            "Elsewhere give --coordinator=HOST:PORT, --num-processes=N and "
            "--process-id=K"
        ) from error
    except RuntimeError as error:
        raise UserError(f"{apart} ({first_line(error)}); {remedy}") from error
    release_sigterm()
    return True


@contextmanager
def _at_most(seconds: int, apart: str, remedy: str) -> Iterator[None]:
    """End the process, with one error, if what is inside takes longer.

    JAX's own end of waiting is an abort in C++, which nothing here could explain.
    """

    def give_up() -> None:
        within = f"within --join-timeout={seconds} seconds"
        print(f"error: {apart} {within}; {remedy}", file=sys.stderr, flush=True)
        os._exit(2)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def lost_contact(error: Exception) -> str:
    """The message for an error of JAX that other processes may have caused.

    Empty where they cannot have.
    """
    import jax

    text = str(error).lower()
    if jax.process_count() == 1 or not any(word in text for word in OF_CONTACT):
        return ""
    return (
        f"process {jax.process_index()} of {jax.process_count()} has lost contact with "
        f"the others ({first_line(error)}). If one was ended, start the same command "
        "again on all hosts: it goes on from the newest checkpoint"
    )


def leave(command: Callable[[], int]) -> NoReturn:
    """Run a command and exit with its status.

    A process of several that fails exits at once. The others may be waiting for it in a
    collective and notice its end only by its absence; waiting for them here, as JAX
    does, would delay that.
    """
    try:
        status = command()
    except Exception:
        if not _joined():
            raise
        traceback.print_exc()
        status = 1
    if status not in (0, 130, 141, 143):
        leave_others(status)
    sys.exit(status)


def leave_others(status: int) -> None:
    """Exit at once, if other processes may be waiting for this one."""
    if _joined():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _joined() -> bool:
    if "jax" not in sys.modules:
        return False
    import jax

    return jax.distributed.is_initialized() and jax.process_count() > 1


def _wanted(distributed: bool, given: dict) -> bool:
    """Whether to join other processes; UserError for flags that do not go together."""
    flags = {name: f"--{name.replace('_', '-')}" for name in FLAGS}
    missing = [flags[name] for name in FLAGS if given[name] is None]
    if len(missing) == len(FLAGS):
        return distributed
    if missing:
        there = [flag for flag in flags.values() if flag not in missing]
        raise UserError(f"{', '.join(there)} is given; give {', '.join(missing)}, too")
    count, number = given["num_processes"], given["process_id"]
    if count < 1 or not 0 <= number < count:
        raise UserError(
            f"--process-id={number} of --num-processes={count}: ids go from 0 to N - 1"
        )
    host, colon, port = given["coordinator"].rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 65536):
        raise UserError(
            f"--coordinator={given['coordinator']} is not HOST:PORT, such as "
            "10.0.0.2:8476"
        )
    return True
