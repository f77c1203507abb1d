"""Streamed training: the run of the images in memory, bit for bit, whoever reads."""

import dataclasses
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import time

import jax
import numpy as np
import pytest

from experiments.cli import run
from experiments.core import build
from experiments.core.config import load_config
from experiments.core.data_identity import SAMPLED, fingerprint, keep_data, sampled_rows
from experiments.core.evaluation import TrainedFlow
from experiments.core.sets import check_others, load_sets
from experiments.inspect import InspectOptions
from experiments.inspect.subject import subject
from flowjax_ood import data
from flowjax_ood.interface.errors import UserError
from tests.helpers.experiment_runs import (
    CONFIGS,
    PYTHON,
    ROOT,
    TINY,
    environment,
    only_error,
    read_results,
)
from tests.helpers.prepared_tfds import prepare

STREAMED = "--config.data.streaming=True"
WAYS = {
    "inline": [STREAMED, "--config.data.read_ahead=0"],
    "threads": [STREAMED, "--config.data.read_threads=3"],
    "workers": [STREAMED, "--config.data.read_workers=2"],
    "memory_read_ahead": ["--config.data.read_ahead=2"],
}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """FashionMNIST and MNIST, some of them, as TFDS prepares them."""
    logging.getLogger("absl").setLevel(logging.ERROR)
    path = tmp_path_factory.mktemp("tfds")
    embedded = {"source": "embedded"}
    splits = {
        split: data.load(f"fashion_mnist:{split}", limit=count, **embedded).images
        for split, count in (("train", 70), ("test", 20))
    }
    prepare(path, splits, name="fashion_mnist", shards=2)
    digits = {
        split: data.load(f"mnist:{split}", limit=20, **embedded).images
        for split in ("train", "test")
    }
    prepare(path, digits, name="mnist")
    return path


@pytest.fixture(scope="module")
def arguments(data_dir):
    """Of `train`; batch norm, so that evaluation reads training images, too."""
    return [
        "train",
        *TINY,
        "--config.data.source=tfds",
        f"--config.data.path={data_dir}",
        "--config.data.limit_train=0",
        "--config.model.norm=batch",
        "--config.optimizer.schedule=constant",
        "--config.eval.samples=0",
    ]


def train(arguments, workdir, *more) -> None:
    assert run([*arguments, *more, f"--workdir={workdir}"]) == 0


@pytest.fixture(scope="module")
def in_memory(arguments, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "run"
    train(arguments, workdir)
    return workdir


def state_of(workdir):
    return TrainedFlow.restore(workdir).run.state


def assert_same_run(one, other) -> None:
    states = jax.tree.leaves_with_path(state_of(one))
    for (path, leaf), twin in zip(states, jax.tree.leaves(state_of(other))):
        np.testing.assert_array_equal(leaf, twin, err_msg=jax.tree_util.keystr(path))
    with (
        np.load(one / "likelihoods.npz") as ours,
        np.load(other / "likelihoods.npz") as theirs,
    ):
        assert ours.files == theirs.files
        for name in ours.files:
            np.testing.assert_array_equal(ours[name], theirs[name])
    losses = [
        [json.loads(line)["loss"] for line in lines]
        for lines in (
            (workdir / "metrics.jsonl").read_text().splitlines()
            for workdir in (one, other)
        )
    ]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 2


@pytest.fixture(scope="module")
def streamed(arguments, tmp_path_factory):
    """`{way: workdir}`, as they are asked for."""
    path = tmp_path_factory.mktemp("streamed")

    def run_of(way: str):
        if not (path / way).exists():
            train(arguments, path / way, *WAYS[way])
        return path / way

    return run_of


@pytest.mark.thorough
@pytest.mark.parametrize("name", WAYS)
def test_streamed_training_is_training_in_memory(in_memory, streamed, name):
    workdir, way = streamed(name), WAYS[name]
    assert_same_run(workdir, in_memory)
    described = read_results(workdir)["data"]
    expected = read_results(in_memory)["data"]
    if STREAMED in way:
        expected["train"]["streamed"] = True
    assert described == expected


@pytest.mark.thorough
def test_a_run_goes_on_however_its_images_are_read(arguments, in_memory, tmp_path):
    """Half of it from memory, the rest streamed."""
    workdir = tmp_path / "run"
    train(arguments, workdir, "--config.train.num_steps=2")
    train(arguments, workdir, *WAYS["workers"])
    assert_same_run(workdir, in_memory)


@pytest.mark.thorough
@pytest.mark.multiprocess
def test_ctrl_c_reaches_the_workers_too_and_the_run_goes_on(
    arguments, data_dir, tmp_path
):
    endless = ["--config.train.num_steps=1000000", "--config.train.log_every=1"]
    rare = "--config.train.checkpoint_every=1000000"
    command = [*PYTHON, *arguments, *WAYS["workers"], *endless, rare]
    metrics = tmp_path / "run" / "metrics.jsonl"
    with subprocess.Popen(
        [*command, f"--workdir={tmp_path / 'run'}"],
        cwd=ROOT,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        while process.poll() is None and not (
            metrics.exists() and metrics.stat().st_size
        ):
            time.sleep(0.1)
        # a terminal sends it to all of them
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "the checkpoint is saved" in err
    step = int(state_of(tmp_path / "run").step)
    assert step == len(metrics.read_text().splitlines()) > 0


@pytest.mark.thorough
def test_a_streamed_run_is_evaluated_and_inspected(streamed, tmp_path):
    workdir = shutil.copytree(streamed("threads"), tmp_path / "run")
    before = read_results(workdir)
    assert run(["evaluate", f"--workdir={workdir}"]) == 0
    after = read_results(workdir)
    assert after["bits_per_dim"] == before["bits_per_dim"]
    assert after["auroc"] == before["auroc"]
    # what `inspect` looks at
    looked_at = subject(TrainedFlow.restore(workdir), InspectOptions(count=8))
    assert list(looked_at.sets) == ["fashion_mnist", "mnist"]
    assert looked_at.draw("fashion_mnist", np.arange(2)).shape == (2, 28, 28, 1)


@pytest.mark.thorough
def test_a_streamed_run_does_not_go_on_with_other_images(
    arguments, data_dir, streamed, tmp_path, capsys
):
    workdir = shutil.copytree(streamed("threads"), tmp_path / "run")
    others = tmp_path / "tfds"
    shutil.copytree(data_dir, others)
    shutil.rmtree(others / "fashion_mnist")
    changed = data.load("fashion_mnist:train", source="embedded", limit=70).images
    changed = changed[::-1].copy()
    test = data.load("fashion_mnist:test", source="embedded", limit=20).images
    prepare(others, {"train": changed, "test": test}, name="fashion_mnist")
    capsys.readouterr()
    again = [*arguments, STREAMED, f"--config.data.path={others}"]
    assert run([*again, f"--workdir={workdir}"]) == 2
    assert "are not those" in only_error(capsys.readouterr().err)


def config_of(arguments, *more):
    given = [a.removeprefix("--config.") for a in (*arguments[2:], *more)]
    return load_config(arguments[1].removeprefix("--config="), given)


def test_fingerprints_of_a_streamed_set_are_of_a_sample(arguments, tmp_path):
    kept = load_sets(config_of(arguments)).train
    streamed = load_sets(config_of(arguments, STREAMED)).train
    found = fingerprint(streamed)
    assert found["shape"] == [70, 28, 28, 1]
    assert found["origin"] == kept.origin
    assert set(fingerprint(kept)) == {"shape", "sha256"}
    # a set goes by either, as long as it is the same set
    keep_data(kept, tmp_path)
    keep_data(streamed, tmp_path)
    (tmp_path / "data.json").unlink()
    keep_data(streamed, tmp_path)
    keep_data(kept, tmp_path)


def test_samples_are_spread_over_the_set():
    np.testing.assert_array_equal(sampled_rows(5), range(5))
    rows = sampled_rows(1_281_149)
    assert len(rows) == SAMPLED == len(set(rows))
    assert (rows[0], rows[-1]) == (0, 1_281_148)
    assert np.diff(rows).max() - np.diff(rows).min() <= 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--config.data.source=idx"], "'idx' has to be read as a whole.*tfds"),
        (["--config.data.read_threads=0"], "needs threads or workers"),
        (
            ["--config.data.read_ahead=0", "--config.data.read_workers=2"],
            "of use only to read ahead",
        ),
        (["--config.data.read_ahead=-2"], "data.read_ahead must be at least -1"),
    ],
)
def test_what_cannot_be_streamed_is_said_before_training(
    arguments, more, said, tmp_path, capsys
):
    workdir = tmp_path / "run"
    assert run([*arguments, STREAMED, *more, f"--workdir={workdir}"]) == 2
    error = only_error(capsys.readouterr().err)
    assert re.search(said, error), error
    assert not (workdir / "checkpoints").exists()


@pytest.mark.parametrize(
    "name", ["fashion_mnist_detect.py:smoke", "genomics_detect.py:smoke", "hepmass.py"]
)
def test_other_experiments_do_not_stream(name):
    with pytest.raises(UserError, match="streaming is for flows on images"):
        load_config(f"{CONFIGS}/{name}", ["data.streaming=True"])


def test_negatives_beside_a_streamed_set(arguments):
    negative = ["--config.train.negative=mnist:train"]
    kept = config_of(arguments, *negative)
    streamed = config_of(arguments, *negative, STREAMED)
    ours, theirs = (build.batches(c, load_sets(c)) for c in (streamed, kept))
    for name, rows in theirs(1).items():
        np.testing.assert_array_equal(ours(1)[name], rows)
    same = config_of(
        arguments, "--config.train.negative=fashion_mnist:train[1:]", STREAMED
    )
    with pytest.raises(UserError, match="are among the negatives"):
        load_sets(same)


def test_by_default_batches_are_read_in_the_steps_own_time(arguments):
    assert build.prefetch(config_of(arguments)).ahead == 0
    assert dataclasses.asdict(build.prefetch(config_of(arguments, STREAMED))) == {
        "ahead": build.READ_AHEAD,
        "threads": 2,
        "workers": 0,
    }


def test_a_streamed_set_by_another_name_is_no_ood_set(arguments):
    sets = load_sets(config_of(arguments, STREAMED))
    whole = sets.train.at(slice(None))
    for changed, alike in ((whole.images, True), (255 - whole.images, False)):
        twin = dataclasses.replace(whole, name="other", images=changed)
        others = sets._replace(ood={"other": twin})
        if not alike:
            check_others(others)
            continue
        with pytest.raises(UserError, match="the same as fashion_mnist:train"):
            check_others(others)
