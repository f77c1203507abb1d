"""Early stopping: the best state comes back, however the run was interrupted."""

import json
import math
import shutil
import signal

import jax
import numpy as np
import pytest

from flowjax_ood.runtime.parallel import Parallel
from flowjax_ood.runtime.signals import Interrupted
from flowjax_ood.training.checkpoints.checkpoints import CheckpointError, Checkpoints
from flowjax_ood.training.early_stopping import Validation, restore_best
from flowjax_ood.training.logs.window import NonFiniteLossError
from tests.helpers.tiny_run import assert_same, tiny, train
from tests.training.test_loop import (
    Crashed,
    Disturbed,
    crash,
    records,
    saved_steps,
    untimed,
)

# scores at steps 2, 4, 6 ...: the best is the second, then three that are no better
SCORES = (1.0, 5.0, 3.0, 5.0, 2.0, 9.0, 0.0)


class Scripted:
    """A score that follows a script, and remembers the parameters it was shown."""

    def __init__(self, scores=SCORES, every=2, start=0):
        self.scores, self.every = scores, every
        self.seen, self.start = [], start

    def __call__(self, variables):
        self.seen.append(jax.tree.map(np.array, variables))
        return self.scores[self.start + len(self.seen) - 1]


def stopped(workdir, num_steps=14, patience=3, start=0, scores=SCORES, **changed):
    """`(run, what was scored)` of a run whose scores before step `start` are past."""
    score = Scripted(scores, start=start // 2)
    validate = Validation(score, every=2, patience=patience)
    changed = {"log_every": 1, "checkpoint_every": 3} | changed
    run = train(workdir, num_steps, tiny("light"), validate=validate, **changed)
    return run, score


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("uninterrupted")
    run, _ = stopped(workdir)
    return jax.device_get(run.state), records(workdir), saved_steps(workdir)


def best_steps(workdir) -> list[int]:
    with Checkpoints(workdir / "best") as checkpoints:
        return checkpoints.steps()


def test_patience_ends_training_and_the_best_state_comes_back(tmp_path):
    run, score = stopped(tmp_path)
    # the fifth look is the third without a better one
    assert len(score.seen) == 5
    assert run.validation == {"score": 5.0, "step": 4, "since": 3}
    assert int(run.state.step) == 4
    assert_same(run.state.variables(), score.seen[1])
    assert saved_steps(tmp_path)[-1] == 10
    logged = records(tmp_path)
    found = {r["step"]: r["validation"] for r in logged if "validation" in r}
    assert found == dict(zip((2, 4, 6, 8, 10), SCORES))
    # that of a run as long
    plain = train(tmp_path / "plain", 4, tiny("light"))
    assert_same(jax.device_get(run.state), jax.device_get(plain.state))


def test_without_patience_all_steps_are_trained(tmp_path):
    run, score = stopped(tmp_path, patience=0)
    assert len(score.seen) == 7
    assert run.validation == {"score": 9.0, "step": 12, "since": 1}
    assert int(run.state.step) == 12
    assert saved_steps(tmp_path)[-1] == 14


@pytest.mark.thorough
def test_averaged_parameters_are_those_scored(tmp_path):
    score = Scripted()
    validate = Validation(score, every=2)
    run = train(tmp_path, 4, tiny("light batch", ema_decay=0.9), validate=validate)
    assert_same(run.state.variables(), score.seen[1])
    assert_same(run.state.ema, score.seen[1]["params"])


def test_running_again_trains_and_scores_nothing(tmp_path):
    first, _ = stopped(tmp_path)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    again, score = stopped(tmp_path)
    assert score.seen == []
    assert again.validation == first.validation
    assert_same(jax.device_get(again.state), jax.device_get(first.state))
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def assert_ends_as(workdir, run, uninterrupted):
    state, metrics, saved = uninterrupted
    assert_same(jax.device_get(run.state), state)
    assert run.validation == {"score": 5.0, "step": 4, "since": 3}
    assert [untimed(r) for r in records(workdir)] == [untimed(r) for r in metrics]
    assert saved_steps(workdir)[-1] == saved[-1]
    assert best_steps(workdir)[-1] == 4


@pytest.mark.thorough
@pytest.mark.parametrize("crashes", [[1], [4], [5], [8], [10], [4, 4], [5, 7, 3]])
def test_a_killed_run_goes_on(tmp_path, uninterrupted, crashes):
    """Batches are placed for every step, and once more for each checkpoint."""
    for at in crashes:
        start = max([0, *saved_steps(tmp_path)])
        with pytest.raises(Crashed):
            stopped(tmp_path, start=start, parallel=Disturbed(at, crash))
    start = max([0, *saved_steps(tmp_path)])
    run, _ = stopped(tmp_path, start=start)
    assert_ends_as(tmp_path, run, uninterrupted)


@pytest.mark.parametrize("at", [0, 3, 5, 8])
def test_a_signal_saves_and_the_run_goes_on(tmp_path, uninterrupted, at):
    stop = Disturbed(at, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Interrupted) as caught:
        stopped(tmp_path, parallel=stop)
    run, _ = stopped(tmp_path, start=caught.value.step)
    assert_ends_as(tmp_path, run, uninterrupted)


def test_a_best_state_beyond_the_newest_checkpoint_is_found_anew(
    tmp_path, uninterrupted
):
    """Killed after the best of step 6's checkpoint was written, and before that was."""
    other = (1.0, 2.0, 9.0)
    stopped(tmp_path, num_steps=6, scores=other)
    assert best_steps(tmp_path) == [2, 6]
    shutil.rmtree(tmp_path / "checkpoints" / "6")
    run, _ = stopped(tmp_path, start=3)
    assert_ends_as(tmp_path, run, uninterrupted)


def test_the_best_so_far_of_an_interrupted_run_can_be_restored(tmp_path):
    stopped(tmp_path, num_steps=6)
    template = jax.eval_shape(tiny("light").initial)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        _, facts = checkpoints.restore(template)
    assert facts["validation"] == {"score": 5.0, "step": 4, "since": 1}
    best = restore_best(tmp_path, template, facts["validation"])
    plain = train(tmp_path / "plain", 4, tiny("light"))
    assert_same(best, jax.device_get(plain.state))


@pytest.mark.thorough
def test_as_many_bests_are_kept_as_checkpoints(tmp_path):
    """However many are damaged, the best of the one that is left is there."""
    often = {"checkpoint_every": 2, "keep_checkpoints": 4, "patience": 0}
    rising = {"scores": (1.0, 2.0, 3.0, 4.0, 5.0), **often}
    stopped(tmp_path, num_steps=8, **rising)
    assert saved_steps(tmp_path) == [2, 4, 6, 8]
    for step in (4, 6, 8):
        file = tmp_path / "checkpoints" / str(step) / "state" / "manifest.ocdbt"
        file.write_bytes(b"")
    run, _ = stopped(tmp_path, num_steps=8, **(rising | {"scores": (2.0, 1.0, 1.0)}))
    assert run.validation == {"score": 2.0, "step": 4, "since": 2}


def test_a_best_state_that_is_gone_is_named(tmp_path):
    stopped(tmp_path, num_steps=6)
    shutil.rmtree(tmp_path / "best" / "4")
    left = sorted((tmp_path / "best").iterdir())
    with pytest.raises(CheckpointError, match=r"best/4, the state of the best .* gone"):
        stopped(tmp_path, start=6)
    assert sorted((tmp_path / "best").iterdir()) == left
    with pytest.raises(CheckpointError, match="is gone"):
        restore_best(tmp_path, None, {"step": 4})


def test_a_damaged_best_state_is_named_before_a_step(tmp_path):
    """No checkpoint helps: the best state is the result, and is trained only once."""
    stopped(tmp_path, num_steps=6)
    file = next((tmp_path / "best" / "4" / "state").rglob("manifest.ocdbt"))
    file.write_bytes(b"")
    before = (tmp_path / "metrics.jsonl").read_text()
    said = r"best/4, the state of the best .* damaged: .*; restore it, or train again"
    with pytest.raises(CheckpointError, match=said):
        stopped(tmp_path, start=6)
    assert (tmp_path / "metrics.jsonl").read_text() == before
    with pytest.raises(CheckpointError, match=said):
        restore_best(tmp_path, None, {"step": 4})


@pytest.mark.parametrize("broken", [math.nan, -math.inf])
def test_a_score_that_is_not_finite_ends_training(tmp_path, broken):
    with pytest.raises(NonFiniteLossError, match="validation score"):
        stopped(tmp_path, scores=(1.0, broken))
    # the metrics file is still JSON
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]


@pytest.mark.thorough
@pytest.mark.parametrize("mode", ["pmap", "shard_map"])
def test_it_works_in_every_mode(tmp_path, mode):
    run, score = stopped(tmp_path, parallel=Parallel(mode, jax.devices()[:1]))
    assert int(run.state.step) == 4
    assert_same(jax.device_get(run.state).variables(), score.seen[1])


@pytest.mark.parametrize(("every", "patience"), [(0, 1), (2, -1)])
def test_numbers_out_of_range_are_refused(every, patience):
    with pytest.raises(ValueError, match=f"every={every}, patience={patience}"):
        Validation(Scripted(), every, patience)


def test_a_run_too_short_to_be_validated_is_refused(tmp_path):
    with pytest.raises(ValueError, match="every 2 steps, a training of 1 steps"):
        stopped(tmp_path, num_steps=1)
