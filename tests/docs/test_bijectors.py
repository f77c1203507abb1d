"""The table of bijectors: all of ours, none made up, and no row without a reason."""

import inspect
import re

from flowjax_ood import bijectors
from tests.docs.manual import read

OWN, _, BESIDE = read("docs/bijectors.md").partition("## Beside other libraries")


def rows(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|") and not line.startswith(("|---", "| map", "| to "))
    ]


ROWS = rows(BESIDE)
OURS = {name for row in ROWS for name in re.findall(r"`(\w+)`", row[1])}


def test_every_bijector_has_a_place_and_every_name_exists():
    known = {
        name
        for name in bijectors.__all__
        if inspect.isclass(made := getattr(bijectors, name))
        and issubclass(made, bijectors.Bijector)
    }
    # what others are made of
    known -= {"Bijector", "Coupling", "ShiftScaleCoupling", "Autoregressive"}
    assert sorted(known - OURS) == []
    assert sorted(OURS - known - {"Coupling"}) == []
    # the short table has them all
    assert {n for row in rows(OWN) for n in re.findall(r"`(\w+)`", row[1])} == known


def test_no_row_is_empty_without_a_reason():
    assert len(ROWS) > 30
    for row in ROWS:
        assert len(row) == 8, row
        assert row[1] or row[7], row[0]
        # and what nobody has is no row
        assert row[1] or set(row[2:7]) != {"-"}, row[0]
        assert all(row[2:7]), row[0]
