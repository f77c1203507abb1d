"""Archives of embeddings: written in one step, read back by the vectors' source."""

import numpy as np
import pytest

from flowjax_ood.data.sets import VectorSet
from flowjax_ood.data.sources import embeddings
from flowjax_ood.data.sources.embeddings import (
    load_embeddings,
    read_meta,
    write_embeddings,
)

VECTORS = np.arange(12, dtype=np.float32).reshape(4, 3) / 7
LABELS = np.array([3, 1, 2, 3], np.int32)
META = {"encoder": "some", "sets": {"a:train": {}, "b:test": {}}}


def vector_set(name, split, labels=None):
    return VectorSet(name, split, VECTORS, labels, "embeddings", "made here")


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "e.npz"
    sets = {
        "a:train": vector_set("a", "train", LABELS),
        "b:test": vector_set("b", "test"),
    }
    assert write_embeddings(path, sets, META) == path
    for spec, expected in sets.items():
        found = load_embeddings(*spec.split(":"), path=path)
        np.testing.assert_array_equal(found.vectors, expected.vectors)
        assert "encoder some" in found.origin
    np.testing.assert_array_equal(
        load_embeddings("a", "train", path=path).labels, LABELS
    )
    assert load_embeddings("b", "test", path=path).labels is None
    assert read_meta(path) == META


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "e.npz"
    write_embeddings(path, {"a:train": vector_set("a", "train")}, META)
    before = path.read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(embeddings.np, "savez", full)
    with pytest.raises(OSError, match="no space"):
        write_embeddings(path, {}, META)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["e.npz"]


def save_one(path):
    with path.open("wb") as file:
        np.save(file, VECTORS)


def test_other_files_have_no_meta(tmp_path):
    path = tmp_path / "e.npz"
    for write in (
        lambda: path.write_bytes(b"nothing"),
        lambda: path.write_bytes(b""),
        lambda: np.savez(path, x=VECTORS),
        lambda: np.savez(path, meta=np.array("[1]")),
        lambda: np.savez(path, meta=np.array('{"sets": 3}')),
        lambda: save_one(path),
    ):
        write()
        with pytest.raises(ValueError, match=r"e\.npz is no archive of embeddings"):
            read_meta(path)
