"""Which row is of which kind: fixed for good, in equal shares, the same in any rows."""

import numpy as np
import pytest

from flowjax_ood.arguments import whole_number
from flowjax_ood.data.outliers.rows import chosen_kinds, kinds_of_rows
from flowjax_ood.data.random import Streams


def test_each_run_has_its_order_of_all_kinds():
    rows, kind = kinds_of_rows(None, 10, 4, 7, "a test")
    np.testing.assert_array_equal(rows, range(10))
    for run in range(3):
        numbers = Streams(7, "a test", [run]).uniform(4)[0]
        expected = np.argsort(numbers)[: 10 - 4 * run]
        np.testing.assert_array_equal(kind[4 * run : 4 * run + 4], expected)
    asked, some = kinds_of_rows(iter([9, 2, 2]), 10, 4, 7, "a test")
    np.testing.assert_array_equal(asked, [9, 2, 2])
    np.testing.assert_array_equal(some, kind[[9, 2, 2]])
    other = kinds_of_rows(None, 400, 4, 7, "another")[1]
    assert (other != kinds_of_rows(None, 400, 4, 7, "a test")[1]).any()


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("pseudo-outliers kinds", [3, 1, 0, 2, 3, 2, 0, 1, 1, 2, 3, 0]),
        ("pseudo-outlier tokens kinds", [0, 2, 3, 1, 0, 3, 1, 2, 2, 0, 1, 3]),
    ],
)
def test_kinds_stay_what_they_were(what, expected):
    """Detectors are tuned on them: others would give other results."""
    assert kinds_of_rows(None, 12, 4, 0, what)[1].tolist() == expected


def test_a_seed_is_an_integer_that_is_not_negative():
    for seed in (3, np.int64(3), np.uint8(3)):
        assert type(whole_number("seed", seed, least=0)) is int
    with pytest.raises(ValueError, match="at least 0, got -2"):
        whole_number("seed", -2, least=0)
    for seed in (1.0, "1", None):
        with pytest.raises(ValueError, match=f"a whole number, got {seed!r}"):
            whole_number("seed", seed, least=0)


def test_kinds_are_known_and_distinct():
    known = {"blurred": 1, "mixed": 2}
    assert chosen_kinds(None, known) == ("blurred", "mixed")
    assert chosen_kinds(iter(["mixed"]), known) == ("mixed",)
    with pytest.raises(ValueError, match=r"'mix' is not a kind.*'mixed'"):
        chosen_kinds(["mix"], known)
    for kinds in ((), ("mixed", "mixed")):
        with pytest.raises(ValueError, match="distinct and at least one"):
            chosen_kinds(kinds, known)
