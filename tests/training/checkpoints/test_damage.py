"""Damage to checkpoints is found and named, and training goes on from an older one."""

import shutil
from pathlib import Path

import pytest

from flowjax_ood.training.checkpoints.checkpoints import CheckpointError, Checkpoints
from flowjax_ood.training.checkpoints.manifest import NOTES
from tests.helpers.checkpoint_files import error_of, every_file, snapshot, state
from tests.helpers.tiny_run import assert_same


def delete(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip_one_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("spoil", [delete, truncate, empty, flip_one_bit])
def test_damage_to_any_file_is_found(written, directory, spoil):
    """Names the checkpoint, the file and the remedy, and changes nothing."""
    files = every_file(directory)
    assert len(files) >= 7
    for file in files:
        whole = file.read_bytes()
        if spoil is empty and not whole:
            continue
        spoil(file)
        message = error_of(directory)
        assert f"checkpoint {directory / '8'} cannot be restored" in message
        assert file.name in message
        assert "`train` goes on from step 4" in message
        file.write_bytes(whole)
    with Checkpoints(directory) as checkpoints:
        assert_same(checkpoints.restore(state())[0], state(8))


@pytest.mark.parametrize("gone", ["state", "facts", ""])
def test_missing_folders_are_damage(directory, gone):
    shutil.rmtree(directory / "8" / gone)
    (directory / "8").mkdir(exist_ok=True)
    message = error_of(directory)
    assert str(directory / "8") in message
    assert "damaged" in message


@pytest.mark.parametrize("content", ["", "{", "[]", '{"size and crc32": {"a": 3}}'])
def test_an_unreadable_manifest_is_damage(directory, content):
    (directory / "8" / "manifest.json").write_text(content)
    assert "manifest.json is unreadable" in error_of(directory)


def test_without_a_manifest_orbax_still_checks(directory):
    """A crash between the last file and the manifest leaves a whole checkpoint."""
    (directory / "8" / "manifest.json").unlink()
    with Checkpoints(directory) as checkpoints:
        assert_same(checkpoints.restore(state())[0], state(8))
    truncate(directory / "8" / "state" / "_METADATA")
    assert "damaged" in error_of(directory)


@pytest.mark.parametrize("spoil", [delete, truncate, empty, flip_one_bit])
def test_damaged_notes_do_no_harm(directory, spoil):
    """Orbax's own, of when it was done: no data of ours."""
    spoil(directory / "8" / NOTES)
    with Checkpoints(directory) as checkpoints:
        assert_same(checkpoints.restore(state())[0], state(8))


def test_the_remedy_without_an_older_checkpoint(directory):
    shutil.rmtree(directory / "4")
    truncate(every_file(directory)[-1])
    assert "no other one that is whole: restore it, or train" in error_of(directory)


def test_no_damaged_checkpoint_is_a_remedy(directory):
    """Of two that are damaged, neither is what training goes on from."""
    truncate(every_file(directory)[-1])
    truncate(directory / "4" / every_file(directory)[-1].relative_to(directory / "8"))
    assert "no other one that is whole: restore it, or train" in error_of(directory)


def test_facts_of_another_shape_are_damage(directory):
    """Without a manifest, which a crash can leave out, nothing else tells of it."""
    (directory / "8" / "manifest.json").unlink()
    (directory / "8" / "facts" / "metadata").write_text("[1]")
    assert "it is damaged: its facts are [1]" in error_of(directory)


# ---- falling back


def newest(directory):
    with Checkpoints(directory) as checkpoints:
        return checkpoints.restore_newest(state())


def test_a_whole_newest_checkpoint_is_taken(directory):
    before = snapshot(directory)
    found, facts, aside = newest(directory)
    assert_same(found, state(8))
    assert (facts, aside) == ({"seconds": 4.0, "images": 8}, [])
    assert snapshot(directory) == before


@pytest.mark.parametrize("spoil", [delete, truncate, empty, flip_one_bit])
def test_a_damaged_newest_checkpoint_is_set_aside(directory, spoil):
    """The one before it is taken, nothing is lost, and its step can be saved again."""
    spoil(directory / "8" / "state" / "manifest.ocdbt")
    before = snapshot(directory / "8")
    found, facts, aside = newest(directory)
    assert_same(found, state(4))
    assert facts == {"seconds": 2.0, "images": 4}
    [(step, reason, place)] = aside
    assert (step, place) == (8, directory.parent / "damaged_checkpoints" / "8")
    assert "manifest.ocdbt" in reason
    kept = {p.relative_to(place): b for p, b in snapshot(place).items()}
    assert kept == {p.relative_to(directory / "8"): b for p, b in before.items()}
    with Checkpoints(directory) as checkpoints:
        assert checkpoints.steps() == [4]
        checkpoints.save(8, state(1), {})
        assert_same(checkpoints.restore(state())[0], state(1))
    # once more: the first one is not written over
    spoil(directory / "8" / "state" / "manifest.ocdbt")
    assert newest(directory)[2][0].path == place.with_name("8+")
    assert place.is_dir()


# orbax leaves a closed event loop behind when it fails
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("spoil", [truncate, empty])
def test_damage_is_found_without_a_manifest(directory, spoil):
    """A crash can come before it is written."""
    (directory / "8" / "manifest.json").unlink()
    spoil(directory / "8" / "state" / "manifest.ocdbt")
    found, _, aside = newest(directory)
    assert_same(found, state(4))
    assert [damaged.step for damaged in aside] == [8]


def test_a_reading_that_fails_is_no_damage(directory, monkeypatch):
    """Its files are what was written: nothing is set aside, and no step is lost."""
    before = snapshot(directory)

    def stale(*args, **kwargs):
        raise OSError(116, "Stale file handle")

    with Checkpoints(directory) as checkpoints:
        monkeypatch.setattr(checkpoints._manager, "restore", stale)
        with pytest.raises(CheckpointError, match=r"8 .*cannot be read: .*Stale"):
            checkpoints.restore_newest(state())
    assert snapshot(directory) == before
    assert_same(newest(directory)[0], state(8))


def test_several_damaged_ones_are_set_aside(directory):
    with Checkpoints(directory, keep=3) as checkpoints:
        checkpoints.save(12, state(12), {})
    for step in (8, 12):
        truncate(directory / str(step) / "state" / "manifest.ocdbt")
    found, _, aside = newest(directory)
    assert_same(found, state(4))
    assert [damaged.step for damaged in aside] == [12, 8]


def test_where_none_is_whole_nothing_is_changed(directory):
    """Never a silent start from nothing."""
    for step in (4, 8):
        truncate(directory / str(step) / "state" / "manifest.ocdbt")
    before = snapshot(directory)
    all_of_them = r"all are damaged \(step 8: .*; step 4: "
    with pytest.raises(CheckpointError, match=all_of_them):
        newest(directory)
    assert snapshot(directory) == before
    assert not (directory.parent / "damaged_checkpoints").exists()


def test_another_model_is_no_damage(directory):
    before = snapshot(directory)
    refused = pytest.raises(CheckpointError, match="another model")
    with Checkpoints(directory) as checkpoints, refused:
        checkpoints.restore_newest(state(width=5))
    assert snapshot(directory) == before
