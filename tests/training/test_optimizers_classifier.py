"""Published recipes against their rules written out in float64, and the schedules."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flowjax_ood.training.optimizers import (
    OPTIMIZERS,
    make_optimizer,
    make_schedule,
)


def classifiers(name, rate, *, l2=0.0, **options):
    """An optimiser of classifiers: nothing is clipped, L2 decays all."""
    options |= {"l2": l2, "clip_norm": 0.0, "scales_apart": False}
    return make_optimizer(rate, name=name, **options)


SHAPES = {"kernel": (3, 4), "bias": (4,)}


def tree(rng):
    return {k: jnp.asarray(rng.normal(size=s), jnp.float32) for k, s in SHAPES.items()}


def path(optimizer, steps=6, seed=0):
    """`(start, gradients, parameters after each step)` for arbitrary gradients."""
    rng = np.random.default_rng(seed)
    params = tree(rng)
    start, state = params, optimizer.init(params)
    gradients, found = [tree(rng) for _ in range(steps)], []
    update = jax.jit(optimizer.update)
    for gradient in gradients:
        changes, state = update(gradient, state, params)
        params = optax.apply_updates(params, changes)
        found.append(params)
    return start, gradients, found


def compare(optimizer, rule, steps=6):
    """`rule(p, g, memory, step) -> (p, memory)`, in float64, of every parameter."""
    start, gradients, found = path(optimizer, steps)
    for name in SHAPES:
        p, memory = np.float64(start[name]), None
        for step, gradient in enumerate(gradients):
            p, memory = rule(p, np.float64(gradient[name]), memory, step)
            np.testing.assert_allclose(found[step][name], p, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_adadelta(l2):
    """Zeiler 2012, algorithm 1, with a rate that falls every epoch of two steps."""

    def rule(p, g, memory, step):
        squares, moves = memory or (0.0, 0.0)
        g = g + l2 * p
        squares = 0.9 * squares + 0.1 * g**2
        move = g * np.sqrt(moves + 1e-6) / np.sqrt(squares + 1e-6)
        moves = 0.9 * moves + 0.1 * move**2
        return p - 0.7 ** (step // 2) * move, (squares, moves)

    rate = make_schedule(1.0, "epoch_decay", 6, decay=0.7, steps_per_epoch=2)
    compare(classifiers("adadelta", rate, l2=l2), rule)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("reset_at", [(), (2, 5)])
@pytest.mark.parametrize("momentum", [0.9, 0.5])
def test_sgd(nesterov, reset_at, momentum):
    """torch's SGD, made anew where the momentum is reset; L2 in the gradient."""

    def rule(p, g, memory, step):
        g = g + 5e-2 * p
        # as torch's first step
        anew = memory is None or step in reset_at
        memory = g if anew else g + momentum * memory
        move = g + momentum * memory if nesterov else memory
        return p - 0.1 * move, memory

    optimizer = classifiers(
        "sgd",
        0.1,
        l2=5e-2,
        momentum=momentum,
        nesterov=nesterov,
        reset_at=reset_at,
    )
    compare(optimizer, rule, steps=8)


def test_sgd_without_momentum():
    plain = classifiers("sgd", 0.1, momentum=0.0)
    compare(plain, lambda p, g, memory, step: (p - 0.1 * g, None))


def test_adam():
    def rule(p, g, memory, step):
        first, second = memory or (0.0, 0.0)
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
        unbiased = first / (1 - 0.9 ** (step + 1)), second / (1 - 0.999 ** (step + 1))
        move = unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
        return p - 1e-2 * move, (first, second)

    compare(classifiers("adam", 1e-2), rule)


def test_the_rate_falls_every_epoch():
    """60,000 images in batches of 64 are 937.5 steps: epochs of 938 and 937 by turns.

    A step is of the epoch that its first image is of.
    """
    rate = make_schedule(
        1.0, "epoch_decay", 13_125, decay=0.7, steps_per_epoch=60_000 / 64
    )
    for step in (0, 1, 937, 938, 1874, 1875, 13_124):
        epoch = step * 64 // 60_000
        np.testing.assert_allclose(rate(jnp.int32(step)), 0.7**epoch, rtol=1e-5)
    assert [int(s) * 64 // 60_000 for s in (937, 938, 1874, 1875)] == [0, 1, 1, 2]


def test_the_rate_falls_at_boundaries():
    rate = make_schedule(0.1, "step_decay", 350, decay=0.1, boundaries=(150, 250))
    steps = jnp.array([0, 149, 150, 249, 250, 10_000])
    expected = [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    np.testing.assert_allclose(jax.vmap(rate)(steps), expected, rtol=1e-6)
    never = make_schedule(0.1, "step_decay", 350, decay=0.1)
    np.testing.assert_allclose(never(jnp.int32(5)), 0.1)


def test_other_schedules_join_in():
    rate = make_schedule(1e-3, "cosine", 4)
    expected = [1e-3 * 0.5 * (1 + np.cos(np.pi * k / 4)) for k in range(4)]

    def rule(p, g, memory, step):
        return p - expected[step] * g, None

    optimizer = classifiers("sgd", rate, momentum=0.0)
    compare(optimizer, rule, steps=4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("adagrad", 1.0), "adagrad.*adadelta, sgd, adam"),
        (("sgd", 0.0), "learning_rate.*0.0"),
        (("sgd", float("nan")), "learning_rate.*nan"),
    ],
)
def test_bad_names_and_rates_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        classifiers(*arguments)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sgd", {"l2": -1e-4}, "l2.*-0.0001"),
        ("sgd", {"momentum": 1.0}, "momentum.*1.0"),
        ("sgd", {"reset_at": (5, 5)}, r"reset_at.*\(5, 5\)"),
        ("sgd", {"reset_at": (0,)}, r"reset_at.*\(0,\)"),
        ("sgd", {"nesterov": True, "momentum": 0.0}, "momentum=0.0"),
        ("adam", {"nesterov": True}, "'adam'"),
        ("adadelta", {"reset_at": (5,)}, "'adadelta'"),
    ],
)
def test_bad_options_are_refused(name, options, message):
    assert name in OPTIMIZERS
    with pytest.raises(ValueError, match=message):
        classifiers(name, 0.1, **options)


@pytest.mark.parametrize(
    ("schedule", "arguments", "message"),
    [
        ("epoch_decay", {"learning_rate": -1.0}, "learning_rate.*-1.0"),
        ("epoch_decay", {"decay": 0.0}, "decay.*0.0"),
        ("epoch_decay", {"steps_per_epoch": 0}, "steps_per_epoch.*0"),
        ("step_decay", {"boundaries": (20, 10)}, r"boundaries.*\(20, 10\)"),
        ("step_decay", {"boundaries": (0, 10)}, r"boundaries.*\(0, 10\)"),
        ("step_decay", {"learning_rate": float("inf")}, "learning_rate.*inf"),
    ],
)
def test_bad_schedules_are_refused(schedule, arguments, message):
    given = {"schedule": schedule, "num_steps": 100}
    with pytest.raises(ValueError, match=message):
        make_schedule(**{"learning_rate": 0.1} | arguments, **given)
