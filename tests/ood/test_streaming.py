"""Fits to batches give the scores of a fit in memory, whatever batches and order."""

import jax
import numpy as np
import pytest

from flowjax_ood import ood
from flowjax_ood.ood import Given, Network, Outputs, fit_stream
from flowjax_ood.ood.moments import Moments
from flowjax_ood.ood.summaries import Bank
from tests.helpers import blobs

NET, TRAIN, LABELS = blobs.NETWORK, blobs.TRAIN, blobs.LABELS
OUTPUTS = NET.collect(TRAIN)
QUERY = NET.collect(blobs.TEST)
GIVEN = Given(id_validation=blobs.VALIDATION)
OF_OUTPUTS = [
    *(ood.MahalanobisFeatures(), ood.MahalanobisFeatures(0.1)),
    *(ood.MahalanobisPlusPlus(), ood.RelativeMahalanobisPlusPlus()),
    *(ood.RelativeMahalanobis(), ood.KNN(7), ood.ViM(), ood.ReAct(), ood.DICE(0.5)),
    *(ood.NCI(), ood.CARef(), ood.CADRef(), ood.NECO(), ood.PNML(), ood.VRA()),
    *(
        ood.Relation(),
        ood.CFOOD(),
        ood.SHE(),
        ood.FDBD(),
        ood.NNGuide(),
        ood.KLMatching(),
        ood.ASH(),
        ood.MSP(),
    ),
]
LAYERS = ood.MahalanobisLayers("uniform", (0.0,))


def part(outputs, rows):
    return jax.tree.map(lambda a: a[rows], outputs)


def in_parts(cuts, order=None):
    """`(Outputs, labels)` in batches that end at the cuts."""
    order = np.arange(300) if order is None else order
    return [(part(OUTPUTS, rows), LABELS[rows]) for rows in np.split(order, cuts)]


def scores(fitted):
    return [f.score_outputs(QUERY) for f in fitted]


@pytest.fixture(scope="module")
def expected():
    given = Given(OUTPUTS, LABELS)
    return scores([d.fit(NET, given) for d in OF_OUTPUTS])


@pytest.mark.parametrize(
    ("cuts", "shuffled"),
    [
        ([], False),
        ([1, 2, 150], False),
        (range(37, 300, 37), False),
        ([100, 299], True),
    ],
    ids=["one", "uneven", "many", "shuffled"],
)
def test_any_batches_in_any_order_give_the_scores_of_memory(cuts, shuffled, expected):
    order = np.random.RandomState(0).permutation(300) if shuffled else None
    found = scores(fit_stream(OF_OUTPUTS, NET, iter(in_parts(cuts, order))))
    for detector, a, b in zip(OF_OUTPUTS, found, expected):
        if shuffled and detector.name in ("NNGuide", "CFOOD"):
            continue  # their shares are drawn of the rows in their order
        np.testing.assert_allclose(
            a, b, rtol=1e-5, atol=1e-6 * np.ptp(b), err_msg=detector.name
        )


def test_inputs_with_labels_and_layers():
    batches = [(TRAIN[i : i + 150], LABELS[i : i + 150]) for i in (0, 150)]
    found, plain = fit_stream([LAYERS, ood.Energy()], NET, batches, GIVEN)
    given = Given(OUTPUTS, LABELS, blobs.VALIDATION)
    close = {"rtol": 1e-4, "atol": 1e-4}
    expected = LAYERS.fit(NET, given)
    np.testing.assert_allclose(
        found.score(blobs.TEST), expected.score(blobs.TEST), **close
    )
    np.testing.assert_array_equal(
        plain.score_outputs(QUERY), ood.Energy().fit(NET).score_outputs(QUERY)
    )


def test_collect_takes_batches():
    parts = (TRAIN[i : i + 75] for i in range(0, 300, 75))
    found = NET.collect(parts)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
        found,
        OUTPUTS,
    )


# --- sums -----------------------------------------------------------------------------

X = np.random.default_rng(0).normal(size=(500, 4)) + 1e5
Y = np.random.default_rng(1).choice([3, -7, 12], 500)


def test_moments_are_those_of_numpy():
    moments = Moments(4)
    for rows in np.split(np.arange(500), [1, 2, 90, 400]):
        moments.add(X[rows], Y[rows])
    means = np.stack([X[c == Y].mean(0) for c in (-7, 3, 12)])
    away = X - means[np.searchsorted([-7, 3, 12], Y)]
    assert moments.count == 500
    np.testing.assert_allclose(moments.means, means, rtol=1e-14)
    np.testing.assert_allclose(moments.mean, X.mean(0), rtol=1e-14)
    np.testing.assert_allclose(moments.covariance, away.T @ away / 500, atol=1e-9)
    np.testing.assert_allclose(moments.total, np.cov(X.T, bias=True), atol=1e-9)
    np.testing.assert_allclose(
        moments.sizes, np.sqrt(np.mean(X**2, axis=0)), rtol=1e-14
    )
    origin = X[0] + 3
    second = (X - origin).T @ (X - origin) / 500
    np.testing.assert_allclose(moments.second_moment(origin), second, rtol=1e-9)


# --- the bank -------------------------------------------------------------------------


def bank_of(count, sizes, size, seed=0):
    """The rows that a bank keeps of 0 ... count-1, in batches of these sizes."""
    state, numbers = Bank().start(seed, size), np.arange(count)[:, None]
    for rows in np.split(numbers, np.cumsum(sizes)):
        if len(rows):
            state = Bank().add(state, Outputs(rows, rows, {}), None)
    logits, features, seen = Bank().finish(state)
    assert seen == count
    np.testing.assert_array_equal(logits, features)
    return features[:, 0]


def test_a_bank_keeps_all_in_order_while_it_has_space():
    for size in (None, 20, 50):
        np.testing.assert_array_equal(bank_of(20, [3, 9], size), np.arange(20))


@pytest.mark.parametrize("sizes", [[], [1, 2, 3], [10], [9, 1], [25, 50]])
def test_what_a_bank_keeps_does_not_depend_on_batches(sizes):
    found = bank_of(100, sizes, 10)
    np.testing.assert_array_equal(found, bank_of(100, [17, 30, 13], 10))
    assert len(set(found)) == 10
    assert set(found) != set(bank_of(100, sizes, 10, seed=1))


def test_every_row_is_kept_with_the_same_chance():
    kept = np.bincount(
        np.concatenate([bank_of(40, [7, 20], 10, seed) for seed in range(2000)]),
        minlength=40,
    )
    # 500 of 2,000 each, five standard deviations of 19
    assert np.abs(kept - 500).max() < 97


def test_a_long_stream_is_scored_by_a_sample():
    found = fit_stream([ood.KNN(1), ood.NNGuide(share=1.0)], NET, in_parts([]), bank=30)
    rows = bank_of(300, [], 30)
    given = Given(part(OUTPUTS, rows), LABELS[rows])
    expected = [d.fit(NET, given) for d in (ood.KNN(1), ood.NNGuide(share=1.0))]
    for a, b in zip(scores(found), scores(expected)):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_batches_that_are_reused_do_not_change_the_bank():
    """Loaders that fill one buffer again and again."""
    buffer = np.zeros((5, 2))

    def batches():
        for number in range(3):
            buffer[:] = number
            yield Outputs(buffer, buffer, {})

    state = Bank().start(0, None)
    for outputs in batches():
        state = Bank().add(state, outputs, None)
    np.testing.assert_array_equal(Bank().finish(state).features[::5, 0], [0, 1, 2])


# --- errors ---------------------------------------------------------------------------


class Unread:
    """Batches that must not be asked for."""

    def __iter__(self):
        raise AssertionError("what is wrong was known before the pass")


@pytest.mark.parametrize(
    ("detector", "options", "match"),
    [
        (ood.MahalanobisFeatures("ledoit_wolf"), {}, "needs all training data"),
        (ood.NACUE(), {}, "needs all training data at once"),
        (ood.MahalanobisLayers("uniform"), {}, "needs id_validation"),
        (ood.KNN(), {"bank": 0}, "bank must be 1 or more rows, got 0"),
        (ood.KNN(), {"given": Given(OUTPUTS)}, "leave train and labels out"),
        (ood.ViM(), {"network": Network()}, r"needs network\.head"),
    ],
)
def test_what_is_missing_is_said_before_the_pass(detector, options, match):
    arguments = {"network": NET, "batches": Unread()} | options
    with pytest.raises(ValueError, match=match):
        fit_stream([detector], **arguments)


@pytest.mark.parametrize(
    ("batches", "error", "match"),
    [
        ([], ValueError, "batches gave no rows"),
        (TRAIN, TypeError, "iterable of batches, got ndarray"),
        ([(TRAIN, LABELS, 1)], TypeError, "batch 0 has 3 parts"),
        ([(OUTPUTS, LABELS), ("a", 0)], TypeError, "batch 1 holds a str"),
        ([OUTPUTS], ValueError, "needs labels with every batch"),
        ([(OUTPUTS, LABELS[:9])], ValueError, r"\(9,\) do not go with 300"),
        ([(OUTPUTS, LABELS + 5)], ValueError, r"0 \.\.\. 2; got 5 \.\.\. 7"),
        ([(part(OUTPUTS, slice(9)), LABELS[:9]), (NET.collect(TRAIN * np.nan), LABELS)],
         ValueError, "cannot be fitted"),
    ],
)  # fmt: skip
def test_bad_batches(batches, error, match):
    with pytest.raises(error, match=match):
        fit_stream([ood.SHE()], NET, batches)
