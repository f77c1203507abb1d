"""What a case computes: its arguments and its arithmetic."""

import jax
import numpy as np
import pytest

from experiments.benchmark import STACKINGS
from experiments.benchmark.cases import sweep
from experiments.benchmark.work import (
    DIFFERENT,
    arguments,
    build_work,
    count,
    fake_batch,
    fake_images,
)
from experiments.core import build
from experiments.core.config import load_config
from flowjax_ood.bijectors import InvertibleConv1x1, unstacked
from flowjax_ood.interface.errors import UserError
from tests.helpers.experiment_runs import CONFIGS

TINY = (
    "model.scales=1",
    "model.couplings=4",
    "model.mask=checkerboard",
    "model.norm=none",
    "model.width=4",
    "model.blocks=1",
    "train.batch_size=8",
)
# runs once: optimising it would cost more than it saves
QUICKLY = {"xla_backend_optimization_level": 0}


def cases(*overrides, modes=("train",), stacks=("chain",)):
    def load(more):
        config = f"{CONFIGS / 'demo.py'}:smoke"
        return load_config(config, [*TINY, *overrides, *more])

    axis = [{k: str(v) for k, v in STACKINGS[stack].items()} for stack in stacks]
    return sweep(load, modes, [axis])


def test_fake_images_have_the_shape_of_the_configs_own():
    def shape(name, *overrides):
        return fake_images(load_config(f"{CONFIGS / name}", overrides), 3).shape

    assert shape("mnist_realnvp.py") == (3, 28, 28, 1)
    assert shape("cifar10_realnvp.py") == (3, 32, 32, 3)
    assert shape("celeba_realnvp.py", "data.image_size=16") == (3, 16, 16, 3)
    with pytest.raises(UserError, match=r"config\.data: .*nowhere"):
        shape("mnist_realnvp.py", "data.train=nowhere:train")


def test_a_batch_larger_than_the_images_repeats_them():
    size = DIFFERENT + 3
    (case,) = cases(f"train.batch_size={size}", modes=("evaluate",))
    batch = fake_batch(build_work(case))
    assert batch["image"].shape == (size, 28, 28, 1)
    assert batch["image"].dtype == np.uint8
    np.testing.assert_array_equal(batch["image"][DIFFERENT:], batch["image"][:3])
    np.testing.assert_array_equal(batch["index"], np.arange(size))


@pytest.mark.thorough
def test_stackings_start_with_the_same_flow():
    """A chain's state comes by way of a scan: structure and values are its own."""
    several = ("model.couplings=2", "model.norm=batch")
    found = {}
    for case in cases(
        *several, "optimizer.ema_decay=0.9", modes=("train",), stacks=("chain", "scan")
    ):
        work = build_work(case)
        state, batch, key = arguments(work, fake_batch(work))
        x = np.float32(batch["image"] / 256)
        variables = state.variables(average=False)
        own = jax.eval_shape(work.flow.init, key, x)
        assert jax.tree.map(np.shape, own) == jax.tree.map(np.shape, variables)
        assert jax.tree.map(np.shape, state.ema) == jax.tree.map(np.shape, state.params)
        quick = jax.jit(work.flow.apply, compiler_options=QUICKLY)
        found[case.settings["stack"]] = quick(variables, x)
    np.testing.assert_allclose(found["chain"], found["scan"], rtol=1e-5)


@pytest.mark.thorough
def test_convolutions_with_seeds_start_as_rotations_in_a_chain():
    """Their parameters go with their own seeds, not with the one of a scan."""

    def load(more):
        tiny = ("model.scales=1", "model.st_net=glow_convnet", "model.conv1x1=plu")
        config = f"{CONFIGS / 'fashion_mnist_glow.py'}:smoke"
        return load_config(config, [*tiny, "train.batch_size=8", *more])

    axis = [{"model.stack": "chain"}]
    (case,) = sweep(load, ("evaluate",), [axis])
    work = build_work(case)
    variables, _, _ = arguments(work, fake_batch(work))
    layers = unstacked(work.flow.bijector, variables["params"]["bijector"])
    found = [(b, part) for _, b, part in layers if isinstance(b, InvertibleConv1x1)]
    assert [b.seed for b, _ in found] == [0, 1]
    for convolution, part in found:
        rows, logdet = convolution.apply({"params": part}, np.eye(4, dtype="float32"))
        np.testing.assert_allclose(rows @ rows.T, np.eye(4), atol=1e-5)
        np.testing.assert_allclose(logdet, 0, atol=1e-5)


def test_the_workload_is_the_same_every_time():
    (case,) = cases(modes=("evaluate",), stacks=("scan",))
    first, second = (
        arguments(work, fake_batch(work))
        for work in (build_work(case), build_work(case))
    )
    for a, b in zip(jax.tree.leaves(first[:2]), jax.tree.leaves(second[:2])):
        np.testing.assert_array_equal(a, b)


@pytest.mark.thorough
def test_rematerialisation_is_arithmetic_but_not_the_models(monkeypatch):
    # folded channels multiply zeros, too
    monkeypatch.setattr(build, "convolution", lambda config, training: "direct")
    stacks = ("chain", "scan", "scan+full", "unroll+reversible")
    found = dict(zip(stacks, map(count, cases(stacks=stacks))))
    (forward,) = map(count, cases(modes=("evaluate",)))
    assert {c.parameters for c in found.values()} == {forward.parameters}
    assert {c.image_shape for c in found.values()} == {(28, 28, 1)}
    # a loop computes the first block's gradient by the image too, which nobody asks for
    assert found["scan"].flops == pytest.approx(found["chain"].flops, rel=0.05)
    for name in ("scan+full", "unroll+reversible"):
        assert found[name].flops == found["scan"].flops
    assert found["chain"].executed_flops == found["chain"].flops
    # all st-networks once more
    again = found["scan+full"].executed_flops - found["scan"].flops
    assert again == pytest.approx(forward.flops, rel=0.02)


def test_sampling_is_as_much_arithmetic_as_evaluation():
    evaluate, sample = map(count, cases(modes=("evaluate", "sample")))
    assert sample.flops == evaluate.flops > 0


@pytest.mark.parametrize(
    ("overrides", "stack", "message"),
    [
        (("model.norm=batch",), "scan+reversible", "cannot train batch norm"),
        (("model.couplings=1",), "chain", "use more couplings"),
        (("model.precision=int8",), "chain", "unknown 'int8'"),
        (("parallel=magic",), "chain", "unknown 'magic'"),
        (("model.width=0",), "chain", "width must be at least 1, got 0"),
        (("data.classes=10",), "chain", "times flows without classes"),
        (("optimizer.name=magic",), "chain", "config.optimizer.name: "),
    ],
)
def test_what_cannot_be_measured_is_found_without_computing(overrides, stack, message):
    with pytest.raises(UserError, match=message):
        count(*cases(*overrides, stacks=(stack,)))
