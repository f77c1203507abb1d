"""Glow through the commands: it starts from data, trains, and resumes."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.cli import run
from experiments.core import build
from experiments.core.config import load_config
from experiments.core.sets import load_sets
from flowjax_ood.bijectors import squeeze
from flowjax_ood.data.batching import batch_indices
from tests.helpers.experiment_runs import CONFIGS, read_results

CONFIG = f"{CONFIGS / 'fashion_mnist_glow.py'}"
SMOKE = f"--config={CONFIG}:smoke"


@pytest.fixture(scope="module")
def glow_run(tmp_path_factory):
    """Workdir of the paper's FashionMNIST Glow, smoke variant."""
    workdir = tmp_path_factory.mktemp("runs") / "glow"
    assert run(["train", SMOKE, f"--workdir={workdir}"]) == 0
    return workdir


def records(workdir) -> list[dict]:
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    # the clock is not part of what a run computes
    clock = ("seconds", "images_per_second", "input_wait")
    found = [json.loads(line) for line in lines]
    return [{k: v for k, v in r.items() if k not in clock} for r in found]


@pytest.mark.thorough
def test_a_run_leaves_results(glow_run):
    results = read_results(glow_run)
    assert results["steps"] == 4
    assert set(results["auroc"]) == {"mnist"}
    assert all(np.isfinite(b) for b in results["bits_per_dim"].values())
    assert "running_statistics" not in results
    for name in ("likelihoods.png", "likelihood_terms.png", "samples.png"):
        assert (glow_run / name).read_bytes().startswith(b"\x89PNG\r\n")


@pytest.mark.thorough
def test_a_run_of_two_sessions_ends_where_one_of_one_does(glow_run, tmp_path):
    for steps in (2, 4):
        more = f"--config.train.num_steps={steps}"
        assert run(["train", SMOKE, more, f"--workdir={tmp_path}"]) == 0
    assert records(tmp_path) == records(glow_run)
    timing = ("train_seconds", "images_per_second")
    once, twice = (read_results(w) for w in (glow_run, tmp_path))
    for name in timing:
        del once[name], twice[name]
    assert twice == once


def test_actnorm_starts_from_the_images_of_the_first_step():
    """Bias and scale of the first one are the batch's mean and standard deviation."""
    config = load_config(f"{CONFIG}:smoke")
    sets = load_sets(config)
    params = build.training(config, sets).initial().params
    size = config.train.batch_size
    images = sets.train.images[batch_indices(len(sets.train), size, config.seed, 0)]
    # noise moves a level of 256 by half a level: small against the spread of pixels
    p = 0.05 + 0.9 * (images + 0.5) / 256
    h = np.asarray(squeeze(jnp.asarray(np.log(p / (1 - p)), jnp.float32)))
    first = params["bijector"]["bijectors_2"]
    np.testing.assert_allclose(-first["bias"], h.mean((0, 1, 2)), atol=0.02)
    scale = np.exp(-first["log_scale"])
    np.testing.assert_allclose(scale, h.std((0, 1, 2)), rtol=0.02)
    others = np.asarray(sets.train.images[:size] / 256).std()
    assert abs(others - (images / 256).std()) > 1e-3, "not those of another batch"


@pytest.mark.parametrize(("variant", "rates"), [("smoke", 10), ("stable_smoke", 0.5)])
def test_the_recipes_differ_in_how_they_begin(variant, rates):
    """The first step moves every parameter by so many learning rates.

    torch's RMSprop, the paper's, has no bias correction: its first average of squared
    gradients is 1% of the square, and the step g / sqrt(0.01 g^2). Adam corrects, and
    this variant warms up over two steps.
    """
    config = load_config(f"{CONFIG}:{variant}")
    optimizer = build.optimizer(config, 100)
    params = {"kernel": jnp.array([1.0, -2.0])}
    gradient = {"kernel": jnp.array([0.3, -50.0])}
    update, _ = optimizer.update(gradient, optimizer.init(params), params)
    moved = np.abs(update["kernel"]) / config.optimizer.learning_rate
    np.testing.assert_allclose(moved, rates, rtol=1e-3)
