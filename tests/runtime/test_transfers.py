"""What travels between host and devices during training is asked for by name.

JAX guards transfers to devices and between them on every platform; those to the host
only where a device has memory of its own. Eight devices: test_collectives.py.
"""

import jax
import pytest

from flowjax_ood.runtime.parallel import Parallel
from flowjax_ood.training.feed import IN_TURN, Prefetch
from tests.helpers.tiny_run import tiny, train
from tests.helpers.transfer_guard import Guarded

STEPS = 6
STREAMED = Prefetch(ahead=2, threads=1)


def guarded(workdir, guard: Guarded, **changed):
    """Trains through log lines, a checkpoint in between, and the last one."""
    run, often = tiny("light"), {"log_every": 3, "checkpoint_every": 3}
    with guard:
        return train(workdir, STEPS, run, profiler=guard, **(often | changed))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("mode", "steps_per_call", "prefetch"),
    [
        ("jit", 1, IN_TURN),
        ("jit", 3, STREAMED),
        ("shard_map", 1, STREAMED),
        ("shard_map", 3, IN_TURN),
        ("pmap", 1, IN_TURN),
    ],
    ids=lambda v: "memory" if v is IN_TURN else "streamed" if v == STREAMED else str(v),
)
def test_the_loop_transfers_nothing_unasked(tmp_path, mode, steps_per_call, prefetch):
    guard = Guarded()
    parallel = Parallel(mode, jax.local_devices()[:1])
    options = {"steps_per_call": steps_per_call, "prefetch": prefetch}
    found = guarded(tmp_path, guard, parallel=parallel, **options)
    assert found.state.step == STEPS
    assert guard.calls == STEPS / steps_per_call


def test_the_guard_sees_what_goes_unasked(tmp_path, monkeypatch):
    """A batch that is left on the host is caught at the first step."""
    monkeypatch.setattr(Parallel, "place_batch", lambda self, batch: batch)
    guard = Guarded()
    with pytest.raises(jax.errors.JaxRuntimeError, match="host-to-device"):
        guarded(tmp_path, guard)
    assert guard.calls == 1
