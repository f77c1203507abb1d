"""The example of masks: tiles of one pixel are the checkerboard; others learn less."""

import numpy as np

from flowjax_ood import masks
from tests.examples.running import run_example


def test_tiles_gain_less_and_help_digits_less(tmp_path, monkeypatch, capsys):
    ran = run_example("own_mask", tmp_path, monkeypatch, capsys, "--steps=40")
    tiles, shape = ran.names["tiles"], (14, 14, 1)
    for k in range(4):
        seen = tiles(1, k, shape).seen
        assert np.array_equal(seen, masks.alternate_checkerboard(k, shape).seen)
        assert np.array_equal(
            tiles(2, k, shape).seen[::2, ::2], tiles(1, k, (7, 7, 1)).seen
        )
    row = r"^(?:checkerboard|tiles of 2 x 2) +([\d.]+) +([\d.]+) +([\d.]+) \["
    (clothing, digits, auroc), (clothing_2, digits_2, auroc_2) = ran.numbers(row)
    # few steps already show it
    assert clothing < clothing_2
    assert auroc < auroc_2
    # digits are likelier than clothing by the checkerboard alone, or by far less
    assert digits - clothing < digits_2 - clothing_2
