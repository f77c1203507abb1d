"""What a config cannot be built into is said at once, with the remedy."""

import math
from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest

from experiments.core import build
from experiments.core.config import load_config
from experiments.core.sets import load_sets
from flowjax_ood.bijectors import AffineCoupling, Repeat
from flowjax_ood.bijectors.base import leaves, walk
from flowjax_ood.data import checks
from flowjax_ood.interface.errors import UserError
from flowjax_ood.precision import BFLOAT16, PRECISIONS
from tests.helpers.experiment_runs import CONFIGS

DEMO = f"{CONFIGS / 'demo.py'}:smoke"
GLOW = f"{CONFIGS / 'fashion_mnist_glow.py'}:smoke"


def load(*overrides, config=DEMO):
    return load_config(config, overrides)


def refused(build_it, *args) -> str:
    with pytest.raises(UserError) as caught:
        build_it(*args)
    return str(caught.value)


@pytest.fixture(scope="module")
def sets():
    return load_sets(load())


def training_error(sets, *overrides) -> str:
    return refused(lambda: build.training(load(*overrides), sets))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.name=glou", "model.name: unknown 'glou'; known: real_nvp, glow"),
        ("model.precision=float16", "unknown 'float16'; known: float32, "),
        ("model.mask=chess", "unknown mask strategy 'chess'; known: "),
        ("model.st_net=vgg", "unknown st-network 'vgg'; known: "),
        ("model.norm=layer", "unknown norm 'layer'; known: "),
        ("model.scales=0", "scales >= 1"),
        ("optimizer.name=sgd", "optimizer.name: unknown 'sgd'; known: adam, rmsprop"),
        ("optimizer.schedule=step", "unknown 'step'; known: "),
        (
            "optimizer.warmup_steps=5",
            "warmup_steps must lie in 0..num_steps (4), got 5",
        ),
        ("optimizer.warmup_steps=-1", "got -1"),
        ("parallel=vmap", "parallel: unknown 'vmap'; known: "),
    ],
)
def test_what_cannot_be_trained_is_refused(sets, override, said):
    assert said in training_error(sets, override)


def test_groups_of_batch_norm_divide_a_batch(sets):
    given = ("model.norm=batch", "model.norm_group=5")
    said = "norm_group=5 does not divide the 16 examples of a batch that each of 1"
    assert said in training_error(sets, *given)
    said = "norm_group=4 is of norm='batch', and norm is 'none'"
    assert said in training_error(sets, "model.norm=none", "model.norm_group=4")


def test_an_image_that_cannot_be_halved_names_its_size(sets):
    # 28 = 2 * 2 * 7
    message = training_error(sets, "model.scales=4")
    assert "config.model: cannot squeeze 7x7 pixels" in message
    assert "use fewer scales" in message


def test_st_networks_that_do_not_fit_are_found_before_training(sets):
    # at the first call of the st-network, which comes after the flow is made
    message = training_error(sets, "model.st_net=resnet_ae", "model.blocks=1")
    assert "at least 2, got blocks=1" in message


def test_a_model_key_that_is_not_an_argument_is_named():
    config = load()
    with pytest.raises(AttributeError, match="depth"):
        config.model.depth = 3  # a config file's slip
    with config.unlocked():
        config.model.depth = 3  # an old run's config.json
    assert "depth" in refused(build.flow, config, (28, 28, 1))


def test_no_steps_are_nothing_to_train(sets):
    message = training_error(sets, "train.num_steps=0", "train.num_epochs=0")
    assert "nothing to train" in message


def test_epochs_become_steps():
    config = load("train.num_steps=0", "train.num_epochs=3", "train.batch_size=16")
    assert build.num_steps(config, 100) == math.ceil(300 / 16)
    assert build.num_steps(load("train.num_steps=7"), 100) == 7


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.batch_size=0", "config.train.batch_size must be at least 1, got 0"),
        ("train.log_every=0", "config.train.log_every must be at least 1"),
        ("train.checkpoint_every=0", "checkpoint_every must be at least 1"),
        ("train.keep_checkpoints=0", "keep_checkpoints must be at least 1"),
        ("train.num_steps=-4", "config.train.num_steps must be at least 0, got -4"),
        ("eval.batch_size=0", "config.eval.batch_size must be at least 1"),
        ("eval.recompute_batches=0", "recompute_batches must be at least 1"),
        ("eval.samples=-1", "config.eval.samples must be at least 0"),
        ("seed=-1", "config.seed must be at least 0"),
        ("model.width=0", "config.model.width must be at least 1"),
        ("model.latent_dim=0", "config.model.latent_dim must be at least 1"),
        ("optimizer.learning_rate=0", "learning_rate must be positive, got 0"),
        ("optimizer.learning_rate=-0.1", "learning_rate must be positive, got -0.1"),
        ("optimizer.ema_decay=1", "ema_decay must be below 1, got 1.0"),
        ("optimizer.ema_decay=-0.5", "ema_decay must be at least 0, got -0.5"),
        ("optimizer.clip_norm=-1", "clip_norm must be at least 0, got -1.0"),
    ],
)
def test_numbers_out_of_range_name_their_key(override, said):
    assert said in refused(load, override)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.steps=0", "config.model.steps must be at least 1, got 0"),
        ("model.layers=-1", "config.model.layers must be at least 0, got -1"),
    ],
)
def test_numbers_of_a_glow(override, said):
    assert said in refused(partial(load, config=GLOW), override)


@pytest.mark.parametrize(
    ("kilobytes", "overrides", "said"),
    [
        # of 784 float32
        (300, ["train.batch_size=128"], "train.batch_size=128: batches take"),
        (300, ["eval.batch_size=128"], "config.eval.batch_size=128: batches take"),
        (300, ["data.read_ahead=50"], "config.data.read_ahead=50: batches take"),
        (300, ["model.width=64"], "config.model: its "),
        (50_000_000, ["eval.batch_size=16777216"], "52.6 GB of memory, and 51.2 GB"),
    ],
)
def test_what_memory_cannot_hold_is_refused_with_the_number(
    sets, tmp_path, monkeypatch, kilobytes, overrides, said
):
    (tmp_path / "meminfo").write_text(f"MemAvailable: {kilobytes} kB\n")
    monkeypatch.setattr(checks, "MEMINFO", tmp_path / "meminfo")
    message = training_error(sets, *overrides)
    assert said in message
    assert "GB are available; " in message


def test_an_uneven_batch_is_refused_before_training(sets, monkeypatch):
    class ThreeDevices(build.Parallel):
        def check_batch_size(self, batch_size):
            self.devices = self.devices[:1] * 3
            super().check_batch_size(batch_size)

    monkeypatch.setattr(build, "Parallel", ThreeDevices)
    message = training_error(sets)
    assert "batch size 16 does not divide over 3 devices; use a multiple" in message


@pytest.mark.thorough
def test_the_template_is_that_of_the_initial_state(sets):
    for more in ("optimizer.ema_decay=0.9", "model.norm=batch", "optimizer.l2=0"):
        config = load(more)
        state = jax.eval_shape(build.training(config, sets).initial)
        template = build.state_template(config, sets)
        assert jax.tree.structure(state) == jax.tree.structure(template)
        for got, want in zip(jax.tree.leaves(state), jax.tree.leaves(template)):
            assert (got.shape, got.dtype) == (want.shape, want.dtype)
        assert bool(state.ema) == (config.optimizer.ema_decay > 0)
        assert bool(state.batch_stats) == (config.model.norm == "batch")


def test_the_template_does_not_depend_on_how_long_training_took(sets):
    # evaluating on fewer training images than the warm-up has steps
    config = load("optimizer.warmup_steps=50", "train.num_steps=0")
    few = sets._replace(train=sets.train.take(8))
    config.train.num_epochs = 1
    assert "warmup_steps" in refused(build.training, config, few)
    assert jax.tree.leaves(build.state_template(config, few).params)


def test_reduced_precision_is_for_training_alone():
    x = jax.ShapeDtypeStruct((2, 28, 28, 1), np.float32)

    def program(precision, training):
        few = ("model.scales=1", "model.couplings=2", "model.convolution=direct")
        config = load(f"model.precision={precision}", *few)
        flow = build.flow(config, (28, 28, 1), training=training)
        return str(jax.make_jaxpr(flow.init)(jax.random.key(0), x))

    assert "bf16" in program("bfloat16", training=True)
    assert "Precision.HIGH," in program("tensorfloat32", training=True)
    exact = program("float32", training=True)
    for precision in PRECISIONS:
        assert program(precision, training=False) == exact


def test_the_key_does_not_depend_on_jaxs_default():
    with jax.default_prng_impl("rbg"):
        key = build.random_key(3)
    assert str(jax.random.key_impl(key)) == "threefry2x32"
    assert (jax.random.key_data(key) == jax.random.key_data(build.random_key(3))).all()


def test_the_flow_has_the_couplings_of_its_config():
    shape = (28, 28, 1)
    latents = build.flow(load(), shape).latent_shape()
    assert len(leaves(latents)) == 2
    assert build.flow(load("model.scales=1"), shape).latent_shape() == shape


@pytest.mark.parametrize(
    ("overrides", "training", "used"),
    [
        (["model.width=32"], False, "winograd"),
        (["model.width=32"], True, "products"),
        (["model.width=31"], True, "products"),
        (["model.width=31", "model.stack=scan"], True, "direct"),
        (["model.width=32", "model.stack=scan"], True, "winograd"),
        (["model.width=31"], False, "direct"),
        (["model.width=31", "model.convolution=winograd"], True, "winograd"),
        (["model.width=32", "model.convolution=direct"], False, "direct"),
    ],
)
def test_the_faster_convolution_on_cpu(overrides, training, used):
    config = load(*overrides)
    assert build.convolution(config, training) == used
    parts = walk(build.flow(config, (28, 28, 1), training=training).bijector)
    parts = [b.block if isinstance(b, Repeat) else b for _, b in parts]
    nets = [b.st_net for b in parts if isinstance(b, AffineCoupling)]
    assert {net.keywords["precision"].convolution for net in nets} == {used}


def test_an_unknown_convolution_is_refused():
    said = refused(load, "model.convolution=fft")
    assert "model.convolution: unknown 'fft'; known: auto, direct, winograd" in said


def test_a_precision_asked_for_is_used_as_it_is():
    asked = replace(BFLOAT16, convolution="winograd")
    config = load("model.convolution=direct", "model.precision=float32")
    flow = build.flow(config, (28, 28, 1), precision=asked)
    nets = [b.st_net for _, b in walk(flow.bijector) if isinstance(b, AffineCoupling)]
    assert {net.keywords["precision"] for net in nets} == {asked}
