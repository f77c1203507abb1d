"""One reader for the JSON of workdirs: shapes, and errors that name file and remedy."""

import pytest

from experiments.core import json_file
from experiments.core.json_file import Each, IfThere, Items, Maybe, mismatch
from flowjax_ood.interface.errors import UserError


@pytest.mark.parametrize(
    ("value", "shape", "wrong"),
    [
        (3, int, ""),
        (3, float, ""),
        (True, int, "it is true, not a whole number"),
        (True, float, "it is true, not a number"),
        (-1, int, "it is -1, not a whole number"),
        (2.5, int, "it is 2.5, not a whole number"),
        (float("nan"), float, "it is NaN, not a number"),
        (10**400, float, f"it is 1{'0' * 36}..., not a number"),
        (None, Maybe(float), ""),
        ("x", Maybe(float), 'it is "x", not a number'),
        ([], dict, "it is [], not an object"),
        ({"a": 1}, {"a": int}, ""),
        ({"a": 1}, {"b": int, "c": int}, "it lacks b, c"),
        ({}, {"a": IfThere(int)}, ""),
        ({"a": None}, {"a": IfThere(int)}, "a is null, not a whole number"),
        ({"a": {"b": "x"}}, {"a": {"b": int}}, 'a.b is "x", not a whole number'),
        ({"a": {"x?": 1.5}}, {"a": Each(float)}, ""),
        ({"a": {"x?": []}}, {"a": Each(float)}, "a.x? is [], not a number"),
        ({"a": 1}, {"a": Each(float)}, "a is 1, not an object"),
        ({"a": [1, None]}, {"a": Items(int)}, "a[1] is null, not a whole number"),
        ({"a": [1]}, {"a": Items(int, 2)}, "a is [1], not a list of at least 2"),
        ({"a": {}}, {"a": Items(int)}, "a is {}, not a list"),
        ({"a": 1}, {"a": object}, ""),
    ],
)
def test_where_a_value_is_not_of_a_shape(value, shape, wrong):
    assert mismatch(value, shape) == wrong


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", r"is damaged: it is not JSON \(Expecting value"),
        (b'{"a": 1', r"is damaged: it is not JSON"),
        (b"\xff\xfe\xfd", r"is damaged: it is not JSON"),
        (b"[" * 100_000, "is damaged: it is nested too deeply"),
        (b"null", "is damaged: it is null, not an object"),
        (b'{"b": 1}', "is damaged: it lacks a"),
        (None, "is missing"),
    ],
)
def test_damage_names_the_file_and_the_remedy(tmp_path, content, said):
    file = tmp_path / "a.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=rf"^{file} {said}.*; mend it$"):
        json_file.read(file, {"a": int}, remedy="mend it")
    file.write_bytes(b'{"a": 1}')
    assert json_file.read(file, {"a": int}, remedy="mend it") == {"a": 1}


def test_what_the_disk_refuses_is_no_damage(tmp_path):
    with pytest.raises(UserError, match="cannot be read: Is a directory; mend it"):
        json_file.read(tmp_path, remedy="mend it")
