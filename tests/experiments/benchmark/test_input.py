"""`benchmark --data`: how fast images are read, beside what the step takes."""

import csv
import json
import multiprocessing
import time

import numpy as np
import pytest

from experiments.benchmark import input
from experiments.benchmark.cases import Case
from experiments.benchmark.input import (
    Reading,
    Round,
    make_rows,
    processor_seconds,
    time_feed,
    verdict,
)
from experiments.cli import run
from experiments.core.config import load_config
from flowjax_ood import data
from flowjax_ood.training.feed import Feed, Prefetch
from tests.helpers.experiment_runs import CONFIGS, only_error

TINY = ("benchmark", "--data", f"--config={CONFIGS / 'demo.py'}:smoke")
QUICK = ("--seconds=0.05", "--repeats=2")


def test_the_command_leaves_its_numbers_and_a_verdict(tmp_path, capsys):
    argv = [*TINY, *QUICK, "--need=1000", "--batch=8,16", "--interleave"]
    assert run([*argv, f"--out={tmp_path}"]) == 0
    content = json.loads((tmp_path / "benchmark_data.json").read_text())
    assert content["finished"]
    assert content["need_is"] == "given"
    rows = content["rows"]
    assert [row["batch_size"] for row in rows] == [8, 16]
    for row in rows:
        assert row["set"] == "fashion_mnist:train"
        assert (row["source"], row["held"]) == ("embedded", "in memory")
        assert (row["images"], row["image_shape"]) == (256, "28x28x1")
        rate = row["input_images_per_second"]
        low = row["input_images_per_second_min"]
        assert 0 < low <= rate <= row["input_images_per_second_max"]
        assert row["step_images_per_second"] == 1000
        assert row["ratio"] == pytest.approx(rate / 1000)
        assert row["bottleneck"] == (rate < 1000)
        by_core = row["input_images_per_core_second"]
        assert row["cores_needed"] == pytest.approx(1000 / by_core)
    with (tmp_path / "benchmark_data.csv").open() as file:
        found = list(csv.DictReader(file))
    assert [row["batch_size"] for row in found] == ["8", "16"]
    markdown = (tmp_path / "benchmark_data.md").read_text()
    assert markdown.startswith("fashion_mnist:train, source embedded, in memory, 256 i")
    assert "* batch 8: " in markdown
    assert markdown in capsys.readouterr().out


def test_the_need_is_measured_where_it_is_not_given(tmp_path, monkeypatch):
    taken = []

    def step_rate(case, args):
        taken.append(case.config.train.batch_size)
        return 10.0 * case.config.train.batch_size

    monkeypatch.setattr(input, "step_rate", step_rate)
    argv = [*TINY, *QUICK, "--batch=8,16", "--vary=data.read_ahead=0,2"]
    assert run([*argv, f"--out={tmp_path}"]) == 0
    content = json.loads((tmp_path / "benchmark_data.json").read_text())
    assert content["need_is"] == "measured on the devices here"
    rows = [
        (r["read_ahead"], r["batch_size"], r["step_images_per_second"])
        for r in content["rows"]
    ]
    assert rows == [(0, 8, 80), (0, 16, 160), (2, 8, 80), (2, 16, 160)]
    # once for each step there is: it knows nothing of how images are read
    assert taken == [8, 16]


@pytest.mark.thorough
def test_a_step_is_timed():
    from argparse import Namespace

    config = load_config(
        f"{CONFIGS / 'demo.py'}:smoke",
        ["model.scales=1", "model.couplings=2", "model.width=2", "model.blocks=0"],
    )
    case = Case("train", config, {"batch_size": 16, "stack": "chain"})
    rate = input.step_rate(case, Namespace(seconds=0.01, repeats=2))
    assert 1 < rate < 1e7


def reading(rounds=(), need=100.0) -> Reading:
    config = load_config(f"{CONFIGS / 'demo.py'}:smoke")
    images = data.load("fashion_mnist:train", source="synthetic", limit=8)
    options = Prefetch(ahead=0, threads=2, workers=0)
    return Reading(Case("train", config, {}), images, options, list(rounds), need)


def test_rates_are_those_of_the_rounds():
    rounds = [Round(300, 2.0, 1.0), Round(100, 1.0, 0.5), Round(90, 1.0, 0.1)]
    (row,) = make_rows([reading(rounds, need=50.0)])
    assert row["input_images_per_second"] == 100
    assert row["input_images_per_second_min"] == 90
    assert row["input_images_per_second_max"] == 150
    assert row["input_images_per_core_second"] == 300
    assert row["ratio"] == 2
    assert not row["bottleneck"]
    assert row["cores_needed"] == pytest.approx(50 / 300)
    # where nothing is read ahead, nobody else reads
    assert (row["read_ahead"], row["read_threads"]) == (0, 0)


def test_a_system_that_does_not_say_what_was_computed():
    (row,) = make_rows([reading([Round(300, 2.0, None)])])
    assert row["input_images_per_core_second"] is None
    assert row["cores_needed"] is None


def test_the_verdict_is_plain():
    slow, fast = [reading([Round(n, 1.0, 1.0)]) for n in (40, 250)]
    assert verdict(slow) == (
        "INPUT IS THE BOTTLENECK: 40.0 images/s, 0.4 of the 100 that the step takes"
    )
    assert verdict(fast) == (
        "the input keeps up: 250 images/s, 2.5 times the 100 that the step takes"
    )


def slow(step, part):
    time.sleep(0.02)
    return {"image": np.zeros((4, 1))}


def test_what_was_read_while_nobody_asked_is_not_counted():
    one = reading()
    one.options = Prefetch(ahead=5, threads=1, workers=0)
    one.case.config.train.batch_size = 4
    with Feed(slow, 0, one.options) as feed:
        feed.take(1)
        time.sleep(0.3)
        found = time_feed(feed, one, seconds=0.2)
    # 4 images every 20 ms are 200 images/s; five batches too many were half as much
    # again, and one may be half read
    assert 0 < found.images / found.seconds < 250
    # it sleeps
    assert found.work < 0.5 * found.seconds


def spin(step, part):
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    return {"image": np.zeros((1, 1))}


@pytest.mark.thorough
@pytest.mark.multiprocess
def test_what_workers_compute_is_counted():
    with Feed(spin, 0, Prefetch(ahead=2, workers=1)) as feed:
        feed.take(1)
        (worker,) = multiprocessing.active_children()
        before, own = processor_seconds(), time.process_time()
        feed.take(6)
        passed = processor_seconds() - before
        assert worker.is_alive()
    own = time.process_time() - own
    # three of them may have been there before
    assert 0.25 < passed - own < 1.2


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--mode=sample"], "--mode is of no use with --data"),
        (["--peak=1"], "--peak is of no use with --data"),
        (["--profile=x"], "--profile is of no use with --data"),
        (["--config.data.source=npz", "--need=1"], "source 'npz' needs path="),
        (["--config.data.streaming=True", "--need=1"], "'embedded' has to be read"),
        (
            ["--config.data.read_workers=2", "--config.data.read_ahead=0"],
            "of use only to read ahead",
        ),
        (["--config.train.negative=mnist:train"], "train.negative is a second"),
    ],
)
def test_what_cannot_be_measured_is_said(tmp_path, capsys, more, said):
    assert run([*TINY, *QUICK, *more, f"--out={tmp_path}"]) == 2
    assert said in only_error(capsys.readouterr().err)


def test_only_flows_on_images(tmp_path, capsys):
    argv = ["benchmark", "--data", f"--config={CONFIGS / 'hepmass.py'}:smoke"]
    assert run([*argv, f"--out={tmp_path}"]) == 2
    assert "how flows are given images" in only_error(capsys.readouterr().err)


def test_need_without_data(tmp_path, capsys):
    argv = ["benchmark", *TINY[2:], "--need=5", f"--out={tmp_path}"]
    assert run(argv) == 2
    assert only_error(capsys.readouterr().err) == "--need is of use with --data alone"
