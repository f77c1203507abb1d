"""A workdir belongs to one process at a time, and to one set of training images."""

import dataclasses
import fcntl
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from experiments.cli import run
from experiments.core.config import load_config
from experiments.core.data_identity import _check_equal, fingerprint, keep_data
from experiments.core.run_config import keep_config
from experiments.core.workdir import InUseError, locked
from flowjax_ood import data
from flowjax_ood.interface.errors import UserError
from tests.helpers.experiment_runs import TINY, only_error

CPU = "experiments/configs/fashion_mnist_realnvp.py:cpu"


def images(spec="fashion_mnist:test", limit=8):
    return data.load(spec, source="embedded", limit=limit)


def test_the_same_images_go_on_wherever_they_come_from(tmp_path):
    keep_data(images(), tmp_path)
    kept = (tmp_path / "data.json").read_bytes()
    keep_data(dataclasses.replace(images(), source="npz", origin="a copy"), tmp_path)
    assert (tmp_path / "data.json").read_bytes() == kept


@pytest.mark.parametrize("content", ["", "[", "[]", "null", "5", "{}", "[" * 100_000])
def test_what_is_no_account_of_the_data_is_said(tmp_path, content):
    (tmp_path / "data.json").write_text(content)
    with pytest.raises(UserError, match=r"data\.json is damaged: .*; restore it"):
        keep_data(images(), tmp_path)
    assert (tmp_path / "data.json").read_text() == content


@pytest.mark.parametrize("change", ["fewer", "one pixel", "another set"])
def test_other_images_are_refused(tmp_path, change):
    keep_data(images(), tmp_path)
    kept = (tmp_path / "data.json").read_bytes()
    other = images()
    if change == "fewer":
        other = other.take(7)
    elif change == "one pixel":
        pixels = other.images.copy()
        pixels[3, 5, 5] ^= 1
        other = dataclasses.replace(other, images=pixels)
    else:
        other = images("mnist:test")
    with pytest.raises(UserError, match=r"not those .* was trained on.*another --work"):
        keep_data(other, tmp_path)
    assert (tmp_path / "data.json").read_bytes() == kept


@pytest.mark.thorough
@pytest.mark.multiprocess
def test_two_processes_do_not_share_a_workdir(tmp_path):
    code = (
        "import pathlib, sys, experiments.core.workdir as w\n"
        "with w.locked(pathlib.Path(sys.argv[1])): print('in', flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as other:
        assert other.stdout.readline() == "in\n"
        message = f"in use by process {other.pid}"
        with pytest.raises(UserError, match=message), locked(tmp_path):
            pass
        other.communicate("\n")
    # it went with the process
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("goes", [True, False])
def test_a_run_that_starts_while_someone_looks_is_not_refused(tmp_path, goes):
    """`status` holds the lock, shared, for an instant; one that stays is refused."""
    with (tmp_path / ".lock").open("w+") as looking:
        looking.write("17")
        looking.flush()
        fcntl.flock(looking, fcntl.LOCK_SH)
        if goes:
            release = threading.Timer(0.02, fcntl.flock, (looking, fcntl.LOCK_UN))
            release.start()
            with locked(tmp_path), pytest.raises(BlockingIOError):
                fcntl.flock(looking, fcntl.LOCK_SH | fcntl.LOCK_NB)
        else:
            with pytest.raises(InUseError, match="by process 17"), locked(tmp_path):
                pass


def test_a_run_may_become_longer_where_no_schedule_looks_at_its_end(tmp_path):
    constant = ["optimizer.schedule=constant"]
    keep_config(load_config(CPU, constant), tmp_path)
    keep_config(load_config(CPU, [*constant, "train.num_steps=2000"]), tmp_path)
    keep_config(load_config(CPU), tmp_path / "cosine")
    with pytest.raises(UserError, match=r"train\.num_steps"):
        keep_config(load_config(CPU, ["train.num_steps=2000"]), tmp_path / "cosine")


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize(
    "change", ["parallel=pmap", "fsdp=2", "train.steps_per_call=4"]
)
def test_how_a_run_is_spread_may_change(tmp_path, norm, change):
    """Statistics of batch norm are of the whole batch, however it is split."""
    of = [f"model.norm={norm}"]
    keep_config(load_config(CPU, of), tmp_path)
    keep_config(load_config(CPU, [*of, change]), tmp_path)


def test_classifiers_keep_their_parallelism(tmp_path):
    """Dropout is drawn on each device."""
    detect = CPU.replace("realnvp.py:cpu", "detect.py:smoke")
    keep_config(load_config(detect), tmp_path)
    with pytest.raises(UserError, match="parallel"):
        keep_config(load_config(detect, ["parallel=jit"]), tmp_path)


def test_data_of_another_host_are_refused():
    lead, own = fingerprint(images()), fingerprint(images())
    _check_equal(own, lead)
    own["sha256"] = "0"
    with pytest.raises(UserError, match=r"not those of process 0 \(sha256 differ"):
        _check_equal(own, lead)


def test_hashes_see_every_byte():
    plain = images()
    turned = np.asfortranarray(plain.images)
    again = dataclasses.replace(plain, images=turned)
    assert fingerprint(again) == fingerprint(plain)


@pytest.mark.thorough
def test_a_run_that_is_refused_changes_no_config(tmp_path, capsys):
    """Another process trains there, by other keys that may change."""
    assert run(["train", *TINY, f"--workdir={tmp_path}"]) == 0
    before = (tmp_path / "config.json").read_bytes()
    capsys.readouterr()
    with locked(tmp_path):
        argv = ["train", *TINY, "--config.train.log_every=1", f"--workdir={tmp_path}"]
        assert run(argv) == 2
    assert "is in use by process" in only_error(capsys.readouterr().err)
    assert (tmp_path / "config.json").read_bytes() == before


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs Linux")
def test_a_workdir_that_nobody_may_write(capsys):
    """Not even root."""
    assert run(["train", *TINY, "--workdir=/proc/run"]) == 2
    message = only_error(capsys.readouterr().err)
    assert "cannot write in --workdir /proc/run" in message
