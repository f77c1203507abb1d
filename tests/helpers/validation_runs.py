"""Runs of which some images are held back, and how tests look at them.

A rate so high that training goes astray makes the last state not the best.
"""

import json

import jax
import numpy as np

from experiments.cli import run
from experiments.core import build
from experiments.core.config import load_config
from experiments.core.run_config import read_config
from experiments.core.sets import load_sets
from flowjax_ood.training.checkpoints.checkpoints import Checkpoints
from tests.helpers.experiment_runs import TINY, read_results

HELD = 10
ASTRAY = (
    *TINY,
    "--config.model.norm=batch",
    "--config.optimizer.schedule=constant",
    "--config.optimizer.learning_rate=0.3",
    "--config.train.num_steps=8",
    # the best is not at hand when the next checkpoint is written
    "--config.train.checkpoint_every=3",
    "--config.eval.samples=0",
)
ARGUMENTS = ("train", *ASTRAY, f"--config.data.validation={HELD}")


def config_of(*overrides, arguments=ARGUMENTS):
    """The config that `train` makes of its arguments, and of `a.b=v`."""
    given = [a.removeprefix("--config.") for a in arguments[2:]]
    return load_config(arguments[1].removeprefix("--config="), (*given, *overrides))


def train(workdir, *more, arguments=ARGUMENTS):
    assert run([*arguments, *more, f"--workdir={workdir}"]) == 0
    return workdir


def records(workdir) -> list[dict]:
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    clock = ("images_per_second", "input_wait", "seconds")
    return [
        {k: v for k, v in json.loads(line).items() if k not in clock} for line in lines
    ]


def scores_of(workdir) -> dict[int, float]:
    """Of each look, by its step; checkpoints are logged in between."""
    return {r["step"]: r["validation"] for r in records(workdir) if "validation" in r}


def saved(workdir, room="checkpoints") -> dict[int, dict]:
    """`{step: {leaf: array}}` of the checkpoints of a run."""
    config = read_config(workdir)
    template = build.state_template(config, load_sets(config))
    with Checkpoints(workdir / room) as checkpoints:
        return {
            step: {
                jax.tree_util.keystr(path): leaf
                for path, leaf in jax.tree.leaves_with_path(
                    checkpoints.restore(template, step)[0]
                )
            }
            for step in checkpoints.steps()
        }


def assert_same_arrays(one, other) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=str(name))


def assert_same_run(one, other) -> None:
    """Bit for bit: states, scores, likelihoods and results."""
    for room in ("checkpoints", "best"):
        ours, theirs = saved(one, room), saved(other, room)
        # how many are kept is a matter of where it stopped
        last = max(ours)
        assert last == max(theirs)
        assert_same_arrays(ours[last], theirs[last])
    assert records(one) == records(other)
    with (
        np.load(one / "likelihoods.npz") as ours,
        np.load(other / "likelihoods.npz") as theirs,
    ):
        assert_same_arrays(dict(ours), dict(theirs))
    ours, theirs = read_results(one), read_results(other)
    for key in ("validation", "bits_per_dim", "auroc", "steps"):
        assert ours[key] == theirs[key]
