"""The types of options: their limits, and their errors."""

from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from flowjax_ood.interface.options import SEED, directory, number, several, whole_number


def test_values_within_their_limits():
    assert whole_number()("0") == 0
    assert whole_number(1, 64)("64") == 64
    assert number()("0.5") == 0.5
    assert number(0.1, above=False)("0.1") == 0.1
    assert several(whole_number(), "0,1")("2, 0,1") == (2, 0, 1)


def test_a_home_that_no_shell_has_put_in(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert directory("~/runs") == Path("/home/somebody/runs")
    assert directory("a~b/c") == Path("a~b/c")


@pytest.mark.parametrize(
    ("parse", "text", "said"),
    [
        (whole_number(1), "0", "'0' is no whole number of at least 1"),
        (whole_number(1, 64), "65", "'65' is no whole number from 1 to 64"),
        (whole_number(), "1.5", "'1.5' is no whole number of at least 0"),
        (whole_number(), "-1", "'-1' is no whole number of at least 0"),
        (whole_number(), "2147483648", "'2147483648' is no whole number of at least 0"),
        (whole_number(most=SEED), "4294967296", "whole number from 0 to 4294967295"),
        (directory, "", "'' names no directory: is a variable unset"),
        (directory, "runs/\udcff", "is not UTF-8, as names of checkpoints must be"),
        (directory, "a" * 300, "a: File name too long; give a shorter name"),
        (directory, "~nobody_of_that_name/runs", "'~nobody_of_that_name/runs': "),
        (number(), "0", "'0' is no number above 0"),
        (number(), "nan", "'nan' is no number above 0"),
        (number(), "inf", "'inf' is no number above 0"),
        (number(0.1, above=False), "0.09", "'0.09' is no number of at least 0.1"),
        (several(number(), "0.7,1.0"), "1,1.0", "different values such as 0.7,1.0"),
        (several(number(), "0.7,1.0"), "1,,2", "'' is no number above 0"),
    ],
)
def test_others_are_refused(parse, text, said):
    with pytest.raises(ArgumentTypeError, match=said):
        parse(text)


def test_a_loop_of_links_is_no_directory(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(ArgumentTypeError, match=r"loop|symbolic links"):
        directory(str(tmp_path / "a"))
