"""Conditional wavelet flow: the chain rule over levels, and what each level is."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from flowjax_ood.evaluation.likelihood import evaluate_likelihood
from flowjax_ood.models import WaveletFlow
from flowjax_ood.runtime.parallel import Parallel
from tests.helpers.generic_variables import generic_variables
from tests.helpers.law_runs import run, wide

BATCH, VIEWS = 3, 2
small = partial(WaveletFlow, views=VIEWS, width=3, layers=1, couplings=2)
FLOWS = {
    "channel": small((1, 2, 4), levels=2, coarse="flow"),
    "space": small((2, 4, 1), levels=1, axis="space", coarse="flow"),
}
AFFINE = small((2, 2, 4), levels=2, block="affine")


def inputs(flow, count=BATCH, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=(count, *flow.volume_shape))
    y = rng.normal(size=(count, *flow.volume_shape[:2], flow.views))
    return jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)


@cache
def drawn(flow):
    """Random variables of every level: nothing at zero."""
    x, y = inputs(flow)
    rng, variables = np.random.default_rng(1), {}
    for name, which in zip(flow.names, [*range(1, flow.levels + 1), "coarse"]):
        rows = flow.examples(which, x, y)
        level = flow.level(which)
        variables[name] = generic_variables(level, rng, rows["x"], rows["cond"])
    return variables


def in_float64(function, *args):
    with jax.enable_x64(True):
        return run(function, *wide(args))


@pytest.mark.parametrize("axis", ["channel", "space"])
def test_the_parts_of_a_volume_make_it_again(axis):
    flow = small((8, 8, 4), levels=2, axis=axis)
    x, _ = inputs(flow)

    def there_and_back(x):
        parts = flow.decompose(x)
        return parts, flow.compose(parts)

    parts, again = in_float64(there_and_back, x)
    assert tuple(part.shape[1:] for part in parts) == flow.shapes()
    energy = sum((part**2).sum((1, 2, 3)) for part in parts)
    np.testing.assert_allclose(energy, (x.astype(float) ** 2).sum((1, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(again, x, atol=1e-12)
    np.testing.assert_allclose(run(there_and_back, x)[1], x, atol=1e-6)


def test_a_smaller_level_is_given_all_pixels_of_the_measurement():
    """The 2x2 pixels, and 4x4, that fall into one of the level, as channels of it."""
    flow = small((8, 8, 1), levels=2, axis="space")
    y = np.zeros((1, 8, 8, VIEWS), np.float32)
    y[0, 5, 2, 1] = 1
    for which, sides, at in ((1, 4, (2, 1)), (2, 2, (1, 0)), ("coarse", 2, (1, 0))):
        coarse = np.zeros((1, sides, sides, 1), np.float32)
        own = VIEWS * (8 // sides) ** 2 + (which != "coarse")
        cond = np.asarray(flow.condition(which, coarse, y))
        assert cond.shape == (1, sides, sides, own)
        assert cond.sum() == cond[0, at[0], at[1]].max() == 1


def test_planes_are_halved_level_by_level():
    shapes = small((8, 8, 4), levels=2).shapes()
    assert shapes == ((8, 8, 2), (8, 8, 1), (8, 8, 1))
    shapes = small((8, 8, 2), levels=2, axis="space").shapes()
    assert shapes == ((4, 4, 6), (2, 2, 6), (2, 2, 2))


@pytest.mark.thorough
@pytest.mark.parametrize("name", FLOWS)
def test_levels_add_up_to_the_density_of_the_volume(name):
    """log N(z) + log |det dz/dx| of the whole map, z of all levels."""
    flow = FLOWS[name]

    def compute(variables, x, y):
        def latents(x, y):
            z = []
            for name, which in zip(flow.names, [*range(1, flow.levels + 1), "coarse"]):
                rows = flow.examples(which, x[None], y[None])
                args = rows["x"], rows["cond"]
                level = flow.level(which)
                part = level.apply(variables[name], *args, method="latents")
                z.append(part.ravel())
            return jnp.concatenate(z)

        found = flow.log_prob(variables, x, y)
        assert found.complete
        jacobian = jax.vmap(jax.jacfwd(latents))(x, y)
        return found.levels, found.total, jax.vmap(latents)(x, y), jacobian

    levels, total, z, jacobian = in_float64(compute, drawn(flow), *inputs(flow))
    assert levels.shape == (BATCH, flow.levels)
    _, logdet = np.linalg.slogdet(jacobian.reshape(BATCH, 8, 8))
    np.testing.assert_allclose(total, norm.logpdf(z).sum(1) + logdet, rtol=1e-10)


@pytest.mark.thorough
def test_affine_levels_are_independent_gaussians():
    """With the mean of each as the reconstruction, given that of the coarser ones."""
    flow, (x, y) = AFFINE, inputs(AFFINE)

    def moments(variables, which, cond):
        level = flow.level(which)
        name = which if which == "coarse" else f"level_{which}"
        params = variables[name]["params"]["bijector"]["bijectors_0"]
        return level.bijector.bijectors[0].apply(
            {"params": params}, level.event_shape, cond, method="mean_and_log_scale"
        )

    def compute(variables, x, y):
        parts = flow.decompose(x)
        at_parts, coarse = [], moments(variables, "coarse", y)[0]
        for which in (2, 1):
            cond = flow.examples(which, x, y)["cond"]
            at_parts.append((parts[which - 1], *moments(variables, which, cond)))
            mean, _ = moments(variables, which, flow.condition(which, coarse, y))
            z = jnp.concatenate([coarse, mean], -1)
            pairs = jnp.split(z, 2, -1)
            both = [pairs[0] + pairs[1], pairs[0] - pairs[1]]
            coarse = jnp.stack(both, -1).reshape(z.shape) / jnp.sqrt(2.0)
        found = flow.log_prob(variables, x, y)
        assert not found.complete
        still = flow.reconstruct(variables, y)
        return found.levels, found.total, at_parts, coarse, still

    levels, total, at_parts, expected, still = in_float64(compute, drawn(flow), x, y)
    for column, (part, mean, log_scale) in zip((1, 0), at_parts):
        own = norm.logpdf(part, mean, np.exp(log_scale)).sum((1, 2, 3))
        np.testing.assert_allclose(levels[:, column], own, rtol=1e-10)
    np.testing.assert_allclose(total, levels.sum(1), rtol=1e-12)
    np.testing.assert_allclose(still, expected, atol=1e-10)


def test_affine_details_do_not_depend_on_each_other():
    flow, (x, y) = AFFINE, inputs(AFFINE)
    rows, level = flow.examples(1, x, y), flow.level(1)

    def latents(d, cond):
        args = drawn(flow)["level_1"], d[None], cond[None]
        return level.apply(*args, method="latents").ravel()

    jacobian = run(jax.jacfwd(latents), rows["x"][0], rows["cond"][0])
    jacobian = jacobian.reshape(8, 8)
    np.testing.assert_array_equal(jacobian[~np.eye(8, dtype=bool)], 0)
    assert (np.diag(jacobian) > 0).all()


def test_a_coarse_regression_is_least_squares():
    flow, (x, y) = AFFINE, inputs(AFFINE)
    rows, level = flow.examples("coarse", x, y), flow.level("coarse")
    np.testing.assert_array_equal(rows["cond"], y)

    def compute(variables, c, y):
        found = level.apply(variables, c, y)
        return found, level.apply(variables, jnp.zeros_like(c), y, method="latents")

    found, minus_mean = in_float64(compute, drawn(flow)["coarse"], rows["x"], y)
    expected = norm.logpdf(np.asarray(rows["x"], float) + minus_mean).sum((1, 2, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.thorough
def test_at_the_start_details_are_standard_normal():
    flow = small((8, 8, 4), block="coupling")
    x, y = inputs(flow)
    variables = flow.init(jax.random.key(0), x, y)
    details = flow.decompose(x)[:2]
    expected = [norm.logpdf(d.astype(float)).sum((1, 2, 3)) for d in details]
    found = run(flow.log_prob, variables, x, y)
    np.testing.assert_allclose(found.levels, np.stack(expected, 1), rtol=1e-5)


@pytest.mark.thorough
def test_draws_have_the_levels_mean_and_variance():
    flow = small((2, 2, 2), levels=1, block="affine")
    count = 4000
    y = jnp.repeat(inputs(flow)[1][:1], count, axis=0)
    variables = drawn(flow)

    def compute(variables, y, key):
        warm = flow.reconstruct(variables, y, key, 1.0)
        return flow.decompose(warm), flow.decompose(flow.reconstruct(variables, y[:1]))

    (d, c), (mean, still) = run(compute, variables, y, jax.random.key(0))
    np.testing.assert_allclose(c, np.broadcast_to(still, c.shape), atol=1e-5)
    params = variables["level_1"]["params"]["bijector"]["bijectors_0"]
    _, log_scale = (
        flow.level(1)
        .bijector.bijectors[0]
        .apply(
            {"params": params},
            (2, 2, 1),
            flow.condition(1, jnp.asarray(still), y[:1]),
            method="mean_and_log_scale",
        )
    )
    scale = np.exp(log_scale)
    assert np.abs(log_scale).max() > 0.05
    z = ((d - mean) / scale).astype(float)
    assert np.abs(z.mean(0)).max() < 4 / np.sqrt(count)
    assert np.abs(z.var(0) - 1).max() < 4 * np.sqrt(2 / count)


def test_one_more_level_leaves_the_finer_ones_as_they_are():
    one, two = (small((8, 8, 4), levels=n) for n in (1, 2))
    x, y = inputs(one)
    one, two = (flow.init(jax.random.key(3), x, y) for flow in (one, two))
    assert list(two) == ["level_1", "level_2", "coarse"]
    jax.tree.map(np.testing.assert_array_equal, one["level_1"], two["level_1"])


def test_the_kernel_is_of_what_is_computed_from_the_condition_alone():
    flow = small((8, 8, 4), levels=1, kernel=5, couplings=2)
    shapes = jax.eval_shape(flow.init, jax.random.key(0), *inputs(flow))
    found = {
        jax.tree_util.keystr(path): leaf.shape[:2]
        for path, leaf in jax.tree_util.tree_leaves_with_path(shapes["level_1"])
        if "conv_0" in jax.tree_util.keystr(path) and leaf.ndim == 4
    }
    assert len(found) == 3
    for path, sides in found.items():
        assert sides == ((5, 5) if "bijectors_0" in path else (3, 3)), path


def test_a_level_is_scored_like_any_flow():
    flow, (x, y) = AFFINE, inputs(AFFINE)
    rows = {k: np.asarray(v) for k, v in flow.examples(2, x, y).items()}
    found = evaluate_likelihood(
        flow.level(2),
        drawn(flow)["level_2"],
        rows["x"],
        key=jax.random.key(0),
        batch_size=2,
        parallel=Parallel("jit", jax.devices()[:1]),
        cond=rows["cond"],
        label=None,
    )
    levels = run(flow.log_prob, drawn(flow), x, y).levels
    np.testing.assert_allclose(found.log_pz + found.logdet, levels[:, 1], rtol=1e-5)


@pytest.mark.thorough
def test_nan_in_a_measurement_is_nan_in_its_row_alone():
    flow, (x, y) = AFFINE, inputs(AFFINE)
    total = flow.log_prob(drawn(flow), x, y.at[1, 0, 0, 0].set(jnp.nan)).total
    np.testing.assert_array_equal(np.isnan(total), [False, True, False])


def test_equal_flows_are_one_static_argument():
    assert hash(small((8, 8, 4))) == hash(small([8, 8, 4]))
    assert small((8, 8, 4)) == small([8, 8, 4]) != small((8, 8, 4), levels=1)
    assert small((8, 8, 4)).level(1) == small([8, 8, 4]).level(1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"volume_shape": (8, 8, 6)}, "level 2 of 2: .* cannot pair 3 channels"),
        ({"volume_shape": (6, 6, 1), "axis": "space"}, "level 2 of 2: .* pair 3x3"),
        ({"volume_shape": (8, 8)}, r"must be \(H, W, D\)"),
        ({"levels": 0}, "levels must be at least 1, got 0"),
        ({"views": 0}, "views must be at least 1"),
        ({"kernel": 4}, "kernel must be odd, got 4"),
        ({"axis": "depth"}, "unknown axis 'depth'"),
        ({"block": "spline"}, "unknown block 'spline'; known: coupling, affine"),
        ({"coarse": "none"}, "unknown coarse 'none'; known: regression, flow"),
        ({"max_log_scale": 0}, "max_log_scale must be positive"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        WaveletFlow(**{"volume_shape": (8, 8, 4), "views": 2} | arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[..., :2], y), r"volumes must be \[B, 2, 2, 4\]"),
        (lambda x, y: ((255 * x).astype("uint8"), y), "dequantise"),
        (lambda x, y: (x, y[:, :1]), "of the sides of the volume"),
        (lambda x, y: (x, y[..., :1]), "one view a channel"),
        (lambda x, y: (x, y.astype(int)), "measurements must be floating-point"),
        (lambda x, y: (x, y[:2]), "each of the 3 volumes, got 2"),
    ],
)
def test_other_events_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        AFFINE.log_prob(drawn(AFFINE), *change(*inputs(AFFINE)))


def test_other_requests_are_refused():
    variables, (x, y) = drawn(AFFINE), inputs(AFFINE)
    with pytest.raises(ValueError, match="temperature must be"):
        AFFINE.reconstruct(variables, y, jax.random.key(0), -1.0)
    with pytest.raises(ValueError, match="draws samples: give a key"):
        AFFINE.reconstruct(variables, y, temperature=0.5)
    with pytest.raises(ValueError, match="level must be at most 2, got 3"):
        AFFINE.level(3)
    with pytest.raises(ValueError, match="level must be at least 1, got 0"):
        AFFINE.level(0)
    with pytest.raises(ValueError, match="a number or 'coarse', got 'fine'"):
        AFFINE.level("fine")
    with pytest.raises(ValueError, match="parts of a volume have shapes"):
        AFFINE.compose(AFFINE.decompose(x)[:2])
