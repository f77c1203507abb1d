"""Likelihood maps: they sum to log p(x), and are what layers do at each value."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from flowjax_ood import bijectors, masks, models
from flowjax_ood.analysis.likelihood_map import MapParts, completed, likelihood_map
from flowjax_ood.bijectors import Chain, MaskedAffine, MaskedSpline
from flowjax_ood.distributions import ConditionalNormal, Flow
from flowjax_ood.networks import MADE, MLP
from tests.helpers.generic_variables import generic_variables

SMALL = {"width": 4, "blocks": 1, "norm": "none"}
FLOWS = {
    "multi-scale": models.RealNVP((8, 8, 2), **SMALL),
    "scan": models.RealNVP((8, 8, 1), **SMALL, scales=1, couplings=4, stack="scan"),
    "splines": models.RealNVP((8, 8, 1), **SMALL, coupling="spline"),
    "mixtures": models.RealNVP((8, 8, 1), **SMALL, coupling="mixture"),
    "glow": models.Glow((8, 8, 1), steps=2, width=4, layers=1),
    "maf": models.MAF((4, 4, 1), layers=2, hidden=(20,), orders=("columns", 3)),
    "masked splines": models.MAF(4, layers=2, hidden=(8,), transform="spline"),
    "jet": models.Jet((8, 8, 1), couplings=4, width=8),
    "tarflow": models.TarFlow((8, 8, 1), blocks=3, width=8, layers=1),
    "curves": Flow(
        Chain([bijectors.Logit(), bijectors.Tanh(), bijectors.ElementAffine(3, 1)]),
        (5,),
    ),
}


def given(flow, count=3, seed=0):
    x = jax.random.uniform(jax.random.key(seed), (count, *flow.event_shape))
    return generic_variables(flow, np.random.default_rng(seed), x), x


@pytest.mark.parametrize("name", FLOWS)
def test_a_map_sums_to_the_log_likelihood(name):
    # that what is spread evenly is a constant, each call checks
    flow = FLOWS[name]
    variables, x = given(flow)
    found = likelihood_map(flow, variables, x)
    assert found.shape == x.shape
    assert found.dtype == np.float64
    sums = found.reshape(len(x), -1).sum(1)
    np.testing.assert_allclose(sums, flow.apply(variables, x), rtol=2e-4)


@pytest.mark.parametrize("layer", [MaskedAffine, MaskedSpline])
def test_entries_of_one_autoregressive_layer_are_conditional_densities(layer):
    order = (2, 0, 1)
    flow = Flow(layer(partial(MADE, (8,)), order), (3,))
    variables, x = given(flow)
    found = likelihood_map(flow, variables, x)
    # x_1 is the last: its density given the others, over a fine grid
    grid = np.linspace(-30, 30, 20_001)
    many = np.repeat(np.asarray(x[:1]), len(grid), 0)
    many[:, 1] = grid
    maps = likelihood_map(flow, variables, jnp.asarray(many))
    assert np.trapezoid(np.exp(maps[:, 1]), grid) == pytest.approx(1, abs=1e-3)
    # and the others do not know it
    np.testing.assert_allclose(maps[:, [0, 2]] - found[0, [0, 2]], 0, atol=1e-4)
    # the first is of its own value alone
    other = x.at[:, :2].add(1.0)
    again = likelihood_map(flow, variables, other)
    np.testing.assert_allclose(again[:, 2], found[:, 2], atol=1e-4)
    assert np.abs(again[:, 0] - found[:, 0]).min() > 1e-3


def test_entries_lie_where_values_came_from():
    flow = Flow(
        Chain([bijectors.Patches((4, 6, 1), 2), bijectors.Reverse()]), (4, 6, 1)
    )
    x = jax.random.normal(jax.random.key(0), (2, 4, 6, 1))
    found = likelihood_map(flow, {}, x)
    np.testing.assert_allclose(found, stats.norm.logpdf(x), rtol=1e-5)


def test_what_a_coupling_sees_has_the_density_of_its_latents():
    strategy = masks.alternate_halves
    coupling = bijectors.AffineCoupling(partial(MLP, 8), strategy)
    flow = Flow(coupling, (6,))
    variables, x = given(flow)
    found = likelihood_map(flow, variables, x)
    seen = coupling.coupling_mask((6,)).seen
    np.testing.assert_allclose(found[:, seen], stats.norm.logpdf(x)[:, seen], rtol=1e-5)
    assert np.abs(found - stats.norm.logpdf(x))[:, ~seen].min() > 1e-4


def test_a_condition_is_taken():
    flow = models.MAF(3, layers=1, hidden=(8,))
    x, cond = jnp.ones((2, 3)), jnp.eye(2)
    variables = generic_variables(flow, np.random.default_rng(0), x, cond)
    found = likelihood_map(flow, variables, x, cond)
    np.testing.assert_allclose(found.sum(1), flow.apply(variables, x, cond), rtol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 1e-2


class Squared(bijectors.Bijector):
    """A layer whose log-determinant is not that of values, nor of what it sows."""

    sown: bool = False

    def forward(self, x, cond=None):
        if self.sown:
            self.sow("intermediates", "log_slope", jnp.zeros_like(x))
        return 2 * x, jnp.square(x).sum(1)


def test_an_event_far_away_hides_no_error_of_another():
    values = np.array([[1.0, 2.0], [3.0, 4.0], [4e6, 0.0]])
    exact = MapParts(values, values.sum(1) + 7)
    np.testing.assert_allclose(completed(exact).sum(1), exact.log_prob)
    wrong = MapParts(values, exact.log_prob + np.array([0, 300, 0]))
    with pytest.raises(ValueError, match="varies by 300 nats"):
        completed(wrong)
    # where most are far away, what rounding leaves of them is no measure of others
    far = np.array([[-1e9, 0.0], [-2e9, 1.0], [3.0, 4.0]])
    found = completed(MapParts(far, far.sum(1) + np.array([50.0, -90, 7])))
    np.testing.assert_allclose(found[2].sum(), 14)
    # one that is not finite is left alone
    lost = MapParts(values, np.array([10.0, np.nan, 4e6 + 7]))
    assert np.isnan(completed(lost)[1]).all()


@pytest.mark.parametrize(
    ("flow", "said"),
    [
        (Flow(Squared(), (2,)), "Squared is no sum over values"),
        (Flow(Squared(sown=True), (2,)), "varies by .* nats over events"),
        (Flow(bijectors.Haar(), (4, 4, 2)), "Haar is no sum over values"),
        (models.IAF(3, layers=1, hidden=(8,)), "inverted bijector"),
        (
            Flow(bijectors.Chain([]), (2,), ConditionalNormal()),
            "need the base StandardNormal",
        ),
    ],
)
def test_what_has_no_map_is_refused(flow, said):
    x = jax.random.uniform(jax.random.key(0), (3, *flow.event_shape))
    args = (x, jnp.eye(3)) if isinstance(flow.base, ConditionalNormal) else (x,)
    variables = flow.init(jax.random.key(0), *args)
    with pytest.raises(ValueError, match=said):
        likelihood_map(flow, variables, *args)
