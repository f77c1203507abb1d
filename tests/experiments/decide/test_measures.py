"""Measures of decisions where little is left to measure by."""

from types import SimpleNamespace

import numpy as np

from experiments.decide.measures import _corrupted


def test_copies_of_images_that_calibrate_do_not_count():
    own, copies = np.arange(100.0), np.full(4, -1.0)
    split = SimpleNamespace(calibrate=np.arange(50, 100))
    assert _corrupted(own, copies, [split]) == 1.0
    # all that have copies calibrate
    whole = SimpleNamespace(calibrate=np.arange(60))
    assert _corrupted(own, copies, [whole]) is None
    assert _corrupted(own, copies, [whole, split]) == 1.0
