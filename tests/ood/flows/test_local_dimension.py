"""Local dimensions of linear flows, restated; their p-values beside log p(x)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from flowjax_ood import ood
from flowjax_ood.bijectors import ActNorm, Chain
from flowjax_ood.distributions import Flow
from flowjax_ood.ood.flows.local_dimension import (
    Spectrum,
    counted_dimension,
    radius_of,
    smooth_dimension,
    spectrum,
)
from tests.helpers.scored_flows import images, simple_flow, vector_flow

RANK, DIMS, NOISE = 3, 7, 1e-3
RNG = np.random.default_rng
# three directions of standard deviation 1, four of 0.001
STD = np.array([1.0, 1, 1, NOISE, NOISE, NOISE, NOISE])


def linear_flow():
    """`x = diag(STD) z`."""
    log_scale = -np.log(STD).astype(np.float32)
    params = {"log_scale": log_scale, "bias": np.zeros(DIMS, np.float32)}
    variables = {"params": {"bijector": {"bijectors_0": params}}}
    return ood.ScoredFlow(Flow(Chain([ActNorm()]), (DIMS,)), variables)


FLOW = linear_flow()


def events(count, seed=0):
    return (STD * RNG(seed).normal(size=(count, DIMS))).astype(np.float32)


def given(count=120, seed=1):
    train, held_out = events(count, seed), events(count, seed + 1)
    return ood.Given(train=FLOW.collect(train), id_validation=FLOW.collect(held_out))


def random_spectrum(seed=0, count=50):
    rng = RNG(seed)
    return Spectrum(
        np.exp(3 * rng.normal(size=(count, 6))), rng.normal(size=(count, 6)) ** 2
    )


def test_the_dimension_of_a_linear_flow_is_its_rank():
    found = spectrum(FLOW, events(300), "x")
    assert (counted_dimension(found, np.log(0.03)) == RANK).all()
    smooth = smooth_dimension(found, np.log(0.03))
    np.testing.assert_allclose(smooth, RANK, atol=0.1)
    # far from the mode of the thin directions, noise of the radius finds them
    far = spectrum(FLOW, events(1) + np.float32(0.5), "x")
    assert smooth_dimension(far, np.log(0.03)) > 100


@pytest.mark.thorough
def test_the_spectrum_is_that_of_the_inverse():
    flow = vector_flow(5)
    x = RNG(0).normal(size=(6, 5)).astype(np.float32)
    found = spectrum(flow, x, "x")

    def inverse(z):
        return flow.flow.apply(flow.variables, z[None], method="from_latents")[0]

    z = jnp.asarray(flow.collect(x).flat_latents())
    jacobians = np.asarray(jax.jit(jax.vmap(jax.jacfwd(inverse)))(z), np.float64)
    products = jacobians.swapaxes(1, 2) @ jacobians
    values, vectors = np.linalg.eigh(products)
    order = np.argsort(found.variances, 1)
    np.testing.assert_allclose(
        np.take_along_axis(found.variances, order, 1), values, rtol=1e-3
    )
    along = np.einsum("nij,ni->nj", vectors, np.asarray(z, np.float64)) ** 2
    np.testing.assert_allclose(
        np.take_along_axis(found.squares, order, 1), along, rtol=1e-2, atol=1e-3
    )


def test_the_spectrum_of_images_has_the_determinant_of_the_flow():
    flow, x = simple_flow(), images(6)
    outputs, found = flow.collect(x), spectrum(flow, x, "x")
    np.testing.assert_allclose(
        -np.log(found.variances).sum(1) / 2, outputs.log_determinant, rtol=1e-4
    )
    lengths = (outputs.flat_latents().astype(float) ** 2).sum(1)
    np.testing.assert_allclose(found.squares.sum(1), lengths, rtol=1e-4)


@pytest.mark.parametrize("radius", [-1.0, 0.3])
def test_the_smooth_dimension_is_a_derivative_of_the_noisy_density(radius):
    """D more than that of log N(J z; 0, J J' + t I) by log sqrt(t)."""
    rng = RNG(2)
    jacobian, z = rng.normal(size=(4, 4)) * [1, 0.5, 2, 0.1], rng.normal(size=4)

    def density(radius):
        noisy = jacobian @ jacobian.T + np.exp(2 * radius) * np.eye(4)
        return stats.multivariate_normal(np.zeros(4), noisy).logpdf(jacobian @ z)

    derivative = (density(radius + 1e-5) - density(radius - 1e-5)) / 2e-5
    _, values, right = np.linalg.svd(jacobian)
    one = Spectrum(values[None] ** 2, (right @ z)[None] ** 2)
    found = smooth_dimension(one, radius)
    np.testing.assert_allclose(found, 4 + derivative, rtol=1e-6)


def test_dimensions_fall_from_all_to_none():
    found = random_spectrum()
    even = found._replace(squares=np.ones_like(found.squares))
    for dimension, of in ((counted_dimension, found), (smooth_dimension, even)):
        values = np.stack([dimension(of, r) for r in np.linspace(-20, 20, 81)])
        assert (np.diff(values, axis=0) <= 1e-9).all()
        np.testing.assert_allclose(values[[0, -1]].T, [[6, 0]] * 50, atol=1e-6)
    np.testing.assert_allclose(smooth_dimension(found, -20), 6, atol=1e-6)
    np.testing.assert_allclose(smooth_dimension(found, 20), 0, atol=1e-6)


@pytest.mark.parametrize("method", ["smooth", "count"])
def test_the_radius_gives_the_wanted_mean(method):
    found = random_spectrum(3)
    radius = radius_of(method, found, 2.5)
    dimension = {"smooth": smooth_dimension, "count": counted_dimension}[method]
    # a count jumps by 1 / 50 at a time
    np.testing.assert_allclose(dimension(found, radius).mean(), 2.5, atol=0.021)


@pytest.mark.parametrize("method", ["smooth", "count"])
def test_the_score_is_the_smaller_rank(method):
    data, x = given(), events(40, 5)
    fitted = ood.LocalDimension(method, dimension=2.5).fit(FLOW, data)
    lam = STD**2
    z = {name: v / STD for name, v in (("train", data.train.events), ("x", x))}
    z["held out"] = data.id_validation.events / STD

    def dimension(z, radius):
        t = np.exp(2 * radius)
        if method == "count":
            return np.broadcast_to((lam > t).sum(), len(z)).astype(float)
        return DIMS + t * (lam * (z / (lam + t)) ** 2 - 1 / (lam + t)).sum(1)

    # kept to 100 reference and calibration images, drawn by the seed
    kept = np.sort(RNG(0).permutation(120)[:100])
    grid = np.linspace(-9, 2, 20001)
    means = np.array([dimension(z["train"][kept], r).mean() for r in grid])
    radius = grid[np.argmax(means <= 2.5)]
    held_out, log_prob = z["held out"][kept], -(z["held out"][kept] ** 2).sum(1)
    p = [
        ood.low_p(dimension(z["x"], radius), dimension(held_out, radius)),
        ood.low_p(-(z["x"] ** 2).sum(1), log_prob),
    ]
    expected = np.min(p, 0) + np.max(p, 0) / 101
    # ranks of numbers that differ by rounding or by the grid may be swapped
    assert np.mean(np.abs(fitted.score(x) - expected) < 1e-9) > 0.9
    np.testing.assert_allclose(fitted.score(x), expected, atol=0.03)


def test_the_dimension_is_that_of_principal_components():
    data, x = given(), events(30, 5)
    spread = np.linalg.svd(data.train.events - data.train.events.mean(0))[1] ** 2
    wanted = (spread > 0.001 * spread[0]).sum()
    assert wanted == RANK
    found = ood.LocalDimension().fit(FLOW, data).score(x)
    given_it = ood.LocalDimension(dimension=float(wanted)).fit(FLOW, data).score(x)
    np.testing.assert_array_equal(found, given_it)


def test_few_false_alarms_in_distribution():
    fitted = ood.LocalDimension().fit(FLOW, given(100))
    p = fitted.score(events(1500, 9))
    for level in (0.05, 0.1, 0.3):
        # each of two tests at its level, with 100 calibration images
        allowed = 2 * level + 8 * np.sqrt(level / 100)
        assert 0.5 * level < np.mean(p <= level) < allowed


def test_a_dense_image_in_a_thin_region_is_found():
    """At the mode, log p(x) is as high as can be and no direction is seen."""
    data = given()
    fitted = ood.LocalDimension().fit(FLOW, data)
    mode = np.zeros((1, DIMS), np.float32)
    assert ood.low_p(FLOW.collect(mode).log_prob, data.id_validation.log_prob) == 1
    assert fitted.score(mode) < 0.05
    # and one far away is found by its density
    assert fitted.score(mode + np.float32(0.5)) < 0.05


def test_scores_are_of_the_event_alone():
    fitted, x = ood.LocalDimension().fit(FLOW, given()), events(9, 6)
    found = fitted.score(x)
    np.testing.assert_allclose(fitted.score(x[::-1])[::-1], found, rtol=1e-9)
    np.testing.assert_allclose(fitted.score(x[4:5]), found[4:5], rtol=1e-9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"references": 10}, "references must be at least 20, got 10"),
        ({"dimension": 7}, "between 0 and 7.*got 7"),
        ({"share": 1e-9}, "between 0 and 7.*larger .share."),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ood.LocalDimension(**settings).fit(FLOW, given())


def test_other_settings_and_data_are_refused():
    for settings in ({"method": "knn"}, {"dimension": -1}, {"share": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(settings))} must be"):
            ood.LocalDimension(**settings)
    with pytest.raises(ValueError, match="needs 20 calibration images"):
        ood.LocalDimension().fit(FLOW, given(19))
    broken = events(8)
    broken[5] = np.nan
    with pytest.raises(ValueError, match="not finite for event number 5"):
        spectrum(FLOW, broken, "lid")
