"""The example of masks: tiles of one pixel are the checkerboard; others learn less."""

import numpy as np
import pytest

from flowjax_ood import masks
from tests.examples.running import run_example


@pytest.mark.thorough
def test_tiles_gain_less(tmp_path, monkeypatch, capsys):
    arguments = ("--steps=30", "--limit=100")
    ran = run_example("own_mask", tmp_path, monkeypatch, capsys, *arguments)
    tiles, shape = ran.names["tiles"], (14, 14, 1)
    for k in range(4):
        seen = tiles(1, k, shape).seen
        assert np.array_equal(seen, masks.alternate_checkerboard(k, shape).seen)
        assert np.array_equal(
            tiles(2, k, shape).seen[::2, ::2], tiles(1, k, (7, 7, 1)).seen
        )
    row = r"^(?:checkerboard|tiles of 2 x 2) +([\d.]+) +([\d.]+) +([\d.]+) \["
    (clothing, digits, _), (clothing_2, digits_2, _) = ran.numbers(row)
    # so few steps show what neighbours are worth, not yet how the two orders differ
    assert clothing < clothing_2
    assert digits < digits_2
