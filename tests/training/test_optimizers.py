"""The optimiser against torch's rules written out in float64, and the schedules."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flowjax_ood.training.optimizers import (
    SCHEDULES,
    clip_by_group_norm,
    make_optimizer,
    make_schedule,
    named,
)

SHAPES = {
    "conv": {"v": (2, 2, 3), "g": (3,), "bias": (3,)},
    "dense": {"kernel": (3, 4), "bias": (4,)},
}
# gradient sizes of successive steps: (of the scales g, of all others)
SIZES = {
    "ordinary": [(1, 1)] * 4,
    "tiny": [(1e-9, 1e-9)] * 4,
    "vanishing": [(1e-30, 1e-30), (1e-25, 1e-12), (0, 0), (1e-30, 1e-9)],
    "huge": [(1e15, 1e12)] * 4,
    "scales explode": [(1e9, 1e-3)] * 4,
    "others explode": [(1e-3, 1e9)] * 4,
    "spikes": [(1e-6, 1e-6), (1e12, 1e12), (1e-6, 1e-6), (1, 1e-3), (1e-9, 1e6)],
}


def tree(rng, sizes=(1, 1)):
    return {
        layer: {
            name: rng.normal(size=shape) * sizes[name != "g"]
            for name, shape in shapes.items()
        }
        for layer, shapes in SHAPES.items()
    }


def float32(values):
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), values)


def torch_rules(params, gradients, *, name, rate, clip, l2, weight_decay, scales_apart):
    """The paper's loop: `clip_grad_norm_` of each parameter group, then torch's Adam
    (or AdamW) or RMSprop, whose `weight_decay` is added to the gradient."""
    params = {(i, j): np.float64(p) for i, d in params.items() for j, p in d.items()}
    first = {k: 0.0 for k in params}
    second = {k: 0.0 for k in params}
    for t, gradient in enumerate(gradients, start=1):
        # the library is given float32 gradients
        g = {
            (i, j): np.float64(np.float32(gradient[i][j]))
            for i, d in SHAPES.items()
            for j in d
        }
        scales = {k for k in g if k[1] == "g"}
        groups = [scales, g.keys() - scales] if scales_apart else [set(g)]
        for group in groups if clip else []:
            norm = np.sqrt(sum((g[k] ** 2).sum() for k in group))
            for k in group:
                g[k] = g[k] * min(1, clip / (norm + 1e-6))
        for k in g:
            if k in scales or not scales_apart:
                g[k] = g[k] + l2 * params[k]
            if k[1] == "kernel":
                params[k] = params[k] * (1 - rate * weight_decay)
            if name == "adam":
                first[k] = 0.9 * first[k] + 0.1 * g[k]
                second[k] = 0.999 * second[k] + 0.001 * g[k] ** 2
                root = np.sqrt(second[k]) / np.sqrt(1 - 0.999**t) + 1e-8
                params[k] = params[k] - rate * first[k] / (1 - 0.9**t) / root
            else:
                second[k] = 0.99 * second[k] + 0.01 * g[k] ** 2
                params[k] = params[k] - rate * g[k] / (np.sqrt(second[k]) + 1e-8)
    return {i: {j: params[i, j] for j in d} for i, d in SHAPES.items()}


def library(params, gradients, optimizer):
    params = float32(params)
    state = optimizer.init(params)
    for gradient in gradients:
        updates, state = optimizer.update(float32(gradient), state, params)
        params = jax.tree.map(jnp.add, params, updates)
    return params


@pytest.mark.parametrize("scales_apart", [True, False])
@pytest.mark.parametrize("name", ["adam", "rmsprop"])
@pytest.mark.parametrize("sizes", SIZES)
# the paper's numbers; and numbers for which every order of the parts gives another end
@pytest.mark.parametrize(("clip", "l2", "decay"), [(100, 5e-5, 0), (1, 0.7, 0.3)])
def test_steps_are_those_of_torch(sizes, name, scales_apart, clip, l2, decay):
    rng = np.random.default_rng(0)
    params = tree(rng)
    gradients = [tree(rng, s) for s in SIZES[sizes]]
    rate = 0.05
    expected = torch_rules(
        params,
        gradients,
        name=name,
        rate=rate,
        clip=clip,
        l2=l2,
        weight_decay=decay,
        scales_apart=scales_apart,
    )
    optimizer = make_optimizer(
        rate,
        name=name,
        clip_norm=clip,
        l2=l2,
        weight_decay=decay,
        scales_apart=scales_apart,
    )
    found = library(params, gradients, optimizer)
    # Adam's 1 - 0.999^t loses digits in float32: 3e-5 of a step
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-5),
        found,
        expected,
    )


def test_groups_are_clipped_apart():
    """One group's explosion leaves the other as it is; a small norm changes nothing."""
    gradients = {
        "a": {"g": jnp.array([3e5, 4e5])},
        "b": {"bias": jnp.array([0.3, 0.4])},
    }
    clip = clip_by_group_norm(100.0, named("g"))
    clipped, _ = clip.update(gradients, clip.init(gradients))
    np.testing.assert_allclose(clipped["a"]["g"], [60, 80], rtol=1e-6)
    np.testing.assert_array_equal(clipped["b"]["bias"], gradients["b"]["bias"])


def test_weight_decay_acts_on_kernels_alone():
    params = float32(tree(np.random.default_rng(0)))
    zeros = jax.tree.map(jnp.zeros_like, params)
    optimizer = make_optimizer(0.1, l2=0, weight_decay=0.5)
    updates, _ = optimizer.update(zeros, optimizer.init(params), params)
    for layer, name in (("conv", "v"), ("conv", "g"), ("dense", "bias")):
        np.testing.assert_array_equal(updates[layer][name], 0)
    expected = -0.1 * 0.5 * params["dense"]["kernel"]
    np.testing.assert_allclose(updates["dense"]["kernel"], expected, rtol=1e-6)


def test_weight_decay_acts_on_every_kernel_of_a_layer_of_several():
    params = {"layer_0_kernel": jnp.ones(2), "layer_0_bias": jnp.ones(2)}
    optimizer = make_optimizer(0.1, l2=0, weight_decay=0.5)
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(zeros, optimizer.init(params), params)
    np.testing.assert_allclose(updates["layer_0_kernel"], -0.05, rtol=1e-6)
    assert not updates["layer_0_bias"].any()


def test_second_moments_of_adam_decay_by_b2():
    # gradients 1, then 0: with m = 0.09 and v = b2 (1 - b2), corrected for their start
    params, b2 = {"bias": jnp.zeros(1)}, 0.9
    optimizer = make_optimizer(1.0, l2=0, clip_norm=0, b2=b2)
    state = optimizer.init(params)
    _, state = optimizer.update({"bias": jnp.ones(1)}, state, params)
    updates, _ = optimizer.update({"bias": jnp.zeros(1)}, state, params)
    expected = -(0.09 / (1 - 0.9**2)) / np.sqrt(b2 * (1 - b2) / (1 - b2**2))
    np.testing.assert_allclose(updates["bias"], expected, rtol=1e-5)


def test_weight_decay_that_acts_on_nothing_is_refused():
    optimizer = make_optimizer(0.1, weight_decay=1e-4)
    with pytest.raises(ValueError, match=r"weight_decay=0.0001 .* nothing.* l2"):
        optimizer.init(float32({"conv": {"v": np.ones(3), "g": np.ones(1)}}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "lion"}, "'lion'.*adam, rmsprop"),
        ({"clip_norm": -1.0}, "clip_norm.*-1"),
        ({"l2": -5e-5}, "l2.*-5e-05"),
        ({"weight_decay": float("nan")}, "weight_decay.*nan"),
        ({"learning_rate": -1e-3}, "learning_rate.*-0.001"),
        ({"b2": 1.0}, r"b2 must lie in \[0, 1\), got 1.0"),
    ],
)
def test_bad_optimisers_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_optimizer(**{"learning_rate": 1e-3} | arguments)


def rates(schedule, steps):
    return [float(schedule(jnp.int32(step))) for step in steps]


@pytest.mark.parametrize("schedule", ["constant", "cosine", "anneal"])
@pytest.mark.parametrize(
    ("warmup", "at", "expected"),
    [
        (0, [0, 1], [1, 1]),
        (1, [0, 1], [1, 1]),
        (2, [0, 1, 2], [0.5, 1, 1]),
        (5, [0, 1, 3, 4, 5], [0.2, 0.4, 0.8, 1, 1]),
    ],
)
def test_warm_up(schedule, warmup, at, expected):
    """Linear from `rate / warmup`, not from 0: the first step moves."""
    found = rates(make_schedule(3e-4, schedule, 10_000, warmup), at)
    np.testing.assert_allclose(found, 3e-4 * np.array(expected), rtol=1e-5)


def test_constant():
    assert rates(make_schedule(0.5, "constant", 10), [0, 5, 9, 100]) == [0.5] * 4


def test_cosine_falls_from_warm_up_to_zero():
    schedule = make_schedule(2.0, "cosine", 110, warmup_steps=10)
    found = rates(schedule, [10, 35, 60, 85, 110, 1000])
    expected = [2, 1 + np.sqrt(0.5), 1, 1 - np.sqrt(0.5), 0, 0]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert rates(schedule, [109])[0] > 0  # the last step moves


@pytest.mark.parametrize("warmup", [0, 1, 100])
def test_anneal_halves_at_80_and_90_percent(warmup):
    schedule = make_schedule(1.0, "anneal", 1000, warmup)
    at = [799, 800, 899, 900, 999, 2000]
    assert rates(schedule, at) == [1, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_anneal_of_a_short_run():
    """Boundaries that fall together or into the warm-up still halve each."""
    assert rates(make_schedule(1.0, "anneal", 2), range(3)) == [1, 1, 0.25]
    assert rates(make_schedule(1.0, "anneal", 5), range(6)) == [1, 1, 1, 1, 0.5, 0.25]
    warming = rates(make_schedule(1.0, "anneal", 10, 10), [7, 8, 9])
    np.testing.assert_allclose(warming, [0.8, 0.9 / 2, 1 / 4], rtol=1e-6)


NUM, WARM = 40, 6
RATE = 3e-4
# name: (arguments, the closed formula of a step, the same schedule of optax)
SHAPES_OF = {
    "constant": ({}, lambda k: 1.0, optax.constant_schedule(1.0)),
    "cosine": (
        {},
        lambda k: 0.5 * (1 + np.cos(np.pi * np.clip((k - WARM) / (NUM - WARM), 0, 1))),
        lambda k: optax.cosine_decay_schedule(1.0, NUM - WARM)(max(k - WARM, 0)),
    ),
    "anneal": (
        {},
        lambda k: 0.5 ** ((k >= 0.8 * NUM) + (k >= 0.9 * NUM)),
        optax.piecewise_constant_schedule(1.0, {32: 0.5, 36: 0.5}),
    ),
    # 937.5 steps in small: epochs are not whole
    "epoch_decay": (
        {"decay": 0.7, "steps_per_epoch": 7.5},
        lambda k: 0.7 ** (2 * k // 15),
        optax.exponential_decay(1.0, 7.5, 0.7, staircase=True),
    ),
    "step_decay": (
        {"decay": 0.1, "boundaries": (9, 20)},
        lambda k: 0.1 ** ((k >= 9) + (k >= 20)),
        optax.piecewise_constant_schedule(1.0, {9: 0.1, 20: 0.1}),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_step_has_the_rate_of_the_closed_formula_and_of_optax(name):
    """The first step, the last, all boundaries, and those beyond the run."""
    arguments, formula, shape = SHAPES_OF[name]
    warmup = 0 if name.endswith("decay") else WARM
    schedule = jax.jit(make_schedule(RATE, name, NUM, warmup, **arguments))
    warm = optax.linear_schedule(1 / max(warmup, 1), 1.0, max(warmup - 1, 1))
    for step in range(NUM + 3):
        rising = min(1.0, (step + 1) / warmup) if warmup else 1.0
        rate = float(schedule(jnp.int32(step))) / RATE
        assert rate == pytest.approx(rising * formula(step), rel=2e-6, abs=1e-7)
        optaxs = float(warm(step)) * float(shape(step))
        assert rate == pytest.approx(optaxs, rel=2e-6, abs=1e-7)


def test_a_schedule_drives_the_optimiser():
    optimizer = make_optimizer(make_schedule(0.1, "constant", 100, 4), l2=0)
    params = {"dense": {"kernel": jnp.ones(2)}}
    gradient = {"dense": {"kernel": jnp.array([1.0, -1.0])}}
    state, moved = optimizer.init(params), []
    for _ in range(5):
        updates, state = optimizer.update(gradient, state, params)
        moved.append(-float(updates["dense"]["kernel"][0]))
    np.testing.assert_allclose(moved, [0.025, 0.05, 0.075, 0.1, 0.1], rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1e-3, "linear", 10), "'linear'.*constant, cosine, anneal"),
        ((0.0, "constant", 10), "learning_rate must be positive, got 0"),
        ((float("nan"), "constant", 10), "learning_rate"),
        ((1e-3, "constant", 0), "num_steps must be at least 1, got 0"),
        ((1e-3, "constant", 10, 11), r"warmup_steps must lie in 0..num_steps \(10\)"),
        ((1e-3, "constant", 10, -1), "got -1"),
        ((1e-3, "step_decay", 10, 1), "'step_decay' has no warm-up"),
    ],
)
def test_bad_schedules_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_schedule(*arguments)
