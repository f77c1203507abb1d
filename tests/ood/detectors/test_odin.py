"""ODIN's step, temperature and choices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from flowjax_ood.ood import MSP, ODIN, Given, Network, auroc
from tests.helpers import blobs

NET, GIVEN = blobs.NETWORK, blobs.given(train=None)


@jax.jit
def logits(x):
    return NET.apply(NET.variables, x)[1]


def by_hand(x, magnitude, temperature):
    """One image at a time, from the cross-entropy of the predicted class; log-odds."""

    @jax.jit
    @jax.grad
    def gradient(x, y):
        return -jax.nn.log_softmax(logits(x[None])[0] / temperature)[y]

    labels = np.argmax(logits(x), axis=1)
    g = np.stack([gradient(row, y) for row, y in zip(x, labels)])
    moved = x - magnitude * np.where(g >= 0, 1, -1).astype(np.float32)
    z = np.asarray(logits(moved), np.float64) / temperature
    return special.logit(np.max(special.softmax(z, axis=1), axis=1))


@pytest.mark.parametrize(("magnitude", "temperature"), [(0.02, 1.0), (0.1, 1000.0)])
def test_score(magnitude, temperature):
    x = blobs.between(6)
    fitted = ODIN((magnitude,), (temperature,)).fit(NET)
    expected = by_hand(x, magnitude, temperature)
    np.testing.assert_allclose(fitted.score(x), expected, rtol=1e-4, atol=1e-6)
    assert fitted.chosen == {"magnitude": magnitude, "temperature": temperature}


def test_the_step_raises_confidence():
    x = blobs.between(30)
    plain, moved = (ODIN((m,), (10.0,)).fit(NET).score(x) for m in (0.0, 0.005))
    assert (moved > plain).all()


def test_without_step_and_temperature_it_is_msp():
    found = ODIN((0.0,), (1.0,)).fit(NET).score(blobs.TEST)
    expected = MSP().fit(NET).score(blobs.TEST)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_zero_gradient_counts_as_positive():
    """x - m s with s = +1: the first pixel, which nothing depends on, falls by m."""
    seen = []

    def apply(_, x):
        jax.debug.callback(lambda x: seen.append(np.asarray(x)), x)
        return {}, x[:, 1:] * jnp.asarray([2.0, -1.0])

    ODIN((0.25,), (1.0,)).fit(Network(apply)).score(np.full((1, 3), 0.5, np.float32))
    jax.effects_barrier()
    # the class of logit 2 x_1 is predicted: up with x_1 and with x_2
    np.testing.assert_allclose(seen[-1], [[0.25, 0.75, 0.75]])


def test_the_best_pair_is_chosen_on_second_halves_the_first_of_equals():
    inside, outside = GIVEN.id_validation, blobs.between(60) * 0.7
    outside = outside + 0.3 * blobs.images(60, seed=11)[0]
    magnitudes, temperatures = (0.1, 0.0), (1000.0, 1.0)
    rates = {}
    for m in magnitudes:
        for t in temperatures:
            one = ODIN((m,), (t,)).fit(NET)
            of_id, of_ood = one.score(inside[30:]), one.score(outside[30:])
            rates[m, t] = np.mean(of_ood < np.sort(of_id)[1])  # 29 of 30 are kept
    given = Given(id_validation=inside, ood_validation=outside)
    chosen = ODIN(magnitudes, temperatures).fit(NET, given).chosen
    best = max(rates, key=rates.get)  # the first of equals
    assert (chosen["magnitude"], chosen["temperature"]) == best
    assert chosen["tnr_at_tpr95"] == pytest.approx(rates[best], abs=1e-6)


@pytest.fixture
def rates(monkeypatch):
    """Scores that were compared, and the rates that are found, in their order."""
    seen, found = [], []

    def next_rate(of_id, of_ood):
        seen.append((of_id, of_ood))
        return found[len(seen) - 1]

    monkeypatch.setattr("flowjax_ood.ood.protocols.tnr_at_tpr95", next_rate)
    return seen, found


def test_pairs_are_compared_in_order_on_second_halves(rates):
    """Magnitudes in the outer loop, temperatures in the inner."""
    seen, found = rates
    found += [0.1, 0.9, 0.9, 0.2]
    fitted = ODIN((0.1, 0.0), (10.0, 1.0)).fit(NET, GIVEN)
    assert fitted.chosen == {"magnitude": 0.1, "temperature": 1, "tnr_at_tpr95": 0.9}
    one = ODIN((0.1,), (1.0,)).fit(NET)
    sets = (GIVEN.id_validation, GIVEN.ood_validation)
    for scores, x in zip(seen[1], sets, strict=True):
        np.testing.assert_allclose(scores, one.score(x)[30:], rtol=1e-4)
    np.testing.assert_allclose(fitted.score(sets[0]), one.score(sets[0]), rtol=1e-6)


def test_published_grid():
    detector = ODIN()
    assert (len(detector.magnitudes), detector.temperatures) == (22, (1, 10, 100, 1000))
    assert detector.requires.ood_validation
    assert detector.requires.gradients
    assert not ODIN((0.0,), (1000.0,)).requires.gradients


@pytest.mark.parametrize("outliers", [blobs.between, blobs.grey])
def test_unclear_images_are_outliers(outliers):
    """As for MSP, far outliers are confident: nothing flips the sign for them."""
    fitted = ODIN((0.01, 0.0), (1.0, 1000.0)).fit(NET, GIVEN)
    assert blobs.area(fitted, outliers()) > 0.95
    assert auroc(fitted.score(blobs.TEST), fitted.score(blobs.far())).value < 0.5


def test_scores_do_not_depend_on_batches():
    fitted = ODIN((0.05,), (10.0,)).fit(NET)
    one, other = fitted.score(blobs.TEST, 7), fitted.score(blobs.TEST, 90)
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_tokens_need_no_step():
    def apply(_, x):
        return {}, jax.nn.one_hot(x[:, 0], 3) * 5

    network, tokens = Network(apply), np.array([[0, 1], [2, 1], [1, 1], [0, 0]])
    assert np.isfinite(ODIN((0.0,), (10.0,)).fit(network).score(tokens)).all()
    given = Given(id_validation=tokens, ood_validation=tokens)
    chosen = ODIN((0.0,), (1.0, 10.0)).fit(network, given).chosen
    assert chosen["temperature"] == 1
    with pytest.raises(TypeError, match=r"ODIN changes its input.*int64"):
        ODIN((0.1, 0.0), (1.0,)).fit(network, given)


def test_errors():
    with pytest.raises(ValueError, match="ODIN needs id_validation and ood_validation"):
        ODIN().fit(NET)
    bad = blobs.TEST.copy()
    bad[4] = np.nan
    with pytest.raises(ValueError, match=r"ODIN has no score.*first is number 4"):
        ODIN((0.1,), (1.0,)).fit(NET).score(bad)
