"""`average` is a weighted mean; private leaves, and classes nobody saw, stay out."""

import jax
import numpy as np
import optax
import pytest

from flowjax_ood.federated import average, mean_head
from flowjax_ood.training.state import create_state
from tests.federated.toy import DIMS, Small, same


def params(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    shapes = {"body": {"kernel": (3, 2)}, "head": {"kernel": (2, 4), "bias": (4,)}}
    return jax.tree.map(
        lambda shape: rng.normal(size=shape).astype(np.float32),
        shapes,
        is_leaf=lambda leaf: isinstance(leaf, tuple),
    )


STATES = [params(seed) for seed in range(3)]
WEIGHTS = [1.0, 5.0, 2.0]


def test_equal_states_are_returned_bit_for_bit():
    x = np.zeros((1, DIMS), np.float32)
    state = create_state(Small(), optax.adam(0.1), jax.random.key(0), x)
    for mean in average([state, state, state], [0.3, 7, 1e-9]):
        assert same(mean, state)
        assert mean.params["body"]["kernel"].dtype == np.float32


def test_it_is_the_weighted_mean_whatever_the_order():
    found = average(STATES, WEIGHTS)
    kernels = np.stack([s["body"]["kernel"].astype(np.float64) for s in STATES])
    expected = np.average(kernels, axis=0, weights=WEIGHTS)
    np.testing.assert_allclose(found[0]["body"]["kernel"], expected, atol=1e-6)
    assert same(found[0], found[2])
    turned = average(STATES[::-1], WEIGHTS[::-1])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), turned[0], found[0]
    )
    doubled = average([jax.tree.map(lambda a: 2 * a, s) for s in STATES], WEIGHTS)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, 2 * b, atol=1e-6),
        doubled[0],
        found[0],
    )


def test_private_leaves_are_untouched_and_public_ones_equal():
    found = average(STATES, WEIGHTS, private=("head",))
    for before, after in zip(STATES, found, strict=True):
        assert same(after["head"], before["head"])
        assert same(after["body"], found[0]["body"])
        assert not same(after["body"], before["body"])
    found = average(STATES, WEIGHTS, private=("bias",))
    assert same(found[1]["head"]["bias"], STATES[1]["head"]["bias"])
    assert same(found[1]["head"]["kernel"], found[0]["head"]["kernel"])


def test_a_weight_of_zero_leaves_a_client_out():
    kernel = average(STATES, [0, 1, 0])[0]["body"]["kernel"]
    np.testing.assert_allclose(kernel, STATES[1]["body"]["kernel"], atol=1e-7)


@pytest.mark.parametrize(
    ("states", "weights", "private", "said"),
    [
        (STATES, [1, -1, 3], (), "must not be negative"),
        (STATES, [0, 0, 0], (), "sum to more than 0"),
        (STATES, [1, np.nan, 1], (), "must not be negative"),
        (STATES, [1, np.inf, 1], (), "must not be negative"),
        (STATES, [1, 1], (), "a weight for each of 3 states"),
        ([], [], (), "no states"),
        (STATES, WEIGHTS, ("haed",), "'haed' is not .* did you mean 'head'"),
        ([params(0), {"body": 0.0}], [1, 1], (), "one structure"),
        ([{"a": np.zeros(2)}, {"a": np.zeros(3)}], [1, 1], (), r"a has shapes \(2,\)"),
        ([{"n": np.int32(1)}, {"n": np.int32(2)}], [1, 1], (), "n holds whole numbers"),
    ],
)
def test_what_cannot_be_averaged_is_refused(states, weights, private, said):
    with pytest.raises(ValueError, match=said):
        average(states, weights, private)


def test_a_head_is_averaged_over_those_who_know_the_class():
    heads = [(s["head"]["kernel"], s["head"]["bias"]) for s in STATES]
    counts = np.array([[9, 1, 0, 3], [3, 0, 0, 0], [0, 0, 5, 3]])
    w, b = mean_head(heads, counts)
    np.testing.assert_allclose(
        w[:, 0], 0.75 * heads[0][0][:, 0] + 0.25 * heads[1][0][:, 0], rtol=1e-5
    )
    np.testing.assert_array_equal(w[:, 1], heads[0][0][:, 1])
    np.testing.assert_array_equal(w[:, 2], heads[2][0][:, 2])
    assert b[3] == pytest.approx((heads[0][1][3] + heads[2][1][3]) / 2)
    with pytest.raises(ValueError, match="no client has class 2"):
        mean_head(heads, counts * [1, 1, 0, 1])
    with pytest.raises(ValueError, match=r"counts must be \[3, 4\], .* \[2, 4\]"):
        mean_head(heads, counts[:2])
