"""What the training loop tells of itself: events, by process 0, and how a run ends."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flowjax_ood.training import event_log
from flowjax_ood.training.checkpoint import Damaged
from flowjax_ood.training.event_log import EventLog
from flowjax_ood.training.messages import warn
from flowjax_ood.training.metric_window import NonFiniteLossError
from flowjax_ood.training.processes import is_lead
from flowjax_ood.training.signals import Interrupted


class RunEvents:
    """The event log of a run, written by process 0."""

    def __init__(self, workdir: Path):
        self.log = EventLog(workdir / event_log.NAME)

    def write(self, event: str, **facts) -> None:
        if is_lead():
            self.log.write(event, **facts)

    def started(self, step: int, num_steps: int) -> None:
        facts = event_log.surroundings() if is_lead() else {}
        self.write("started", step=step, num_steps=num_steps, **facts)
        if step:
            self.write("resumed", step=step)

    def checkpoint(self, step: int, seconds: float) -> None:
        self.write("checkpoint", step=step, seconds=round(seconds, 3))

    def finished(self, step: int) -> None:
        self.write("finished", step=step)

    def fallback(self, damaged: Damaged, to: int) -> None:
        self.write("fallback", step=damaged.step, reason=damaged.reason, to=to)
        if is_lead():
            warn(
                f"the checkpoint of step {damaged.step} is damaged ({damaged.reason}); "
                f"it is kept as {damaged.place}, and training goes on from step {to}"
            )

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Tell how a session ends that does not finish."""
        try:
            yield
        except Interrupted as stop:
            name = signal.Signals(stop.signum).name
            self.write("interrupted", signal=name, step=stop.step)
            raise
        except NonFiniteLossError as error:
            self.write("diverged", step=error.step, what=error.what)
            raise
        except BaseException as error:
            self.write("failed", error=f"{type(error).__name__}: {error}")
            raise
