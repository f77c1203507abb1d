"""The time of a run is that of its steps, over all its sessions."""

import math

import jax
import pytest

from flowjax_ood.runtime.parallel import Parallel
from flowjax_ood.training import loop
from flowjax_ood.training.checkpoints.checkpoints import Checkpoints
from flowjax_ood.training.logs import window
from tests.helpers.tiny_run import BATCH
from tests.helpers.toy_run import records, toy_run


class Clock:
    """Time that passes in steps, compilation and saving, as the test says."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(window.time, "monotonic", lambda: self.now)
        save = Checkpoints.save

        def slow_save(*args):
            self.now += 500
            save(*args)

        monkeypatch.setattr(loop.Checkpoints, "save", slow_save)

    def parallel(self):
        clock = self

        class Timed(Parallel):
            def wrap_step(self, train_step):
                step, first = super().wrap_step(train_step), [50.0]

                def timed(*args):
                    clock.now += 2.0 + (first.pop() if first else 0.0)
                    return step(*args)

                return timed

        return Timed("jit", jax.devices()[:1])


@pytest.mark.thorough
def test_time_is_that_of_steps_alone(tmp_path, monkeypatch):
    """Not of compilation, of saving, or of trying the state that is saved."""
    clock = Clock(monkeypatch)
    run = toy_run(tmp_path, 10, parallel=clock.parallel())
    assert run.images == 9 * BATCH
    assert run.seconds == pytest.approx(9 * 2.0)
    assert run.images_per_second == pytest.approx(BATCH / 2)
    for record in records(tmp_path):
        assert record["images_per_second"] == pytest.approx(BATCH / 2)
    assert records(tmp_path)[-1]["seconds"] == run.seconds


def test_time_adds_up_over_sessions(tmp_path, monkeypatch):
    clock = Clock(monkeypatch)
    toy_run(tmp_path, 5, parallel=clock.parallel())
    clock.now += 1e6  # between the sessions
    run = toy_run(tmp_path, 10, parallel=clock.parallel())
    # the first step of each session is not timed
    assert run.images == (4 + 4) * BATCH
    assert run.seconds == pytest.approx(8 * 2.0)


def test_a_rate_that_was_not_measured_is_not_told(tmp_path):
    run = toy_run(tmp_path, 1, log_every=1)
    assert math.isnan(run.images_per_second)
    assert (run.images, run.seconds) == (0, 0.0)
    assert "images_per_second" not in records(tmp_path)[0]
