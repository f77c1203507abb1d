"""The lock of kinds that are kept back, and the looks that runs remember."""

import json

import pytest

from experiments.scores import lock
from flowjax_ood.interface.errors import UserError


def test_a_lock_holds_for_its_digest(tmp_path):
    assert lock.turn(tmp_path, "one", ["a"], lock=False) == (False, 0)
    assert list(tmp_path.iterdir()) == []
    assert lock.turn(tmp_path, "one", ["a"], lock=True) == (True, 1)
    assert lock.turn(tmp_path, "one", ["a"], lock=False) == (True, 1)
    assert lock.turn(tmp_path, "two", ["a"], lock=False) == (False, 1)
    assert lock.turn(tmp_path, "two", ["b"], lock=True) == (True, 2)
    assert lock.turn(tmp_path, "one", ["a"], lock=False) == (False, 2)
    content = json.loads((tmp_path / "lock.json").read_text())
    assert content["earlier"] == ["one"]
    assert content["scores"] == ["b"]
    (tmp_path / "lock.json").write_text("{}")
    with pytest.raises(UserError, match=r"lock\.json is damaged: it lacks digest"):
        lock.turn(tmp_path, "two", ["b"], lock=True)


def test_looks_from_other_folders_are_counted(tmp_path, monkeypatch, capsys):
    run, other, first, second = (tmp_path / name for name in ("run", "other", "a", "b"))
    for folder in (run, other, first, second):
        folder.mkdir()
    assert lock.turn(first, "one", ["a"], True, [run]) == (True, 1)
    assert lock.turn(first, "one", ["a"], False, [run]) == (True, 1)
    # a new folder of results: closed, but the looks are known
    assert lock.turn(second, "two", ["a"], False, [run]) == (False, 1)
    assert lock.turn(second, "two", ["a"], True, [run]) == (True, 2)
    # the same again is no new look
    assert lock.turn(second, "one", ["a"], True, [run]) == (True, 2)
    # of several runs, that which was looked at most; others catch up
    assert lock.turn(second, "three", ["a"], True, [other, run]) == (True, 3)
    assert json.loads((run / "looks.json").read_text()) == {
        "digests": ["one", "two", "three"]
    }
    # locks that are older than the notes count
    (run / "looks.json").unlink()
    assert lock.turn(second, "three", ["a"], False, [run]) == (True, 3)
    assert len(json.loads((run / "looks.json").read_text())["digests"]) == 3

    def full(file, content):
        if file.name == "looks.json":
            raise OSError("no space")
        write_json(file, content)

    write_json = lock.write_json
    monkeypatch.setattr(lock, "write_json", full)
    assert lock.turn(first, "four", ["a"], True, [run]).open
    assert "not noted in" in capsys.readouterr().err
    (run / "looks.json").write_text("[]")
    with pytest.raises(UserError, match=r"looks\.json is damaged.*move it away"):
        lock.turn(first, "four", ["a"], True, [run])
