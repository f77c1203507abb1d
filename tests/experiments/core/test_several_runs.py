"""Names of runs that are put side by side."""

import pytest

from experiments.core.several_runs import run_names


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a"], ["a"]),
        (["x/a", "x/b"], ["a", "b"]),
        # what all end in alike tells nothing
        (["a/seed_0", "b/seed_0"], ["a", "b"]),
        (["a/seed_0", "b/seed_0", "b/seed_1"], ["a/seed_0", "b/seed_0", "b/seed_1"]),
        # rows of an ablation
        (["flow=a/seed_0", "flow=b/seed_0"], ["a", "b"]),
        (["flow=a", "mask=b"], ["flow=a", "mask=b"]),
    ],
)
def test_runs_go_by_the_part_of_their_path_that_differs(tmp_path, paths, names):
    found = run_names([tmp_path / path for path in paths])
    assert found == {tmp_path / p: n for p, n in zip(paths, names)}
