"""Errors that the machine makes, in one line each."""

import traceback

from flowjax_ood.interface.environment import jax_settings
from flowjax_ood.interface.errors import os_error
from flowjax_ood.runtime.messages import first_line


def of_the_machine(error: Exception) -> str:
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
