"""`data.noise`: flows of noisy images, whose samples are denoised."""

import jax
import numpy as np
import pytest

from experiments.cli import run
from experiments.core import build
from experiments.core.config import load_config
from experiments.core.evaluation import TrainedFlow
from experiments.core.sets import load_sets
from flowjax_ood.data.dequantize import dequantize, example_keys
from flowjax_ood.distributions import denoise
from flowjax_ood.interface.errors import UserError
from flowjax_ood.training.objectives import Likelihood
from tests.helpers.experiment_runs import CONFIGS, TINY, read_bits, read_results

pytestmark = pytest.mark.thorough

NOISE = 0.05
TARFLOW = (
    f"--config={CONFIGS / 'fashion_mnist_tarflow.py'}:smoke",
    "--config.data.image_size=8",
    "--config.data.limit_train=64",
    "--config.data.limit_test=20",
    "--config.model.patch=4",
    "--config.data.altered=inverted",
    "--config.data.ood=mnist:test",
    f"--config.data.noise={NOISE}",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "noisy"
    assert run(["train", *TARFLOW, f"--workdir={workdir}"]) == 0
    return TrainedFlow.restore(workdir)


def test_noise_is_normal_and_depends_on_key_and_index_alone(trained):
    images = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 1), np.uint8)
    batch = {"image": images, "index": np.arange(200, dtype=np.int32)}
    key = jax.random.key(3, impl="threefry2x32")
    plain, _ = Likelihood(trained.flow).inputs(batch, key)
    noisy = Likelihood(trained.flow, noise=0.3)
    added = np.asarray(noisy.inputs(batch, key)[0] - plain)
    assert added.std() == pytest.approx(0.3, rel=0.03)
    assert abs(added.mean()) < 0.01
    # none of it is that of the noise between pixels
    between = np.asarray(plain * 256) - images
    assert abs(np.corrcoef(between.ravel(), added.ravel())[0, 1]) < 0.03
    back = {name: rows[::-1] for name, rows in batch.items()}
    again, _ = noisy.inputs(back, key)
    np.testing.assert_array_equal(again[::-1], noisy.inputs(batch, key)[0])


def test_training_is_on_noisy_images_and_results_are_of_images(trained):
    aim = build.objective(trained.config, trained.sets, trained.flow)
    assert aim.noise == NOISE
    results = read_results(trained.workdir)
    assert results["noise"] == NOISE
    images = trained.sets.test.images
    keys = example_keys(build.random_key(trained.config.eval.seed), np.arange(20))
    x = dequantize(images, keys)
    nats = jax.jit(trained.flow.apply)(trained.variables, x)
    bits = 8 - np.asarray(nats, float) / (64 * np.log(2))
    found = read_bits(trained.workdir, dims=64)[trained.sets.test.name]
    np.testing.assert_allclose(found, bits, rtol=1e-5)


def test_samples_are_denoised(trained):
    key = jax.random.key(7)
    drawn = trained.flow.apply(trained.variables, key, 3, method="sample")
    clean = denoise(trained.flow, trained.variables, drawn, NOISE)
    assert np.abs(clean - drawn).max() > 1e-3
    expected = np.clip(clean, 0, 1)
    np.testing.assert_allclose(trained.samples(3, 7), expected, atol=1e-4)


def test_it_is_said_what_bits_are_of(trained, capsys):
    assert run(["evaluate", f"--workdir={trained.workdir}"]) == 0
    assert "by the density of noisy ones" in capsys.readouterr().out


@pytest.mark.parametrize("more", [(), ("train.negative=mnist:train",)])
def test_flows_of_a_logit_and_negatives_refuse_it(more):
    arguments = TARFLOW if more else (*TINY, f"--config.data.noise={NOISE}")
    given = [a.removeprefix("--config.") for a in arguments[1:]]
    name = arguments[0].removeprefix("--config=")
    config = load_config(name, [*given, *more])
    with pytest.raises(UserError, match=r"config\.data\.noise=0\.05 moves images out"):
        build.training(config, load_sets(config))
