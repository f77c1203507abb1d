"""Exceptions of the library as one line for the user."""

from pathlib import Path

import pytest

from flowjax_ood.interface.errors import UserError, user_errors, writing


@pytest.mark.parametrize("error", [ValueError, TypeError, OSError, ImportError])
def test_unusable_values_name_their_part_of_the_config(error):
    message = r"^config\.data: no such set$"
    with pytest.raises(UserError, match=message), user_errors("config.data"):
        raise error("no such set")


def test_only_the_named_exceptions_are_turned():
    with pytest.raises(TypeError), user_errors("config.model", ValueError):
        raise TypeError("a mistake of ours")
    turned = user_errors("", KeyError, ValueError, remedy="do b")
    with pytest.raises(UserError, match=r"^a; do b$"), turned:
        raise ValueError("a")


def test_a_user_error_stays_itself():
    with pytest.raises(UserError, match=r"^once$"), user_errors("config.data"):
        raise UserError("once")


def test_writing_names_the_option_and_the_path():
    message = r"^cannot write in --out a/b: full$"
    with pytest.raises(UserError, match=message), writing("--out", Path("a/b")):
        raise OSError("full")
