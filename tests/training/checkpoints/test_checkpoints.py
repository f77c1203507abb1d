"""Checkpoints: written whole or not at all, nothing written over."""

import json
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flowjax_ood.training.checkpoints import manifest
from flowjax_ood.training.checkpoints.checkpoints import CheckpointError, Checkpoints
from tests.helpers.checkpoint_files import error_of, every_file, snapshot, state
from tests.helpers.tiny_run import assert_same


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
