"""Checkpoints: written whole or not at all, damage found, nothing written over."""

import json
import re
import shutil
from collections import namedtuple
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flowjax_ood.training.checkpoints import manifest
from flowjax_ood.training.checkpoints.checkpoints import CheckpointError, Checkpoints
from flowjax_ood.training.checkpoints.manifest import NOTES
from tests.helpers.tiny_run import assert_same

Moments = namedtuple("Moments", "count mean")  # as optax keeps them


def state(seed: int = 0, width: int = 3) -> dict:
    rng = np.random.default_rng(seed)
    return {
        "step": np.array(seed, np.int32),
        "params": {"layer": {"kernel": rng.normal(size=(4, width)).astype("f4")}},
        # large enough for a file of its own, which orbax does not checksum
        "large": rng.normal(size=(300, 400)).astype("f4"),
        "half": jnp.asarray(rng.normal(size=5), jnp.bfloat16),
        "ema": {},
        "opt_state": (optax.EmptyState(), Moments(np.int32(3), np.ones(width, "f4"))),
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A directory with checkpoints of steps 4 and 8; tests work on copies."""
    directory = tmp_path_factory.mktemp("written") / "checkpoints"
    with Checkpoints(directory) as checkpoints:
        for step in (4, 8):
            checkpoints.save(step, state(step), {"seconds": step / 2, "images": step})
    return directory


@pytest.fixture
def directory(written, tmp_path) -> Path:
    return shutil.copytree(written, tmp_path / "checkpoints")


def snapshot(directory: Path) -> dict:
    return {p: p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def error_of(directory, template=None, step=None) -> str:
    """The message of the error that restoring gives; it must change nothing."""
    before = snapshot(directory)
    with Checkpoints(directory) as checkpoints, pytest.raises(CheckpointError) as error:
        checkpoints.restore(template or state(), step)
    assert snapshot(directory) == before
    return str(error.value)


def test_what_is_saved_is_restored(directory):
    with Checkpoints(directory) as checkpoints:
        assert checkpoints.latest_step() == 8
        assert checkpoints.steps() == [4, 8]
        for step, want in ((None, 8), (8, 8), (4, 4)):
            found, facts = checkpoints.restore(state(), step)
            assert_same(found, state(want))
            assert jax.tree.structure(found) == jax.tree.structure(state())
            assert facts == {"seconds": want / 2, "images": want}
            assert all(isinstance(a, np.ndarray) for a in jax.tree.leaves(found))


def test_shapes_are_template_enough(directory):
    shapes = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, state()))
    with Checkpoints(directory) as checkpoints:
        found, _ = checkpoints.restore(shapes)
    assert_same(found, state(8))


@pytest.mark.parametrize("keep", [1, 3])
def test_the_newest_are_kept(tmp_path, keep):
    with Checkpoints(tmp_path / "c", keep) as checkpoints:
        for step in (1, 2, 5, 9):
            checkpoints.save(step, {"a": np.full(2, step)}, {})
        assert checkpoints.steps() == [1, 2, 5, 9][-keep:]
    names = {p.name for p in (tmp_path / "c").iterdir()}
    assert names == {str(s) for s in [1, 2, 5, 9][-keep:]}


@pytest.mark.parametrize("step", [8, 6, 4])
def test_nothing_is_written_over(directory, step):
    before = snapshot(directory)
    refused = pytest.raises(CheckpointError, match=rf"of step 8; that of step {step}")
    with Checkpoints(directory) as checkpoints, refused:
        checkpoints.save(step, state(1), {})
    assert snapshot(directory) == before


def test_looking_writes_nothing(tmp_path):
    with Checkpoints(tmp_path / "run" / "checkpoints") as checkpoints:
        assert checkpoints.latest_step() is None
        with pytest.raises(CheckpointError, match=r"no checkpoint in .*train first"):
            checkpoints.restore(state())
    assert list(tmp_path.iterdir()) == []


def test_a_step_that_is_not_there(directory):
    assert "no checkpoint of step 6" in error_of(directory, step=6)
    assert "[4, 8]" in error_of(directory, step=6)


@pytest.mark.parametrize("keep", [0, -1])
def test_keeping_none_is_refused(tmp_path, keep):
    with pytest.raises(ValueError, match=f"at least 1 checkpoint, not {keep}"):
        Checkpoints(tmp_path, keep)


def test_what_an_interrupted_save_leaves_is_no_checkpoint(directory):
    shutil.copytree(directory / "8", directory / "12.orbax-checkpoint-tmp-1700000000")
    with Checkpoints(directory) as checkpoints:
        assert checkpoints.latest_step() == 8
        checkpoints.save(12, state(12), {})
        assert_same(checkpoints.restore(state())[0], state(12))


def test_a_disk_that_refuses(tmp_path):
    (tmp_path / "file").touch()
    refused = pytest.raises(CheckpointError, match=r"4 cannot be written .*run again")
    with Checkpoints(tmp_path / "file" / "checkpoints") as checkpoints, refused:
        checkpoints.save(4, state(), {})


# ---- damage


def every_file(directory: Path) -> list[Path]:
    files = sorted(p for p in (directory / "8").rglob("*") if p.is_file())
    return [p for p in files if p.name not in ("manifest.json", NOTES)]


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


# ---- in the background


def test_in_the_background(tmp_path):
    """What is saved is what was given, though it changes; in order, and sealed."""
    told = []
    given = {"a": np.zeros(200_000), "b": jnp.ones(3)}
    with Checkpoints(
        tmp_path / "c",
        background=True,
        written=lambda step, seconds: told.append((step, seconds > 0)),
    ) as checkpoints:
        for step in (1, 2, 3):
            given["a"][:] = step
            checkpoints.save(step, given, {"step": step})
            given["a"][:] = -1
        checkpoints.wait()
        assert told == [(1, True), (2, True), (3, True)]
        assert checkpoints.steps() == [2, 3]
        for step in (2, 3):
            found, facts = checkpoints.restore(given, step)
            assert_same(found, {"a": np.full(200_000, step), "b": np.ones(3)})
            assert facts == {"step": step}
            assert (tmp_path / "c" / str(step) / "manifest.json").is_file()
            assert manifest.damage(tmp_path / "c" / str(step)) == ""


def test_a_disk_that_refuses_in_the_background(tmp_path, monkeypatch):
    """The next call says so, and what was saved before is there."""

    def refuse(path):
        raise OSError(28, "No space left on device")

    with Checkpoints(tmp_path / "c", background=True) as checkpoints:
        checkpoints.save(1, {"a": np.ones(3)}, {})
        checkpoints.wait()
        monkeypatch.setattr(manifest, "write", refuse)
        checkpoints.save(2, {"a": np.ones(3)}, {})
        with pytest.raises(CheckpointError, match=r"2 cannot be written .*No space"):
            checkpoints.wait()
        monkeypatch.undo()
        assert checkpoints.latest_step() == 1
        checkpoints.save(3, {"a": np.full(3, 3.0)}, {})
        checkpoints.wait()
        assert_same(checkpoints.restore({"a": np.ones(3)})[0], {"a": np.full(3, 3.0)})


def test_leftovers_are_cleaned(directory):
    left = directory / "12.orbax-checkpoint-tmp"
    shutil.copytree(directory / "8", left)
    with Checkpoints(directory) as checkpoints:
        checkpoints.clean()
        assert checkpoints.steps() == [4, 8]
    assert not left.exists()


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


def test_a_link_that_leads_nowhere_is_named(directory):
    elsewhere = directory.rename(directory.with_name("elsewhere"))
    directory.symlink_to(elsewhere.with_name("not_mounted"))
    message = f"{directory} is a link to {elsewhere.with_name('not_mounted')}, which is"
    assert message in error_of(directory)


def test_the_manifest_is_json_of_every_file(directory):
    recorded = json.loads((directory / "8" / "manifest.json").read_text())
    names = {str(p.relative_to(directory / "8")) for p in every_file(directory)}
    assert set(recorded["size and crc32"]) == names


# ---- another model


OTHERS = {
    "wider": (
        lambda: state(width=5),
        r"opt_state.1.mean is float32\[3\], the model needs float32\[5\]",
    ),
    "another dtype": (
        lambda: state() | {"step": np.float32(0)},
        r"step is int32\[\], the model needs float32\[\]",
    ),
    "another optimiser": (
        lambda: state() | {"opt_state": (optax.EmptyState(),)},
        r"opt_state.1.count is int32\[\], the model has none",
    ),
    "averaged parameters": (
        lambda: state() | {"ema": {"kernel": np.ones(2, "f4")}},
        r"ema.kernel is not in it, the model needs float32\[2\]",
    ),
    "another layer": (
        lambda: state() | {"params": {"other": {"kernel": np.ones((4, 3), "f4")}}},
        r"params.other.kernel is not in it",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_models_checkpoint_is_refused(directory, name):
    template, message = OTHERS[name]
    found = error_of(directory, template())
    assert "belongs to another model" in found
    assert "use the config it was trained with, or a new workdir" in found
    assert re.search(message, found)
