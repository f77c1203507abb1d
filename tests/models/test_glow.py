"""Glow: the paper's parameter counts, its structure, its start, and what it refuses."""

import math
import os
import subprocess
import sys
from functools import partial

import jax
import numpy as np
import pytest

from flowjax_ood import masks
from flowjax_ood.bijectors import (
    ActNorm,
    AffineCoupling,
    InvertibleConv1x1,
    Logit,
    Squeeze,
    walk,
)
from flowjax_ood.models import Glow
from flowjax_ood.models.glow import first_half_changes

GRAY, RGB = (28, 28, 1), (32, 32, 3)
FAST = {"xla_backend_optimization_level": 0}
tiny = partial(Glow, scales=2, steps=2, width=4, layers=1)


def count(flow) -> int:
    x = jax.ShapeDtypeStruct((2, *flow.event_shape), "float32")
    params = jax.eval_shape(flow.init, jax.random.key(0), x)["params"]
    return sum(math.prod(p.shape) for p in jax.tree.leaves(params))


@pytest.mark.parametrize(
    ("flow", "params"),
    [
        (Glow(GRAY), 69_378_048),
        (Glow(RGB, scales=3, steps=8, width=400), 208_932_480),
    ],
    ids=["gray", "rgb"],
)
def test_parameter_counts_of_the_paper(flow, params):
    assert count(flow) == params


def test_structure_of_two_scales():
    flow = Glow(GRAY, steps=2)
    parts = [b for _, b in walk(flow.bijector)]
    step = [ActNorm, InvertibleConv1x1, AffineCoupling]
    assert [type(b) for b in parts] == [Logit, *[Squeeze, *step, *step] * 2]
    assert flow.latent_shape() == ((14, 14, 2), (7, 7, 8))
    couplings = [b for b in parts if isinstance(b, AffineCoupling)]
    assert {b.mask for b in couplings} == {first_half_changes}
    assert [b.index for b in couplings] == [0, 1, 0, 1]
    # what is fixed of a "plu" convolution is so by its seed: no two have the same
    seeds = [b.seed for b in parts if isinstance(b, InvertibleConv1x1)]
    assert len(set(seeds)) == 4


def test_the_first_half_of_the_channels_changes_in_every_step():
    for k in range(3):
        mask = first_half_changes(k, (2, 2, 6))
        assert mask.changed[..., :3].all()
        assert mask.seen[..., 3:].all()


def test_masks_by_name():
    flow = Glow((8, 8, 1), scales=1, steps=2, mask="checkerboard")
    couplings = [b for _, b in walk(flow.bijector) if isinstance(b, AffineCoupling)]
    assert {b.mask for b in couplings} == {masks.alternate_checkerboard}


@pytest.mark.thorough
@pytest.mark.parametrize("stack", ["chain", "scan"])
@pytest.mark.parametrize("conv1x1", ["dense", "plu"])
def test_it_starts_as_a_rotation_of_normalised_channels(stack, conv1x1):
    """Where it is initialised, latents of every channel have mean 0 and variance 1.

    Each step's ActNorm normalises what the steps before it make of the batch, the 1x1
    convolution rotates, and the couplings start as the identity.
    """
    flow = tiny((8, 8, 1), stack=stack, conv1x1=conv1x1)

    @partial(jax.jit, compiler_options=FAST)
    def start(key, x):
        variables = flow.init(key, x)
        # the last step rotates what its ActNorm gives: correlated, but of mean 0 and
        # in all of variance 1
        return flow.apply(variables, x, method="latents")

    x = jax.random.uniform(jax.random.key(0), (64, 8, 8, 1))
    fine, coarse = start(jax.random.key(1), x**3)
    np.testing.assert_allclose(coarse.mean((0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose((coarse**2).mean(), 1, rtol=1e-3)
    assert fine.shape == (64, 4, 4, 2)


TWO_DEVICES = """
import jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from flowjax_ood.models import Glow

assert jax.device_count() == 2
flow = Glow((4, 4, 1), scales=2, steps=1, width=4, layers=1)
x = np.asarray(jax.random.uniform(jax.random.key(0), (6, 4, 4, 1)))
init = jax.jit(flow.init, compiler_options={"xla_backend_optimization_level": 0})
one = init(jax.random.key(1), x)
mesh = Mesh(np.array(jax.devices()), ("batch",))
split = jax.device_put(x, NamedSharding(mesh, PartitionSpec("batch")))
two = init(jax.random.key(1), split)
assert len(split.addressable_shards[0].data) == 3
for (path, a), b in zip(jax.tree.leaves_with_path(one), jax.tree.leaves(two)):
    np.testing.assert_allclose(a, b, atol=1e-6, err_msg=jax.tree_util.keystr(path))
print("equal")
"""


@pytest.mark.thorough
@pytest.mark.multiprocess
def test_actnorm_starts_from_the_whole_of_a_batch_that_is_split():
    """On two devices as on one: the statistics are of the global batch."""
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "2", "JAX_PLATFORMS": "cpu"}
    run = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.stdout == "equal\n", run.stderr


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Glow(GRAY, scales=3), "cannot squeeze 7x7 pixels"),
        (lambda: Glow((28, 28)), r"\(H, W, C\), got \(28, 28\)"),
        (lambda: Glow(GRAY, scales=0), "scales >= 1, got scales=0"),
        (lambda: Glow(GRAY, steps=0), "steps >= 1, got steps=0"),
        (lambda: Glow(GRAY, width=0), "width >= 1, got width=0"),
        (lambda: Glow(GRAY, layers=-1), "layers >= 0, got layers=-1"),
        (lambda: Glow(GRAY, alpha=0.5), "alpha < 0.5, got alpha=0.5"),
        (lambda: Glow(GRAY, mask="second_half"), "strategy 'second_half'; known: "),
        (lambda: Glow(GRAY, st_net="resnet"), "'resnet'; known: highway, glow_convnet"),
        (lambda: Glow(GRAY, conv1x1="lu"), "unknown conv1x1 'lu'; known: 'dense'"),
        (lambda: Glow(GRAY, stack="loop"), "unknown stack 'loop'; known: chain"),
        (lambda: Glow(GRAY, remat="full"), "remat and reversible are options of"),
        (lambda: Glow(GRAY, precision="half"), "unknown precision 'half'"),
    ],
)
def test_errors_come_before_any_computation(call, message):
    with pytest.raises(ValueError, match=message):
        call()
