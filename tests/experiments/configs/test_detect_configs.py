"""The full recipes of classifiers: networks, hyper-parameters and schedules."""

import jax
import jax.numpy as jnp
import pytest

from experiments.core.build import classifier, num_steps, optimizer
from experiments.core.config import load_config
from experiments.core.keys import flatten
from flowjax_ood.interface.errors import UserError
from flowjax_ood.training.state import parameter_count
from tests.helpers.experiment_runs import CONFIGS

FILES = ("fashion_mnist_detect", "cifar10_detect", "genomics_detect")


def full(name):
    return load_config(f"{CONFIGS / name}.py")


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "parameters"),
    [
        ("fashion_mnist_detect", (28, 28, 1), "float32", 1_199_882),
        ("cifar10_detect", (32, 32, 3), "float32", 21_282_122),
        ("genomics_detect", (250,), "int32", 32_068_026),
    ],
)
def test_the_full_networks_are_the_published_ones(name, shape, dtype, parameters):
    x = jax.ShapeDtypeStruct((2, *shape), dtype)
    for training in (False, True):
        module = classifier(full(name), 10, training=training)
        found = jax.eval_shape(module.init, jax.random.key(0), x)
        assert parameter_count(found["params"]) == parameters


PUBLISHED = {
    "fashion_mnist_detect": {
        "data.train": "fashion_mnist:train",
        "data.ood": ("mnist:test",),
        "model.mean": (0.2860,),
        "model.std": (0.3530,),
        "optimizer.name": "adadelta",
        "optimizer.learning_rate": 1.0,
        "optimizer.schedule": "epoch_decay",
        "optimizer.decay": 0.7,
        "optimizer.l2": 0.0,
        "train.batch_size": 64,
        "train.num_epochs": 14,
        "train.augment": "none",
        "detect.networks": 3,
    },
    "cifar10_detect": {
        "data.train": "cifar10:train",
        "data.ood": ("svhn_cropped:test",),
        "model.mean": (0.4914, 0.4822, 0.4465),
        "model.std": (0.2023, 0.1994, 0.2010),
        "optimizer.name": "sgd",
        "optimizer.learning_rate": 0.1,
        "optimizer.schedule": "step_decay",
        "optimizer.decay": 0.1,
        "optimizer.boundaries": (150, 250),
        "optimizer.l2": 5e-4,
        "optimizer.momentum": 0.9,
        "optimizer.nesterov": False,
        "optimizer.reset_momentum": True,
        "train.batch_size": 128,
        "train.num_epochs": 350,
        "train.augment": "crop_flip",
        "exposure.weight": 0.5,
        "exposure.num_epochs": 10,
        "exposure.learning_rate": 1e-3,
        "exposure.l2": 5e-4,
        "detect.networks": 5,
        "detect.dropout_passes": 0,
    },
    "genomics_detect": {
        "data.train": "genomics:train",
        "data.test": "genomics:test",
        "data.ood": ("genomics:test_ood",),
        "data.limit_test": 50_000,
        "model.length": 250,
        "model.hidden": 1000,
        "model.depth": 2,
        "model.dropout": 0.1,
        "exposure.source": "",
        "detect.fssd_noise": "validation",
        "detect.perturb": False,
        "detect.dropout_passes": 32,
    },
}


@pytest.mark.parametrize("name", FILES)
def test_recipes_are_the_published_ones(name):
    config = full(name)
    found = flatten(config)
    expected = PUBLISHED[name] | {"data.source": "tfds", "train.num_steps": 0}
    assert {key: found[key] for key in expected} == expected
    # no key is another experiment's
    base = flatten(full(FILES[0]))
    keys = {k for k in found if not k.startswith("model.")}
    assert keys == {k for k in base if not k.startswith("model.")}
    with pytest.raises(UserError, match="unknown variant 'tpu'; known: smoke"):
        load_config(f"{CONFIGS / name}.py:tpu")
    header = " ".join((CONFIGS / f"{name}.py").read_text().split('"""')[1].split())
    assert f"detect --config=experiments/configs/{name}.py" in header


def step_at(update, step, gradient=0.0, momentum=0.0):
    """What one parameter of 0 is changed by at that step."""
    params = jnp.zeros(())

    def placed(leaf):
        return jnp.full((), step if leaf.dtype == jnp.int32 else momentum, leaf.dtype)

    state = jax.tree.map(placed, update.init(params))
    return float(update.update(jnp.float32(gradient), state, params)[0])


def test_the_schedule_of_the_resnet_and_its_momentum():
    config = full("cifar10_detect")
    epoch = 50_000 / 128
    steps = num_steps(config, 50_000)
    assert steps == 136_719  # 350 times 390.625
    update = optimizer(config, steps, epoch)
    # after 150 and 250 epochs: 58,593.75 and 97,656.25 steps
    for step, rate in [
        (0, 0.1),
        (58_593, 0.1),
        (58_594, 0.01),
        (97_656, 0.01),
        (97_657, 0.001),
        (steps - 1, 0.001),
    ]:
        assert step_at(update, step, gradient=1.0) == pytest.approx(-rate, rel=1e-5)
        kept = 0.0 if step in (58_594, 97_657) else 0.9
        moved = step_at(update, step, momentum=1.0)
        assert moved == pytest.approx(-rate * kept, rel=1e-5)


def test_the_schedule_of_lenet():
    config = full("fashion_mnist_detect")
    steps = num_steps(config, 60_000)
    assert steps == 13_125
    update = optimizer(config, steps, 937.5)
    first = step_at(update, 0, gradient=1.0)
    for step, epoch in [(937, 0), (938, 1), (1874, 1), (1875, 2), (steps - 1, 13)]:
        found = step_at(update, step, gradient=1.0)
        assert found == pytest.approx(first * 0.7**epoch, rel=1e-5)
