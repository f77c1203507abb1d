"""Errors that reach the commands' door, in one line each."""

from experiments.core import distributed
from flowjax_ood.interface.errors import UserError
from flowjax_ood.interface.machine_errors import of_the_machine


def explanation(error: Exception) -> tuple[str, int]:
    """`(message, exit status)` of an error that is no defect; `("", 1)` of a defect."""
    if isinstance(error, UserError):
        return f"error: {error}", 2
    # the disk, the memory, and what the environment asks of JAX: before JAX is needed
    if said := of_the_machine(error):
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
