"""NumPy archives: whatever is wrong with one is one error that names it."""

import io
import json
import zipfile

import numpy as np
import pytest

from flowjax_ood.data import checks
from flowjax_ood.data.archives import open_archive

ARRAY = np.arange(12, dtype=np.uint8)
CENTRAL = b"PK\x01\x02"  # the signature of a central directory's entry


def archived(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return bytearray(file.getvalue())


def entry_with(offset, value):
    """An archive whose central directory has `value` at `offset` of its entry."""
    content = archived(test=ARRAY)
    content[content.index(CENTRAL) + offset] = value
    return bytes(content)


def member(header):
    """An archive, its checksums right, of a member with that header and no data."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        text = header.ljust(117) + "\n"
        size = len(text).to_bytes(2, "little")
        archive.writestr("test.npy", b"\x93NUMPY\x01\0" + size + text.encode())
    return file.getvalue()


def header(shape, dtype="|u1"):
    return f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}"


DAMAGED = {
    "encrypted": entry_with(8, 1),
    "unknown compression": entry_with(10, 99),
    "of a later version": entry_with(6, 255),
    "header without an end": member(header((3,))[:-1]),
    "header of 2^40 images": member(header((2**40, 28, 28))),
    "header of 2^70 images": member(header((2**70,))),
    "header of objects": member(header((3,), "|O")),
    "header without a shape": member("{'descr': '|u1', 'fortran_order': False}"),
    "cut short": member(header((3,))),
    "nested deep": member("(" * 5000),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damage_is_a_value_error_that_names_the_file(tmp_path, content):
    file = tmp_path / "a.npz"
    file.write_bytes(content)
    for given in (None, content):
        error = pytest.raises(ValueError, match=r"a\.npz(\['test'\])?: .*\w")
        with error, open_archive(file, given) as archive:
            archive.read("test")


def test_what_memory_does_not_take_is_refused_first(tmp_path, monkeypatch):
    file = tmp_path / "a.npz"
    np.savez_compressed(file, small=ARRAY, large=np.zeros(2**21, np.uint8))
    (tmp_path / "meminfo").write_text("MemAvailable:  2000 kB\n")
    monkeypatch.setattr(checks, "MEMINFO", tmp_path / "meminfo")
    with open_archive(file) as archive:
        np.testing.assert_array_equal(archive.read("small"), ARRAY)
        monkeypatch.delattr(np.lib.npyio.NpzFile, "__getitem__")
        with pytest.raises(
            ValueError, match=r"a\.npz\['large'\]: takes 0\.0 GB of mem"
        ):
            archive.read("large")


def test_json_text(tmp_path):
    file = tmp_path / "a.npz"
    texts = {"right": json.dumps({"a": [1]}), "wrong": "{", "deep": "[" * 100_000}
    np.savez(file, **{key: np.array(text) for key, text in texts.items()})
    with open_archive(file) as archive:
        assert archive.read_json("right") == {"a": [1]}
        for key in ("wrong", "deep"):
            with pytest.raises(ValueError, match=rf"a\.npz\['{key}'\]: not JSON text"):
                archive.read_json(key)
        with pytest.raises(KeyError):
            archive.read_json("absent")
