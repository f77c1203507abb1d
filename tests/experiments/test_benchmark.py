"""The benchmark: what it measures, and that its numbers go together."""

import csv
import json

import pytest

from experiments import benchmark
from experiments.__main__ import run
from experiments.config import UserError, load_config
from experiments.timing import time_calls

CONFIG = "experiments/configs/fashion_mnist_realnvp.py:smoke"


def test_a_sweep_is_every_combination_and_adapters_matter_to_training_alone():
    cases = benchmark.sweep(
        ["train", "evaluate"], [8, 16], ["float32"], ["jit", "pmap"]
    )
    assert len(cases) == 2 * 2 + 2
    assert {c.parallel for c in cases if c.mode == "evaluate"} == {"jit"}


@pytest.mark.parametrize(
    ("modes", "dtypes"), [(["fly"], ["float32"]), (["train"], ["int8"])]
)
def test_unknown_choices(modes, dtypes):
    with pytest.raises(UserError, match=r"unknown (mode 'fly'|dtype 'int8'); known"):
        benchmark.sweep(modes, [8], dtypes, ["jit"])


def test_images_have_the_shape_of_the_configs_own():
    assert benchmark.fake_shape(load_config(CONFIG)) == (28, 28, 1)
    cifar = load_config("experiments/configs/cifar10_realnvp.py")
    assert benchmark.fake_shape(cifar) == (32, 32, 3)


def test_calls_are_timed_one_by_one_after_the_warm_up():
    calls = []
    timing = time_calls(lambda: calls.append(0), seconds=0.01, repeats=3, warm_up=2)
    assert len(timing.repeats) == 3
    assert len(calls) >= 2 + 3
    assert 0 < timing.p10 <= timing.p50 <= timing.p90


def test_the_command_writes_numbers_that_go_together(tmp_path):
    small = ["--config.model.scales=1", "--config.model.blocks=0"]
    quick = ["--seconds=0.05", "--repeats=2", "--peak=0.1", f"--out={tmp_path}"]
    what = ["--mode=evaluate,sample", "--batch=8"]
    assert run(["benchmark", f"--config={CONFIG}", *small, *quick, *what]) == 0
    content = json.loads((tmp_path / "benchmark.json").read_text())
    assert content["image_shape"] == [28, 28, 1]
    assert content["peak_is"] == "given"
    rows = content["rows"]
    assert [row["mode"] for row in rows] == ["evaluate", "sample"]
    for row in rows:
        low, high = row["images_per_second_min"], row["images_per_second_max"]
        assert 0 < low <= row["images_per_second"] <= high
        # the two computations of the same FLOP rate
        by_steps = row["gflop_per_image"] * 8 / (row["step_ms_p50"] / 1e3)
        assert row["gflops_per_second"] == pytest.approx(by_steps)
        assert row["mfu"] == pytest.approx(row["gflops_per_second"] / 100)
    with (tmp_path / "benchmark.csv").open() as file:
        assert [r["mode"] for r in csv.DictReader(file)] == ["evaluate", "sample"]


@pytest.mark.parametrize("wrong", ["--batch=none", "--batch=0", "--repeats=0"])
def test_impossible_requests_are_errors(capsys, tmp_path, wrong):
    argv = ["benchmark", f"--config={CONFIG}", f"--out={tmp_path / 'out'}", wrong]
    assert run(argv) == 2
    assert "error: --" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
