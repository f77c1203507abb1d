"""An ensemble that answers by one member: whose answers they are, and errors."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import special

from flowjax_ood.defence import Keyed, Perceptual, Served, fidelity
from flowjax_ood.models import LeNet
from flowjax_ood.ood import Network
from flowjax_ood.training.members import DiverseMembers
from tests.helpers.tiny_members import KEY, SHAPE, ensemble, images

MODULE, VARIABLES = ensemble()
NETWORKS = MODULE.networks(VARIABLES)
SECRET = bytes(range(16))
SERVED = Served(NETWORKS, Keyed(SECRET))
X = images(90)


def everyone(networks, x):
    """What each network answers to all, `[M, N, C]`."""
    return np.stack([always(n, networks).predict(x) for n in range(len(networks))])


def always(number, networks=NETWORKS):
    return Served(networks, lambda x, members: np.full(len(x), number))


def test_each_answer_is_that_of_one_member_bit_for_bit():
    rows, members = everyone(NETWORKS, X), SERVED.member(X)
    assert set(members) == {0, 1, 2}
    found = SERVED.predict(X)
    assert (found.dtype, found.shape) == (np.float32, (90, 4))
    np.testing.assert_array_equal(found, rows[members, np.arange(90)])
    # others would have been told from it
    assert (found != rows[(members + 1) % 3, np.arange(90)]).any(axis=1).all()


def test_a_member_answers_with_its_probabilities():
    logits = np.float64([network.collect(X).logits for network in NETWORKS])
    expected = special.softmax(logits, axis=-1)
    np.testing.assert_allclose(everyone(NETWORKS, X), expected, rtol=1e-4)


@pytest.mark.parametrize("route", ["keyed", "perceptual"])
def test_an_answer_depends_on_no_batch_and_no_order(route):
    served = SERVED
    if route == "perceptual":
        hashing = ensemble(2, seed=9)
        served = Served(NETWORKS, Perceptual(hashing[0].networks(hashing[1])[0]))
    expected, order = served.predict(X), np.random.default_rng(0).permutation(90)
    np.testing.assert_array_equal(served.predict(X[order]), expected[order])
    for rows in (slice(0, 1), slice(3, 10), slice(40, 90)):
        np.testing.assert_array_equal(served.predict(X[rows]), expected[rows])
    again = Served(MODULE.networks(VARIABLES), served.route)
    np.testing.assert_array_equal(again.predict(X), expected)


def test_the_mean_over_routes_is_that_of_the_ensemble():
    turns = [
        Served(NETWORKS, lambda x, m, k=k: (Keyed(SECRET)(x, m) + k) % m).predict(X)
        for k in range(3)
    ]
    logits = MODULE.apply(VARIABLES, X / np.float32(255))
    expected = special.softmax(np.float64(logits), axis=-1).mean(1)
    np.testing.assert_allclose(np.mean(turns, axis=0), expected, rtol=1e-4)


def test_the_label_is_that_of_the_largest_probability():
    labels = SERVED.predict(X, output="label")
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(labels, SERVED.predict(X).argmax(1))


def test_one_network_is_served_as_it_is():
    for networks in (NETWORKS[1], NETWORKS[1:2]):
        alone = Served(networks, Keyed(SECRET))
        np.testing.assert_array_equal(alone.predict(X), always(1).predict(X))


@pytest.mark.thorough
def test_lenets_are_served():
    module = DiverseMembers(LeNet(), 2)
    variables = module.init(KEY, np.zeros((1, *SHAPE), np.float32))
    served = Served(module.networks(variables), Keyed(SECRET))
    found = served.predict(X[:5])
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    assert found.shape == (5, 10)
    # the other size of the fashion images
    with pytest.raises(ValueError, match=r"member 0 does not take .* \(9, 12, 1\)"):
        served.predict(np.zeros((2, 9, 12, 1), np.uint8))


def test_nothing_shows_the_secret():
    assert repr(SERVED) == "Served(route=Keyed(<secret>))"


def test_fidelity_by_hand():
    labels = np.tile([0, 1, 2, 3, 0], 2)

    class Says:
        def __init__(self, *answers):
            self.answers = np.tile(answers, 2)

        def predict(self, x, output):
            assert output == "label"
            return self.answers[: len(x)]

    target, clone = Says(0, 1, 2, 3, 1), Says(0, 1, 3, 2, 1)
    found = fidelity(clone, target, X[:10], labels)
    assert (found.target, found.clone, found.agreement) == (0.8, 0.4, 0.6)
    assert found.relative == 0.5
    never = fidelity(clone, Says(1, 0, 3, 2, 1), X[:10], labels)
    assert (never.target, np.isnan(never.relative)) == (0, True)
    with pytest.raises(ValueError, match="10"):
        fidelity(clone, target, X[:10], labels[:9])


# --- what is refused ------------------------------------------------------------------


def test_what_cannot_be_served():
    with pytest.raises(TypeError, match=r"takes Networks, got dict: .*\.networks\("):
        Served([{}], Keyed(SECRET))
    with pytest.raises(ValueError, match="needs a network or more, got none"):
        Served([], Keyed(SECRET))
    with pytest.raises(TypeError, match=r"must be a function, got bytes: Keyed\("):
        Served(NETWORKS, SECRET)
    other = Network(lambda _, x: ({}, x.reshape(len(x), -1)[:, :3]))
    with pytest.raises(ValueError, match=r"the same classes, got \[4, 3\]"):
        Served([NETWORKS[0], other], Keyed(SECRET)).predict(X)


@pytest.mark.parametrize(
    "route",
    [
        lambda x, members: np.full(len(x), members),
        lambda x, members: np.full(len(x), -1),
        lambda x, members: np.zeros(len(x)),
        lambda x, members: 0,
    ],
)
def test_a_route_gives_numbers_of_members(route):
    with pytest.raises(ValueError, match=r"must give \[90\] numbers .* 0 \.\.\. 2"):
        Served(NETWORKS, route).member(X)


def test_queries_that_are_refused():
    with pytest.raises(ValueError, match=r"unknown output 'logits'; known: prob"):
        SERVED.predict(X, output="logits")
    with pytest.raises(ValueError, match=r"does not take .*shape \(4, 8, 1\)"):
        SERVED.predict(X[:, :4])
    with pytest.raises(ValueError, match="there are no queries"):
        SERVED.predict(X[:0])
    with pytest.raises(TypeError, match="stored pixels, uint8, got float32"):
        SERVED.predict(X / np.float32(255))
    flat = Network(lambda _, x: ({}, x))
    with pytest.raises(ValueError, match=r"must be \[N, C\], got shape \(1, 8, 8, 1\)"):
        Served(flat, Keyed(SECRET)).predict(X)


def test_a_member_without_an_answer_is_named():
    def broken(variables, x):
        taps, logits = NETWORKS[1].apply(variables, x)
        return taps, logits * np.nan

    networks = (NETWORKS[0], replace(NETWORKS[1], apply=broken), NETWORKS[2])
    with pytest.raises(ValueError, match=r"member 1 has no answer to \d+ of"):
        Served(networks, Keyed(SECRET)).predict(X)
    np.testing.assert_array_equal(always(0, networks).predict(X), always(0).predict(X))
