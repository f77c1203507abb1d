"""Streams: an alarm with a bound, a state that survives; and the exported program."""

import io
import json
import os
import shutil
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from flowjax_ood.interface import streams
from flowjax_ood.tool.cli import run
from flowjax_ood.tool.watch import Watch, _arrivals
from tests.tool.conftest import new_images, normal_images, write


def watch(detector, path, tmp_path, *more, state="state.npz"):
    options = ["--once", "--state", str(tmp_path / state)]
    return run(["watch", str(detector), str(path), *options, *more])


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_images_are_scored_once_as_they_arrive(detector, tmp_path, capsys):
    folder = write(tmp_path / "in", normal_images(3, 8))
    assert watch(detector, folder, tmp_path) == 0
    assert [line["image"] for line in lines(capsys)] == [
        "000.png",
        "001.png",
        "002.png",
    ]
    write(folder, normal_images(2, 9), "b")
    (folder / "c.png").write_bytes(b"none")
    assert watch(detector, folder, tmp_path) == 0
    found = lines(capsys)
    assert [line["image"] for line in found] == ["b000.png", "b001.png", "c.png"]
    assert found[2]["decision"] == "unreadable"
    assert watch(detector, folder, tmp_path) == 0
    assert lines(capsys) == []
    # one that is written anew is another image
    write(folder, new_images(1, 7), "b")
    assert watch(detector, folder, tmp_path) == 0
    assert [line["image"] for line in lines(capsys)] == ["b000.png"]


def test_a_restart_changes_nothing(detector, tmp_path, capsys):
    folder = write(tmp_path / "in", normal_images(4, 8))
    watch(detector, folder, tmp_path)
    write(folder, normal_images(4, 9), "b")
    watch(detector, folder, tmp_path)
    parts = lines(capsys)
    watch(detector, folder, tmp_path, state="other.npz")
    whole = lines(capsys)
    assert [w["log_wealth"] for w in whole] == [p["log_wealth"] for p in parts]


def test_drift_rings_and_stays_known(detector, tmp_path, capsys):
    folder = write(tmp_path / "in", new_images(12, 8))
    assert watch(detector, folder, tmp_path, "--fail") == 3
    said = capsys.readouterr()
    assert "warning: drift, at image" in said.err
    assert "a probability of at most 0.01" in said.err
    last = json.loads(said.out.splitlines()[-1])
    assert 1 <= last["alarm_at"] <= 12
    assert last["log_wealth"] > np.log(100)
    # known from the start, and what is new is scored all the same
    write(folder, normal_images(1, 1), "z")
    assert watch(detector, folder, tmp_path, "--fail") == 3
    said = capsys.readouterr()
    assert "in an earlier run" in said.err
    assert len(said.out.splitlines()) == 1


def test_json_lines_are_watched_too(detector, tmp_path, capsys, monkeypatch):
    folder = write(tmp_path / "in", normal_images(2, 8))
    files = [json.dumps({"path": str(folder / f"00{i}.png")}) for i in range(2)]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n\n".join(files) + "\n"))
    state = ["--state", str(tmp_path / "s.npz")]
    assert run(["watch", str(detector), "-", *state]) == 0
    found = lines(capsys)
    assert [line["image"] for line in found] == [
        str(folder / f"00{i}.png") for i in (0, 1)
    ]
    for bad in ("[1]", "no", '{"vector": [1]}', '{"path": 3}'):
        text = f"{bad}\n{files[0]}\n"
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        assert run(["watch", str(detector), "-", *state]) == 0
        first, second = lines(capsys)
        assert first["image"] == "line 1 of standard input"
        assert first["decision"] == "unreadable"
        # and those after it are read
        assert second["decision"] == "normal"


def test_vectors_on_standard_input(tmp_path, capsys, monkeypatch):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", embeddings=rng.normal(size=(60, 3)))
    path = str(tmp_path / "detector")
    assert run(["fit", str(tmp_path / "x.npz"), "--out", path]) == 0
    capsys.readouterr()
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"vector": [9, 9, 9]}\n'))
    assert run(["watch", path, "-", "--alpha", "0.05"]) == 0
    assert lines(capsys)[0]["decision"] == "new"
    for bad in ("[9, 9]", f"[1, 1, {10**400}]", "[1, 1, 1e39]", '"a"'):
        monkeypatch.setattr(sys, "stdin", io.StringIO(f'{{"vector": {bad}}}\n'))
        assert run(["watch", path, "-"]) == 0
        assert 'no "vector" of 3 finite numbers' in lines(capsys)[0]["problem"]
    assert run(["watch", path, str(tmp_path)]) == 2
    assert "is of embeddings, which no folder has" in capsys.readouterr().err


def test_an_alpha_that_nothing_reaches_is_told_of(detector, tmp_path, capsys):
    folder = write(tmp_path / "in", new_images(2, 8))
    watch(detector, folder, tmp_path)
    said = capsys.readouterr()
    assert "alpha is 0.05: 0.01 takes 99 images" in said.err
    decisions = [json.loads(line)["decision"] for line in said.out.splitlines()]
    assert decisions == ["new", "new"]


def test_what_nobody_reads_is_not_remembered(detector, tmp_path, capsys, monkeypatch):
    folder = write(tmp_path / "in", normal_images(2, 8))
    with monkeypatch.context() as patch:
        gone = OSError(28, "No space left on device")
        patch.setattr(streams, "lost", lambda stream: gone)
        assert watch(detector, folder, tmp_path) == 2
    assert "nobody reads what is printed" in capsys.readouterr().err
    assert watch(detector, folder, tmp_path) == 0
    assert len(lines(capsys)) == 2


def test_an_interrupted_batch_is_bet_on_once(detector, tmp_path, capsys, monkeypatch):
    folder = write(tmp_path / "in", normal_images(4, 8))
    keep = Watch.keep
    with monkeypatch.context() as patch:

        def stop(self, state):
            raise KeyboardInterrupt

        patch.setattr(Watch, "keep", stop)
        assert watch(detector, folder, tmp_path) == 130
    assert Watch.keep is keep
    capsys.readouterr()
    watch(detector, folder, tmp_path)
    again = lines(capsys)
    watch(detector, folder, tmp_path, state="other.npz")
    assert lines(capsys) == again


def test_text_that_is_none_loses_its_own_line_alone(
    detector, tmp_path, capsys, monkeypatch
):
    folder = write(tmp_path / "in", normal_images(1, 8))
    good = json.dumps({"path": str(folder / "000.png")}).encode()
    text = io.BytesIO(b"\n".join([good, b'{"path": "\xff"}', good, b""]))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(text, encoding="utf-8"))
    assert run(["watch", str(detector), "-", "--state", str(tmp_path / "s.npz")]) == 0
    decisions = [line["decision"] for line in lines(capsys)]
    assert decisions == ["normal", "unreadable", "normal"]


def test_a_time_to_come_is_of_another_clock(tmp_path):
    folder = write(tmp_path / "in", normal_images(2, 8))
    for name, ahead in (("000.png", 3600), ("001.png", 0)):
        moment = time.time() + ahead
        os.utime(folder / name, (moment, moment))
    args = SimpleNamespace(once=False, interval=30)
    seen = SimpleNamespace(seen=frozenset(), forget=lambda *_: None)
    arrivals = _arrivals(folder, seen, args)
    # what was written just now may be half there
    assert next(arrivals).names == ("000.png",)


def test_files_that_are_gone_for_a_week_are_forgotten(
    detector, tmp_path, capsys, monkeypatch
):
    def seen():
        with np.load(tmp_path / "state.npz") as kept:
            return json.loads(str(kept["about"]))

    folder = write(tmp_path / "in", normal_images(3, 8))
    watch(detector, folder, tmp_path)
    kept = (folder / "001.png").read_bytes(), os.stat(folder / "001.png")
    for name in ("000.png", "001.png"):
        (folder / name).unlink()
    capsys.readouterr()
    begin, days = time.time(), 24 * 3600
    watch(detector, folder, tmp_path)
    assert len(seen()["seen"]) == 3
    assert len(seen()["missed"]) == 2
    # a drive that is back within the week has nothing new
    (folder / "001.png").write_bytes(kept[0])
    os.utime(folder / "001.png", ns=(kept[1].st_atime_ns, kept[1].st_mtime_ns))
    monkeypatch.setattr(time, "time", lambda: begin + 6 * days)
    watch(detector, folder, tmp_path)
    assert len(seen()["missed"]) == 1
    monkeypatch.setattr(time, "time", lambda: begin + 8 * days)
    watch(detector, folder, tmp_path)
    assert lines(capsys) == []
    assert [key.split()[0] for key in seen()["seen"]] == ["001.png", "002.png"]
    assert seen()["missed"] == {}


def test_the_state_of_something_else_is_refused(detector, tmp_path, capsys):
    one = write(tmp_path / "one", normal_images(2, 8))
    two = write(tmp_path / "two", normal_images(2, 8))
    watch(detector, one, tmp_path)
    assert watch(detector, two, tmp_path) == 2
    assert "it is of another watched" in capsys.readouterr().err
    assert watch(detector, one, tmp_path, "--alarm", "50") == 2
    assert "of another alarm, 100.0 and not 50.0" in capsys.readouterr().err
    np.savez(tmp_path / "any.npz", a=1)
    assert watch(detector, one, tmp_path, state="any.npz") == 2
    assert "about" in capsys.readouterr().err
    (tmp_path / "state.npz").write_bytes(b"none")
    assert watch(detector, one, tmp_path) == 2
    assert "not an .npz archive" in capsys.readouterr().err
    assert watch(detector, tmp_path / "none", tmp_path) == 2
    assert "is no folder" in capsys.readouterr().err
    assert watch(detector, one, tmp_path, state="s.txt") == 2
    assert "must be a file NAME.npz" in capsys.readouterr().err


def test_a_new_detector_begins_anew(detector, normal, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(detector, other)
    folder = write(tmp_path / "in", normal_images(2, 8))
    watch(other, folder, tmp_path)
    options = ["--method", "pixels", "--seed", "1", "--overwrite"]
    assert run(["fit", str(normal), "--out", str(other), *options]) == 0
    capsys.readouterr()
    assert watch(other, folder, tmp_path) == 2
    assert "another detector" in capsys.readouterr().err


def test_the_program_of_export_agrees(detector, tmp_path, capsys):
    import jax

    out = tmp_path / "program"
    options = ["--out", str(out), "--platforms", "cpu"]
    assert run(["export", str(detector), *options]) == 0
    takes = json.loads((tmp_path / "program.json").read_text())["takes"]
    assert takes == [{"dtype": "uint8", "shape": ["B", 12, 12, 1]}]
    images = normal_images(5, 9)
    folder = write(tmp_path / "in", images)
    run(["score", str(detector), str(folder), "--out", str(tmp_path / "out")])
    program = jax.export.deserialize(out.read_bytes())
    p, score, _ = program.call(images[..., None])
    text = (tmp_path / "out" / "decisions.jsonl").read_text()
    found = [json.loads(line) for line in text.splitlines()]
    np.testing.assert_allclose(score, [r["score"] for r in found], rtol=1e-3)
    np.testing.assert_allclose(p, [r["p_value"] for r in found], atol=0.04)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "x", "--platforms", "abacus"], "is not one of cpu, cuda, tpu"),
        (["--out", "."], "is a directory"),
    ],
)
def test_what_cannot_be_exported_is_said(detector, options, message, capsys):
    assert run(["export", str(detector), *options]) == 2
    assert message in capsys.readouterr().err
