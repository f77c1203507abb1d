"""Two processes that share a bucket and no directory are one run."""

import jax
import numpy as np
import pytest

from experiments.core import build
from experiments.core.run_config import read_config
from experiments.core.sets import load_sets
from flowjax_ood.runtime.paths import as_path
from flowjax_ood.training.checkpoints.checkpoints import Checkpoints
from flowjax_ood.training.logs.metrics import read
from tests.helpers.experiment_runs import TINY, read_results
from tests.helpers.two_processes import Two, alone

pytestmark = [pytest.mark.multiprocess, pytest.mark.slow]


SHARDED = (*TINY, "--config.fsdp=2", "--config.optimizer.schedule=constant")


def final(workdir) -> list[np.ndarray]:
    config = read_config(workdir)
    template = build.state_template(config, load_sets(config, workdir))
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        return jax.tree.leaves(checkpoints.restore(template)[0])


def test_two_processes_train_and_resume(bucket, tmp_path):
    workdir, plain = as_path(bucket) / "run", tmp_path / "plain"
    there = f"--workdir={workdir}"
    for steps in (2, 4):
        count = f"--config.train.num_steps={steps}"
        with Two("train", *SHARDED, count, there) as two:
            for status, out, err in two.finish():
                assert status == 0, out + err
    alone("train", *SHARDED, count, f"--workdir={plain}")
    ours, theirs = final(workdir), final(plain)
    assert len(ours) == len(theirs) > 5
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    steps = [r["step"] for r in read(workdir / "metrics.jsonl")]
    assert steps == [r["step"] for r in read(plain / "metrics.jsonl")]
    with Two("evaluate", there) as two:
        assert [status for status, _, _ in two.finish()] == [0, 0]
    assert read_results(workdir)["steps"] == 4
