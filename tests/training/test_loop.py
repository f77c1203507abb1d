"""The loop: a run that was stopped, killed or broken ends where it should."""

import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.runtime.parallel import Parallel
from flowjax_ood.runtime.signals import Interrupted
from flowjax_ood.training import loop
from flowjax_ood.training.batches import image_batches
from flowjax_ood.training.checkpoints.checkpoints import CheckpointError, Checkpoints
from flowjax_ood.training.logs import events
from flowjax_ood.training.logs.window import NonFiniteLossError
from tests.helpers.tiny_run import BATCH, KEY, Tiny, assert_same, images, tiny, train
from tests.helpers.toy_run import records, toy_run, toy_state, toy_step


def one_device() -> Parallel:
    return Parallel("jit", jax.devices()[:1])


class Disturbed(Parallel):
    """Calls `disturb` before the batch of a given step is placed."""

    def __init__(self, at: int, disturb):
        super().__init__("jit", jax.devices()[:1])
        self.at, self.disturb, self.placed = at, disturb, 0

    def place_batch(self, batch):
        if self.placed == self.at:
            self.disturb()
        self.placed += 1
        return super().place_batch(batch)


class Crashed(Exception):
    pass


def crash():
    raise Crashed


def everything() -> Tiny:
    """A run whose state has batch statistics and averaged parameters."""
    return tiny("light batch", ema_decay=0.9)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """`(final state, metrics of 10 steps)`."""
    workdir = tmp_path_factory.mktemp("uninterrupted")
    run = train(workdir, 10, everything(), log_every=1)
    return jax.device_get(run.state), records(workdir)


def saved_steps(workdir) -> list[int]:
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        return checkpoints.steps()


def untimed(record: dict) -> dict:
    clock = ("seconds", "images_per_second", "input_wait")
    return {k: v for k, v in record.items() if k not in clock}


def assert_ends_as(workdir, run, uninterrupted):
    """Bit for bit: parameters, moments, averages, statistics, and every metric."""
    state, metrics = uninterrupted
    assert_same(jax.device_get(run.state), state)
    found = [untimed(r) for r in records(workdir)]
    assert found == [untimed(r) for r in metrics]


def lose_files(checkpoints):
    shutil.rmtree(checkpoints)
    checkpoints.mkdir()


def lose_mount(checkpoints):
    checkpoints.rename(checkpoints.with_name("mounted"))
    checkpoints.symlink_to(checkpoints.with_name("not_mounted"))


@pytest.mark.parametrize(
    ("lose", "said"),
    [
        (shutil.rmtree, r"no checkpoint in .*, where that of step 6 was written; rest"),
        (lose_files, r"no checkpoint in .*, where that of step 6 was written; rest"),
        (lose_mount, r"checkpoints is a link to .*not_mounted, which is not there"),
    ],
)
def test_a_run_that_lost_its_checkpoints_is_no_new_one(tmp_path, lose, said):
    toy_run(tmp_path, 6)
    metrics = records(tmp_path)
    lose(tmp_path / "checkpoints")
    with pytest.raises(CheckpointError, match=said):
        toy_run(tmp_path, 8)
    assert records(tmp_path) == metrics
    assert not list(tmp_path.glob("checkpoints/*"))


def test_a_run_killed_before_its_first_checkpoint_starts_again(tmp_path):
    with pytest.raises(Crashed):
        toy_run(tmp_path, 6, parallel=Disturbed(1, crash))
    # and while that was about to get its name
    events.EventLog(tmp_path / "events.jsonl").checkpoint(4, 0.1)
    (tmp_path / "checkpoints" / "4.orbax-checkpoint-tmp").mkdir(parents=True)
    with pytest.raises(Crashed):
        toy_run(tmp_path, 6, parallel=Disturbed(1, crash))
    assert int(toy_run(tmp_path, 6).state.step) == 6


# ---- going on


# batch 4 is that for which the checkpoint of step 4 is tried: one more step follows
@pytest.mark.thorough
@pytest.mark.parametrize(("at", "step"), [(0, 1), (2, 3), (4, 5), (6, 6), (8, 8)])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_run_goes_on(tmp_path, uninterrupted, at, step, number):
    stopped = Disturbed(at, lambda: signal.raise_signal(number))
    with pytest.raises(Interrupted) as caught:
        train(tmp_path, 10, everything(), log_every=1, parallel=stopped)
    assert caught.value.exit_code == 128 + number
    assert caught.value.step == step
    assert saved_steps(tmp_path)[-1] == caught.value.step
    run = train(tmp_path, 10, everything(), log_every=1)
    assert_ends_as(tmp_path, run, uninterrupted)


@pytest.mark.parametrize("crashes", [[2], [6], [7, 3], [9, 2, 1]])
def test_a_killed_run_goes_on(tmp_path, uninterrupted, crashes):
    """What was logged after the last checkpoint is done, and logged, again."""
    for at in crashes:
        with pytest.raises(Crashed):
            train(
                tmp_path,
                10,
                everything(),
                log_every=1,
                parallel=Disturbed(at, crash),
            )
    run = train(tmp_path, 10, everything(), log_every=1)
    assert_ends_as(tmp_path, run, uninterrupted)


def test_a_longer_run_goes_on(tmp_path, uninterrupted):
    train(tmp_path, 6, everything(), log_every=1)
    run = train(tmp_path, 10, everything(), log_every=1)
    assert_ends_as(tmp_path, run, uninterrupted)
    assert int(run.state.step) == 10


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(
    tmp_path, uninterrupted, capsys
):
    """It says so, keeps it, and the run ends as if nothing had happened."""
    train(tmp_path, 8, everything(), log_every=1)
    file = tmp_path / "checkpoints" / "8" / "state" / "manifest.ocdbt"
    file.write_bytes(b"")
    run = train(tmp_path, 10, everything(), log_every=1)
    assert_ends_as(tmp_path, run, uninterrupted)
    warning = "checkpoint of step 8 is damaged (state/manifest.ocdbt has 0 bytes"
    err = capsys.readouterr().err
    assert warning in err
    assert "goes on from step 4" in err
    assert (tmp_path / "damaged_checkpoints" / "8" / "state").is_dir()
    [event] = [e for e in read_events(tmp_path) if e["event"] == "fallback"]
    assert (event["step"], event["to"]) == (8, 4)


def test_where_all_are_damaged_nothing_starts_again(tmp_path):
    train(tmp_path, 8, everything(), log_every=1)
    for step in (4, 8):
        file = tmp_path / "checkpoints" / str(step) / "state" / "manifest.ocdbt"
        file.write_bytes(b"")
    before = (tmp_path / "metrics.jsonl").read_bytes()
    for _ in range(2):
        all_of_them = r"all are damaged \(step 8: .*; step 4: "
        with pytest.raises(CheckpointError, match=all_of_them):
            train(tmp_path, 10, everything(), log_every=1)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def read_events(workdir) -> list[dict]:
    return events.read(workdir / events.NAME)


def test_another_models_checkpoint_is_refused(tmp_path):
    toy_run(tmp_path, 4)
    with pytest.raises(CheckpointError, match="another model"):
        train(tmp_path, 8, tiny("light"))
    assert saved_steps(tmp_path) == [4]


def test_resuming_does_not_initialise_again(tmp_path):
    """Data-dependent initialisation is costly, and its result would be thrown away."""
    runs = []

    def initial():
        w = jnp.zeros(3)
        runs.append(isinstance(w, jax.core.Tracer))
        return toy_state(w)

    toy_run(tmp_path, 4, initial=initial)
    toy_run(tmp_path, 8, initial=initial)
    assert runs == [False, True]


# ---- a toy in place of a flow: `w` falls by 0.1 a step, the loss is its sum


@pytest.mark.parametrize(
    ("bad_from", "kept"),
    [(1, []), (2, []), (5, []), (6, [4]), (8, [4]), (9, [4]), (10, [4, 8])],
)
def test_a_diverged_loss_stops_the_run(tmp_path, bad_from, kept):
    """Between log points, at one, and at a checkpoint: named, and nothing bad saved.

    A state whose next loss is NaN is bad already: from the checkpoint of step 8, a run
    whose loss is NaN at step 9 could not go on.
    """
    for _ in range(2):  # starting again ends the same
        with pytest.raises(NonFiniteLossError, match=r"lower the learning rate") as e:
            toy_run(tmp_path, 12, toy_step(loss_nan_at=bad_from))
        assert f"diverged at step {bad_from} (" in str(e.value)
        assert "loss nan" in str(e.value)
        assert e.value.step == bad_from
        assert saved_steps(tmp_path) == kept


def test_a_last_step_that_breaks_the_state_is_not_saved(tmp_path):
    with pytest.raises(NonFiniteLossError, match="step 13 "):
        toy_run(tmp_path, 12, toy_step(loss_nan_at=13))
    assert saved_steps(tmp_path) == [4, 8]


def test_broken_parameters_are_not_saved(tmp_path):
    """Finite metrics at a checkpoint's own step say nothing of its update."""
    with pytest.raises(NonFiniteLossError, match="step 9 "):
        toy_run(tmp_path, 12, toy_step(w_nan_after=8))
    assert saved_steps(tmp_path) == [4]


def test_a_broken_rest_of_the_state_is_not_saved(tmp_path):
    """An infinite second moment would freeze its parameter without a sound."""

    def initial():
        return toy_state().replace(opt_state={"nu": jnp.ones(2)})

    with pytest.raises(
        NonFiniteLossError, match=r"step 8 \(opt_state.nu is not finite"
    ):
        toy_run(tmp_path, 12, toy_step(moment_inf_after=6), initial=initial)
    assert saved_steps(tmp_path) == [4]


def test_a_real_divergence(tmp_path):
    with pytest.raises(NonFiniteLossError, match="diverged at step"):
        train(tmp_path, 50, tiny("light", rate=1e6), checkpoint_every=1)
    # the checkpoint that is left has a finite loss ahead of it
    for step in saved_steps(tmp_path)[-1:]:
        with pytest.raises(NonFiniteLossError) as caught:
            train(tmp_path, 50, tiny("light", rate=1e6), checkpoint_every=1)
        assert caught.value.step > step + 1


def test_a_signal_while_the_last_checkpoint_is_written(tmp_path):
    """Saved and done, but whoever pressed Ctrl-C does not want an evaluation."""
    stopped = Disturbed(6, lambda: signal.raise_signal(signal.SIGINT))  # in `save`
    with pytest.raises(Interrupted, match="SIGINT at step 5"):
        toy_run(tmp_path, 5, parallel=stopped)
    assert saved_steps(tmp_path) == [4, 5]
    assert int(toy_run(tmp_path, 5).state.step) == 5


@pytest.mark.parametrize("num_steps", [8, 5])
def test_a_finished_run_is_returned(tmp_path, num_steps):
    first = toy_run(tmp_path, 8)

    def never(state, batch, key, reduce=None):
        raise AssertionError("a step was made")

    before = records(tmp_path)
    again = toy_run(tmp_path, num_steps, never)
    assert_same(jax.device_get(again.state), jax.device_get(first.state))
    assert (again.seconds, again.images) == (first.seconds, first.images)
    assert saved_steps(tmp_path) == [4, 8]
    assert records(tmp_path) == before


# ---- what is left in the workdir


def test_checkpoints_and_log_lines(tmp_path):
    toy_run(tmp_path, 10, keep_checkpoints=3)
    assert saved_steps(tmp_path) == [4, 8, 10]
    found = records(tmp_path)
    # every 3rd step, and at every checkpoint
    assert [r["step"] for r in found] == [3, 4, 6, 8, 9, 10]
    # means over the steps since the line before
    expected = [-0.3, -0.9, -1.35, -1.95, -2.4, -2.7]
    np.testing.assert_allclose([r["loss"] for r in found], expected, rtol=1e-5)


def test_the_state_is_the_newest_checkpoint(tmp_path):
    run = toy_run(tmp_path, 10)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        state, facts = checkpoints.restore(toy_state())
    assert_same(state, jax.device_get(run.state))
    assert state.step.dtype == np.int32
    assert facts == {"seconds": run.seconds, "images": run.images}


def test_the_caller_keeps_its_initial_state(tmp_path):
    """Only copies are donated to the step."""
    state = toy_state()
    toy_run(tmp_path, 4, initial=lambda: state)
    np.testing.assert_array_equal(state.params["w"], 0)


# ---- bad input


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_steps": 0}, "num_steps must be at least 1, got 0"),
        ({"log_every": 0}, "log_every must be at least 1, got 0"),
        ({"checkpoint_every": -1}, "checkpoint_every must be at least 1, got -1"),
        ({"keep_checkpoints": 0}, "keep_checkpoints must be at least 1, got 0"),
        ({"batch_size": 0}, "batch size must be at least 1, got 0"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(tmp_path, changed, message):
    arguments = {"num_steps": 4} | changed
    with pytest.raises(ValueError, match=message):
        toy_run(tmp_path, initial=crash, **arguments)


@pytest.mark.parametrize("below", ["", "run", "a/b/c"])
def test_a_workdir_that_cannot_be_written_is_refused_first(tmp_path, below):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"choose a working directory .*file"):
        toy_run(tmp_path / "file" / below, 4, initial=crash)


def test_images_that_are_not_8_bit_are_refused(tmp_path):
    run = tiny("light")
    with pytest.raises(TypeError, match="dequantize takes uint8 images, not float32"):
        loop.fit(
            run.initial,
            run.step,
            image_batches(images().astype(np.float32), BATCH, seed=0),
            loop.Plan(2),
            key=KEY,
            batch_size=BATCH,
            parallel=one_device(),
            workdir=tmp_path,
        )
    assert saved_steps(tmp_path) == []
