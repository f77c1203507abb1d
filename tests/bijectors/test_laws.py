"""Laws every bijector keeps, checked over the table of `law_table.py`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.bijectors import (
    ActNorm,
    Autoregressive,
    CausalAffine,
    ConditionAffine,
    Coupling,
    Householder,
    InvertibleConv1x1,
    Repeat,
    VariationalDequantization,
    event_size,
    leaves,
    walk,
)
from tests.helpers.law_runs import flat, in_float32, in_float64
from tests.helpers.law_table import (
    ALL,
    BATCH,
    COUPLINGS,
    LARGE,
    MODELS,
    OWN_CODE,
    TABLE,
    case,
)

OWN_PARAMETERS = (ActNorm, Autoregressive, CausalAffine, ConditionAffine, Coupling)
OWN_PARAMETERS += (Householder, InvertibleConv1x1, Repeat, VariationalDequantization)


def close(actual, expected, tolerance):
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def check_round_trip(trip, tolerance):
    close(trip.x_again, trip.x, tolerance)
    close(trip.inverse_logdet, -trip.logdet, tolerance)


@pytest.mark.parametrize("name", TABLE)
def test_inverse_undoes_forward_in_float64(name):
    check_round_trip(in_float64(name)[0], 1e-9)


@pytest.mark.parametrize("name", TABLE)
def test_forward_undoes_inverse_in_float64(name):
    check_round_trip(in_float64(name)[1], 1e-9)


@pytest.mark.thorough
@pytest.mark.parametrize("name", OWN_CODE)
def test_inverse_undoes_forward_in_float32(name):
    check_round_trip(in_float32(name)[0], 5e-5)


@pytest.mark.parametrize("name", TABLE)
def test_logdet_is_that_of_the_jacobian(name):
    trip, _, alone = in_float64(name)
    _, logdet = np.linalg.slogdet(alone.jacobian)
    close(trip.logdet, logdet, 1e-9)


@pytest.mark.parametrize("name", TABLE)
def test_vmap_over_examples_equals_the_batch(name):
    trip, _, alone = in_float64(name)
    close(alone.z, trip.z, 1e-12)
    close(alone.logdet, trip.logdet, 1e-12)


@pytest.mark.parametrize("name", COUPLINGS)
def test_a_coupling_changes_what_its_mask_says(name):
    trip, _, _ = in_float64(name)
    changed = case(name).bijector.coupling_mask(COUPLINGS[name][1]).changed.ravel()
    assert (trip.z[:, ~changed] == trip.x[:, ~changed]).all()
    moved = (trip.z != trip.x)[:, changed]
    # a spline leaves alone what is outside its bound
    bound = getattr(case(name).bijector, "bound", np.inf)
    inside = np.abs(trip.x[:, changed]) < bound
    assert inside.any()
    assert (moved == inside).all()


@pytest.mark.parametrize("name", COUPLINGS)
def test_a_coupling_uses_what_its_mask_says(name):
    jacobian = in_float64(name)[2].jacobian
    mask = case(name).bijector.coupling_mask(COUPLINGS[name][1])
    seen, changed = mask.seen.ravel(), mask.changed.ravel()
    own = np.eye(seen.size, dtype=bool)
    allowed = own | (changed[:, None] & seen[None, :])
    assert (jacobian[:, ~allowed] == 0).all()
    assert (jacobian[:, ~changed] == own[~changed]).all()
    # and the seen part is used at all, by every example
    influence = np.abs(jacobian[:, changed][:, :, seen])
    assert (influence.reshape(len(influence), -1).max(axis=1) > 0).all()


# models are made of what the others cover, and slow one operation at a time
@pytest.mark.thorough
@pytest.mark.parametrize("name", [n for n in OWN_CODE if n not in MODELS | LARGE])
def test_one_example_uncompiled_equals_the_compiled_batch(name):
    # batch independence, and jit against eager, in one
    subject, trip = case(name), in_float32(name)[0]
    cond = None if subject.cond is None else subject.cond[1:2]
    z, logdet = subject.bijector.apply(subject.variables, subject.x[1:2], cond)
    close(flat(z)[0], trip.z[1], 2e-5)
    close(logdet[0], trip.logdet[1], 2e-5)


@pytest.mark.parametrize("name", OWN_CODE)
def test_gradients_are_finite_and_reach_every_parameter(name):
    _, by_params, by_x = in_float32(name)
    assert np.isfinite(by_x).all()
    assert (np.abs(by_x).reshape(BATCH, -1).max(axis=1) > 0).all()
    for path, gradient in jax.tree_util.tree_leaves_with_path(by_params):
        name = "/".join(key.key for key in path)
        assert np.isfinite(gradient).all(), name
        # of the rescale's direction only the sign counts
        assert (np.abs(gradient).max() > 0) != name.endswith("rescale/v"), name


@pytest.mark.parametrize("name", ALL)
def test_shapes_are_announced(name):
    subject = case(name)
    shape = subject.x.shape[1:]
    z, _ = jax.eval_shape(
        subject.bijector.apply, subject.variables, subject.x, subject.cond
    )
    actual = tuple(a.shape[1:] for a in leaves(z))
    announced = subject.bijector.latent_shape(shape)
    assert announced == (actual if isinstance(z, tuple) else actual[0])
    assert subject.bijector.data_shape(announced) == shape
    assert event_size(announced) == event_size(shape)


@pytest.mark.parametrize("name", ALL)
def test_walk_leads_to_the_parameters(name):
    subject = case(name)
    params = subject.variables.get("params", {})
    found = 0
    for path, leaf in walk(subject.bijector):
        tree = params
        for key in path:
            tree = tree.get(key, {})
        assert bool(tree) == isinstance(leaf, OWN_PARAMETERS), path
        found += len(jax.tree.leaves(tree))
    assert found == len(jax.tree.leaves(params))


@pytest.mark.parametrize("name", OWN_CODE)
def test_float32_stays_float32(name):
    trip = in_float32(name)[0]
    assert {array.dtype for array in trip} == {np.dtype("float32")}


# a scan needs events of one type, and float32 parameters widen narrow ones
@pytest.mark.parametrize("name", [n for n in ALL if not n.startswith("repeat")])
def test_logdets_of_narrow_events_are_float32(name):
    subject = case(name)
    _, logdet = jax.eval_shape(
        subject.bijector.apply,
        subject.variables,
        subject.x.astype(jnp.bfloat16),
        subject.cond,
    )
    assert logdet.dtype == jnp.float32
    assert logdet.shape == (BATCH,)
