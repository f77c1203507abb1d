"""Two real processes choose the best state as one process with two devices does."""

import json

import jax
import numpy as np
import pytest

from tests.helpers.experiment_runs import read_results
from tests.helpers.two_processes import Two, alone
from tests.helpers.validation_runs import ARGUMENTS, saved, scores_of

# 11 do not divide over two devices; every process looks at its part
UNEVEN = (
    *ARGUMENTS,
    "--config.data.validation=11",
    "--config.optimizer.learning_rate=0.03",
    "--config.train.num_steps=6",
)


@pytest.mark.slow
@pytest.mark.multiprocess
def test_two_processes_choose_as_one_does(tmp_path):
    both, one = tmp_path / "both", tmp_path / "one"
    with Two(*UNEVEN, f"--workdir={both}") as two:
        (status, out, err), (other, _, quiet) = two.finish()
    assert (status, other) == (0, 0), err + quiet
    assert "the best of the validation set" in out
    alone(*UNEVEN, f"--workdir={one}")
    found, expected = scores_of(both), scores_of(one)
    assert list(found) == list(expected) == [2, 4, 6]
    np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=1e-4)
    ours, theirs = (read_results(w)["validation"] for w in (both, one))
    assert ours["step"] == theirs["step"] == max(found, key=found.get)
    assert ours["since"] == theirs["since"]
    best = ours["step"]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5),
        saved(both, "best")[best],
        saved(one, "best")[best],
    )
    kept = [json.loads((w / "data.json").read_text()) for w in (both, one)]
    assert kept[0] == kept[1]
