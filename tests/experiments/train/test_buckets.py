"""Runs and data in a bucket: the commands leave and say what they do on a disk."""

import json
import sys

import numpy as np
import pytest

from experiments.cli import run
from experiments.core.workdir import InUseError, locked
from flowjax_ood.data.loading import load
from flowjax_ood.data.sources.idx import encode_idx
from flowjax_ood.runtime import bucket_client, leases
from flowjax_ood.runtime.files import write_bytes
from flowjax_ood.runtime.paths import as_path
from tests.helpers.experiment_runs import TINY, only_error, snapshot


@pytest.fixture(scope="module")
def workdir(emulator):
    """Workdir in a bucket of the run that `tiny_run` is on a disk."""
    url = f"{emulator.bucket()}/runs/tiny"
    average = "--config.optimizer.ema_decay=0.5"
    assert run(["train", *TINY, average, f"--workdir={url}"]) == 0
    return as_path(url)


@pytest.mark.thorough
def test_a_run_leaves_what_it_leaves_on_a_disk(workdir, tiny_run):
    names = {str(path.relative_to(workdir)) for path in workdir.objects()}
    for file in ("config.json", "data.json"):
        assert (workdir / file).read_bytes() == (tiny_run / file).read_bytes()
    theirs = {name.partition("/")[0] for name in snapshot(tiny_run)}
    ours = {name.partition("/")[0].removesuffix(".parts") for name in names}
    # another test may have left the results of its command in the shared run
    assert ours == theirs - {"precision.json"}
    files = (workdir / "results.json", tiny_run / "results.json")
    results = [json.loads(file.read_text()) for file in files]
    for key in ("bits_per_dim", "auroc", "steps", "params"):
        assert results[0][key] == results[1][key]


@pytest.mark.thorough
def test_status_and_evaluate_read_it(workdir, capsys):
    assert run(["evaluate", f"--workdir={workdir}", "--config.eval.seed=5"]) == 0
    assert f"results and figures are in {workdir}" in capsys.readouterr().out
    assert json.loads((workdir / "results.json").read_text())["eval"]["seed"] == 5
    # from a folder above, too
    for given in (workdir, workdir.parent):
        assert run(["status", f"--workdir={given}", "--json", "--check"]) == 0
        [record] = json.loads(capsys.readouterr().out)["runs"]
        assert (record["workdir"], record["name"]) == (str(workdir), "tiny")
        assert (record["state"], record["step"]) == ("evaluated", 4)
        assert record["checkpoint"]["intact"] is True
        assert record["disk_free_bytes"] is None
    assert run(["status", f"--workdir={workdir}"]) == 0
    assert "evaluated" in capsys.readouterr().out


@pytest.mark.thorough
def test_two_writers(workdir, monkeypatch, capsys):
    monkeypatch.setattr(leases, "BEAT", 0.2)
    before = snapshot_of(workdir)
    with locked(workdir):
        with pytest.raises(InUseError, match=r"is in use by process .* of .*; wait"):
            locked(workdir).__enter__()
        assert run(["train", *TINY, f"--workdir={workdir}"]) == 2
    assert "belongs to another config" in capsys.readouterr().err
    assert snapshot_of(workdir) == before


def snapshot_of(workdir) -> dict[str, bytes]:
    inside = (path for path in workdir.objects() if ".lock" not in str(path))
    return {str(path): path.read_bytes() for path in inside}


def test_what_a_bucket_does_not_do_is_said(workdir, capsys, monkeypatch):
    def refused(*argv) -> str:
        with pytest.raises(SystemExit) as ended:
            run([*argv])
        assert ended.value.code == 2
        return capsys.readouterr().err

    assert "alone take --workdir in a bucket" in refused(
        "samples", f"--workdir={workdir}"
    )
    assert "gs://NAME/DIR" in refused("status", "--workdir=az://bucket/run")
    bucket_client.store.cache_clear()
    for module in ("s3_store", "gs_store"):
        monkeypatch.setitem(sys.modules, f"flowjax_ood.runtime.{module}", None)
    same = (*TINY, "--config.optimizer.ema_decay=0.5", f"--workdir={workdir}")
    for argv in (("status", same[-1]), ("evaluate", same[-1]), ("train", *same)):
        assert run([*argv]) == 2
        assert "pip install -e '.[buckets]'" in only_error(capsys.readouterr().err)
    monkeypatch.undo()
    bucket_client.store.cache_clear()


@pytest.mark.parametrize("option", ["--tensorboard", "--profile=1:2"])
def test_what_needs_a_disk_says_so(workdir, option, capsys):
    same = (*TINY, "--config.optimizer.ema_decay=0.5", f"--workdir={workdir}")
    assert run(["train", *same, option]) == 2
    error = only_error(capsys.readouterr().err)
    assert error.startswith(option.partition("=")[0])
    assert "cannot be written to a bucket" in error


def test_a_bucket_that_fails_is_an_error_in_words(
    emulator, bucket, monkeypatch, capsys
):
    monkeypatch.setenv(bucket_client.PATIENCE, "0.4")
    emulator.faults({"how": "refuse"})
    assert run(["train", *TINY, f"--workdir={bucket}/run"]) == 2
    assert "the bucket failed for 0.4 s" in only_error(capsys.readouterr().err)
    emulator.faults()
    assert run(["status", f"--workdir={bucket}/run"]) == 2
    assert "no directory" in only_error(capsys.readouterr().err)


def test_data_are_read_from_a_bucket(bucket, tmp_path):
    images = np.arange(6 * 8 * 8, dtype=np.uint8).reshape(6, 8, 8, 1)
    labels = np.arange(6, dtype=np.uint8)
    place = as_path(bucket) / "data"
    for file, array in (("images-idx3", images[..., 0]), ("labels-idx1", labels)):
        name = f"fashion-mnist/raw/train-{file}-ubyte"
        write_bytes(place / name, encode_idx(array))
    with (tmp_path / "own.npz").open("wb") as file:
        np.savez(file, train=images, train_labels=labels)
    (place / "own.npz").upload(tmp_path / "own.npz")
    for spec, source in (("fashion_mnist:train", "idx"), ("own:train", "npz")):
        read = load(spec, source=source, path=str(place))
        np.testing.assert_array_equal(read.images, images)
        np.testing.assert_array_equal(read.labels, labels)
        assert str(place) in read.origin
    with pytest.raises(FileNotFoundError, match=r"no directory '(s3|gs)://"):
        load("fashion_mnist:train", source="idx", path=f"{place}/absent")
    with pytest.raises(ValueError, match="source 'folder' reads no bucket"):
        load("own:train", source="folder", path=str(place))
