"""Errors that reach the commands' door, in one line each."""

import traceback

from experiments.core import distributed
from experiments.core.environment import jax_settings
from experiments.core.errors import UserError, os_error
from flowjax_ood.runtime.messages import first_line


def explanation(error: Exception) -> tuple[str, int]:
    """`(message, exit status)` of an error that is no defect; `("", 1)` of a defect."""
    if isinstance(error, UserError):
        return f"error: {error}", 2
    # the disk, the memory, and what the environment asks of JAX: before JAX is needed
    if said := _of_the_machine(error):
        return f"error: {said}", 2
    from jax.errors import JaxRuntimeError

    from flowjax_ood.runtime.processes import ProcessError
    from flowjax_ood.runtime.signals import Interrupted
    from flowjax_ood.training.checkpoints.errors import CheckpointError
    from flowjax_ood.training.logs.window import NonFiniteLossError

    if isinstance(error, (CheckpointError, NonFiniteLossError, ProcessError)):
        return f"error: {error}", 2
    if isinstance(error, Interrupted):
        return (
            f"stopped by {error}; the checkpoint is saved, run the same command again "
            "to go on"
        ), error.exit_code
    lost = isinstance(error, JaxRuntimeError) and distributed.lost_contact(error)
    return (f"error: {lost}", distributed.LOST) if lost else ("", 1)


def _of_the_machine(error: Exception) -> str:
    """The message for an error that the machine makes; empty for others."""
    if _of_jax_starting(error):
        return (
            f"JAX cannot start: {first_line(error)}; mend or unset what does not fit "
            f"this machine in the environment ({', '.join(jax_settings())})"
        )
    if isinstance(error, OSError):
        return os_error(error)
    if isinstance(error, MemoryError):
        return (
            f"out of memory: {first_line(error)}; ask for less, such as a smaller "
            "batch, image or data.limit_train"
        )
    if isinstance(error, RecursionError):
        return (
            f"{first_line(error)}, at {_where(error)}: a value or a file is nested too "
            "deeply; look for it in what was given"
        )
    return ""


def _of_jax_starting(error: Exception) -> bool:
    """Whether JAX raised it as it was imported, or as it looked for its devices."""
    frames = traceback.extract_tb(error.__traceback__)
    files = [frame.filename.replace("\\", "/") for frame in frames]
    at_import = files and files[-1].endswith("jax/_src/config.py")
    return at_import or any(f.endswith("jax/_src/xla_bridge.py") for f in files)


def _where(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}:{frame.lineno}"
