"""Splits, noise and weights of the published protocol, by its own numbers."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegressionCV

from flowjax_ood.ood import protocols

RNG = np.random.RandomState(0)
INSIDE, OUTSIDE = RNG.randn(60, 3) * [1, 9, 3] + 20, RNG.randn(40, 3) + 18

# of NumPy's legacy generator after seed(42)
FIT = {
    10_000: [6252, 4684, 1731, 4742, 4521, 6340, 576, 5202],
    26_032: [19461, 23119, 14070, 13742, 20902, 21565],
}
TEST = {
    10_000: [4896, 4782, 1496, 1957, 9171],
    26_032: [19821, 16804, 12805, 22812],
}


@pytest.mark.parametrize("count", FIT)
def test_split_is_the_published_permutation(count):
    split = protocols.split(count)
    for found, expected in zip((split.fit, split.test), (FIT[count], TEST[count])):
        np.testing.assert_array_equal(found[: len(expected)], expected)
    assert [len(part) for part in split] == [500, 500, count - 1000]


def test_what_is_chosen_by_is_the_second_half():
    assert protocols.split(10_000).choose[:5].tolist() == [6496, 6213, 7032, 7420, 1107]


@pytest.mark.parametrize(("count", "validation"), [(11, 4), (11, 5), (26_032, 1000)])
def test_parts_are_disjoint_and_complete(count, validation):
    together = np.concatenate(protocols.split(count, validation))
    np.testing.assert_array_equal(np.sort(together), np.arange(count))


@pytest.mark.parametrize("validation", [0, 3, 10, 11])
def test_split_needs_something_to_validate_and_to_test_on(validation):
    with pytest.raises(ValueError, match=f"of a set of 10, got {validation}"):
        protocols.split(10, validation)


@pytest.mark.parametrize(
    ("shape", "count", "start", "total"),
    [
        ((28, 28, 1), 10_000, [205, 198, 144, 199, 63, 59, 212, 231], 9_930_458),
        ((32, 32, 3), 26_032, [173, 8, 254, 16, 44, 20, 212, 225], 39_060_381),
    ],
)
def test_noise_is_the_published_one(shape, count, start, total):
    noise = protocols.repository_noise(shape, count)
    assert noise.shape == (100, *shape)
    drawn = noise.transpose(0, 3, 1, 2) * 255 + 127.5  # as drawn: channels first
    integers = np.rint(drawn).astype(int)
    np.testing.assert_allclose(drawn, integers, atol=1e-10)
    assert integers.ravel()[:8].tolist() == start
    assert (integers.sum(), integers.min(), integers.max()) == (total, 0, 254)


def test_tnr_at_tpr95():
    inside = np.arange(1, 101.0)  # 95 of 100 are 6 or more
    assert protocols.tnr_at_tpr95(inside, [0.0, 5.0, 6.0, 7.0]) == pytest.approx(0.5)
    assert protocols.tnr_at_tpr95(inside, inside) == pytest.approx(0.05)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_logistic_weights_are_scikit_learns():
    found = protocols.logistic_weights(INSIDE, OUTSIDE)
    model = LogisticRegressionCV(cv=5, scoring="accuracy", random_state=42).fit(
        np.concatenate([INSIDE, OUTSIDE]), np.repeat([1, 0], [60, 40])
    )
    new = RNG.randn(20, 3) * 5 + 19
    np.testing.assert_allclose(found(new), model.decision_function(new), rtol=1e-9)
    assert found(INSIDE).mean() > 0 > found(OUTSIDE).mean()


def test_logistic_weights_of_few_images_and_of_useless_features():
    few = protocols.logistic_weights(INSIDE[:3], OUTSIDE[:2])
    assert np.isfinite(few(INSIDE)).all()
    same = protocols.logistic_weights(np.ones((9, 2)), np.ones((9, 2)))
    np.testing.assert_allclose(same.weights, 0, atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logistic_weights_need_finite_features(value):
    with pytest.raises(ValueError, match="NaN or infinite"):
        protocols.logistic_weights(INSIDE, np.where(OUTSIDE > 19, value, OUTSIDE))


def test_uniform_weights_average_standardised_features():
    weights = protocols.uniform_weights(INSIDE)
    standardised = (OUTSIDE - INSIDE.mean(0)) / INSIDE.std(0)
    np.testing.assert_allclose(weights(OUTSIDE), standardised.mean(1), rtol=1e-10)


def test_uniform_weights_leave_out_what_does_not_vary():
    constant = np.full((60, 1), 0.1)
    weights = protocols.uniform_weights(np.concatenate([INSIDE, constant], axis=1))
    assert weights.weights[3] == 0
    np.testing.assert_allclose(
        weights.weights[:3], protocols.uniform_weights(INSIDE).weights * 3 / 4
    )
    assert protocols.uniform_weights(constant) == (0, 0)
