"""`--distributed`: one run by two real processes, which stop, die, move and finish."""

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from experiments.core import build
from experiments.core.distributed import LOST
from experiments.core.run_config import read_config
from experiments.core.sets import load_sets
from flowjax_ood.training.checkpoints.checkpoints import Checkpoints
from flowjax_ood.training.logs import events as event_log
from tests.helpers.experiment_runs import TINY, only_error, read_bits, read_results
from tests.helpers.two_processes import Two, alone, steps_of

pytestmark = [
    pytest.mark.multiprocess,
    pytest.mark.slow,
    # its story is told once
    pytest.mark.xdist_group("distributed"),
]
ENDLESS = (
    *TINY,
    "--config.optimizer.schedule=constant",
    "--config.train.num_steps=1000000",
    "--config.train.log_every=1",
    "--config.train.checkpoint_every=15",
)


def saved(workdir: Path) -> dict[int, object]:
    """States of the checkpoints of a run, by step."""
    config = read_config(workdir)
    template = build.state_template(config, load_sets(config, workdir))
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        return {s: checkpoints.restore(template, s)[0] for s in checkpoints.steps()}


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """A run by two processes: process 1 gets SIGTERM; then, going on, process 0 is
    killed; then it moves to one process, in another mode, and finishes.

    Another run is done by one process without interruption.
    """
    room = tmp_path_factory.mktemp("distributed")
    moved, plain = room / "moved", room / "plain"
    start = ("train", *ENDLESS, f"--workdir={moved}")
    told = {}
    with Two(*start) as two:
        two.wait_for(moved, 4)
        two.processes[1].send_signal(signal.SIGTERM)
        told["terminated"] = two.finish()
    told["steps"] = steps_of(moved)
    with Two(*start) as two:
        two.wait_for(moved, max(told["steps"]) + 40)
        two.processes[1].kill()
        told["killed"] = two.finish()
    # what a save leaves while it writes has a longer name
    names = [p.name for p in (moved / "checkpoints").iterdir()]
    told["newest"] = max(int(name) for name in names if name.isdigit())
    last = f"--config.train.num_steps={told['newest'] + 12}"
    alone(*start, last, "--config.parallel=shard_map")
    alone("train", *ENDLESS, last, f"--workdir={plain}")
    with Two("evaluate", f"--workdir={moved}") as two:
        evaluated = room / "before.json"
        shutil.copy(moved / "results.json", evaluated)
        told["bits"] = read_bits(moved)
        (moved / "results.json").unlink()
        told["evaluated"] = two.finish()
        told["results"] = json.loads(evaluated.read_text())
    return moved, plain, told


def test_sigterm_at_one_stops_both_at_the_same_step(story):
    _, _, told = story
    last = told["steps"][-1]
    assert told["steps"] == list(range(1, last + 1))
    for status, _, err in told["terminated"]:
        assert status == 143, err
        assert "Traceback" not in err
        assert f"stopped by SIGTERM at step {last}; the checkpoint is saved" in err


def test_where_one_is_killed_the_other_ends_soon(story):
    _, _, told = story
    (left, _, err), (killed, _, _) = told["killed"]
    assert killed == -signal.SIGKILL
    # JAX may end the process before its error reaches us
    assert left in (LOST, -signal.SIGABRT), err
    if left == LOST:
        assert "process 0 of 2 has lost contact with the others" in only_error(err)
    assert told["newest"] % 15 == 0


def test_it_moves_and_ends_as_if_nothing_had_happened(story):
    """On one process, by another adapter: the same up to rounding, each step once."""
    moved, plain, told = story
    assert steps_of(moved) == steps_of(plain) == list(range(1, told["newest"] + 13))
    found, expected = saved(moved), saved(plain)
    last = told["newest"] + 12
    assert found.keys() == expected.keys() == {told["newest"], last}
    import jax

    for step in found:
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
            found[step],
            expected[step],
        )


def test_its_history_is_told(story):
    moved, _, told = story
    events = event_log.read(moved / event_log.NAME)
    started = [e for e in events if e["event"] == "started"]
    assert [e["processes"] for e in started] == [2, 2, 1]
    assert [e["step"] for e in started] == [0, told["steps"][-1], told["newest"]]
    ends = [e["event"] for e in events if e["event"] in event_log.ENDINGS]
    assert ends[0] == "interrupted"
    assert ends[-1] == "finished"


def test_two_processes_evaluate_as_one_does(story):
    """Every image once, in order; process 0 alone writes and prints."""
    moved, _, told = story
    (status, out, err), (other, silent, quiet) = told["evaluated"]
    assert (status, other) == (0, 0), err + quiet
    assert "results and figures are in" in out
    assert "AUROC" not in silent
    assert quiet == ""
    for name, bits in read_bits(moved).items():
        assert bits.shape == (20,)
        np.testing.assert_allclose(bits, told["bits"][name], rtol=1e-6)
    results = read_results(moved)
    assert results["versions"].pop("processes") == 2
    assert told["results"]["versions"].pop("processes") == 1
    np.testing.assert_allclose(
        results["auroc"]["mnist"], told["results"]["auroc"]["mnist"], atol=1e-6
    )
    assert results.keys() == told["results"].keys()
