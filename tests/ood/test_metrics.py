"""Metric values against scikit-learn, hand-computed values and symmetries."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as reference

from flowjax_ood.ood import (
    aupr,
    auroc,
    detection_accuracy,
    fpr_at_tpr,
    roc_curve,
    threshold,
)
from tests.helpers.metric_cases import (
    ALL_METRICS,
    DATA,
    HAND_ID,
    HAND_OOD,
    continuous,
    heavy_ties,
    infinite,
)


def labelled(id_scores, ood_scores, positive):
    """Labels and scores as scikit-learn wants them: finite, higher = positive."""
    scores = np.concatenate([id_scores, ood_scores]).astype(np.float64)
    scores = np.searchsorted(np.unique(scores), scores)  # It rejects infinity.
    is_id = np.arange(len(scores)) < len(id_scores)
    return (is_id, scores) if positive == "id" else (~is_id, -scores)


def test_hand_computed_values():
    assert auroc(HAND_ID, HAND_OOD).value == pytest.approx(5 / 6, abs=1e-15)
    trapezoid = aupr(HAND_ID, HAND_OOD, positive="id", interpolation="trapezoid")
    assert trapezoid.value == pytest.approx(1 / 3 + (2 / 3 + 3 / 4) / 6, abs=1e-15)
    step = aupr(HAND_ID, HAND_OOD, positive="id")
    assert step.value == pytest.approx((1 + 1 + 3 / 4) / 3, abs=1e-15)
    assert fpr_at_tpr(HAND_ID, HAND_OOD, tpr=0.8, positive="id").value == 0.5
    # From below: O I O I I. Both OOD images are caught along with one ID image.
    caught = fpr_at_tpr(HAND_ID, HAND_OOD, tpr=0.8, positive="ood")
    assert caught.value == pytest.approx(1 / 3, abs=1e-15)
    # Accepting .9 and .8: TPR 2/3, TNR 1.
    assert detection_accuracy(HAND_ID, HAND_OOD).value == pytest.approx(5 / 6)


@DATA
def test_auroc_equals_sklearn(draw):
    data = draw(np.random.default_rng(1))
    expected = reference.roc_auc_score(*labelled(*data, "id"))
    assert auroc(*data).value == pytest.approx(expected, abs=1e-14)


@DATA
def test_auroc_equals_counting_pairs(draw):
    id_scores, ood_scores = draw(np.random.default_rng(2))
    wins = (id_scores[:, None] > ood_scores).mean()
    ties = (id_scores[:, None] == ood_scores).mean()
    value = auroc(id_scores, ood_scores).value
    assert value == pytest.approx(wins + ties / 2, abs=1e-14)


@DATA
@pytest.mark.parametrize("positive", ["id", "ood"])
def test_step_aupr_is_sklearn_average_precision(draw, positive):
    data = draw(np.random.default_rng(3))
    expected = reference.average_precision_score(*labelled(*data, positive))
    value = aupr(*data, positive=positive, n_boot=0).value
    assert value == pytest.approx(expected, abs=1e-13)


@DATA
@pytest.mark.parametrize("positive", ["id", "ood"])
def test_trapezoid_aupr_is_the_area_under_sklearn_curve_without_its_anchor(
    draw, positive
):
    data = draw(np.random.default_rng(4))
    precision, recall, _ = reference.precision_recall_curve(*labelled(*data, positive))
    # scikit-learn orders from the lowest threshold and ends with the anchor (0, 1).
    expected = np.trapezoid(precision[:-1][::-1], recall[:-1][::-1])
    value = aupr(*data, positive=positive, interpolation="trapezoid", n_boot=0).value
    assert value == pytest.approx(expected, abs=1e-13)


@DATA
@pytest.mark.parametrize("positive", ["id", "ood"])
def test_anchored_aupr_is_the_area_under_sklearn_curve(draw, positive):
    data = draw(np.random.default_rng(4))
    precision, recall, _ = reference.precision_recall_curve(*labelled(*data, positive))
    value = aupr(*data, positive=positive, interpolation="anchored", n_boot=0).value
    assert value == pytest.approx(reference.auc(recall, precision), abs=1e-13)


def test_aupr_of_saturated_scores_by_convention():
    ties = np.repeat([1.0, 0.9], [90, 10]), np.repeat([1.0, 0.5], [50, 50])
    of = partial(aupr, *ties, positive="id", n_boot=0)
    found = {k: of(interpolation=k).value for k in ("step", "trapezoid", "anchored")}
    share = 90 / 140, 100 / 150
    step = 0.9 * share[0] + 0.1 * share[1]
    last = 0.1 * sum(share) / 2
    assert found == pytest.approx(
        {"step": step, "trapezoid": last, "anchored": 0.9 * (1 + share[0]) / 2 + last}
    )


@DATA
@pytest.mark.parametrize("positive", ["id", "ood"])
@pytest.mark.parametrize("tpr", [0.05, 0.5, 0.8, 0.95, 1.0])
def test_fpr_at_tpr_equals_first_point_of_sklearn_curve(draw, positive, tpr):
    data = draw(np.random.default_rng(5))
    fprs, tprs, _ = reference.roc_curve(
        *labelled(*data, positive), drop_intermediate=False
    )
    expected = fprs[np.argmax(tprs >= tpr)]
    value = fpr_at_tpr(*data, tpr=tpr, positive=positive, n_boot=0).value
    assert value == pytest.approx(expected, abs=1e-14)


@DATA
@pytest.mark.parametrize("tpr", [1e-9, 0.5, 0.8, 0.95, 1.0])
def test_a_threshold_accepts_the_rate_and_what_fpr_says(draw, tpr):
    id_scores, ood_scores = draw(np.random.default_rng(5))
    least = threshold(id_scores, tpr=tpr)
    assert (id_scores >= least).sum() >= tpr * len(id_scores) * (1 - 1e-12)
    # a stricter one would accept too few
    assert (id_scores > least).sum() < tpr * len(id_scores)
    expected = fpr_at_tpr(id_scores, ood_scores, tpr=tpr, positive="id", n_boot=0)
    assert (ood_scores >= least).mean() == pytest.approx(expected.value, abs=1e-12)


@DATA
def test_detection_accuracy_equals_best_point_of_sklearn_curve(draw):
    data = draw(np.random.default_rng(6))
    fprs, tprs, _ = reference.roc_curve(*labelled(*data, "id"), drop_intermediate=False)
    value = detection_accuracy(*data, n_boot=0).value
    assert value == pytest.approx((tprs + 1 - fprs).max() / 2, abs=1e-14)


@DATA
def test_roc_curve_equals_sklearn_and_encloses_auroc(draw):
    data = draw(np.random.default_rng(7))
    fprs, tprs = roc_curve(*data)
    expected_fprs, expected_tprs, _ = reference.roc_curve(
        *labelled(*data, "id"), drop_intermediate=False
    )
    np.testing.assert_allclose(fprs, expected_fprs, atol=1e-15)
    np.testing.assert_allclose(tprs, expected_tprs, atol=1e-15)
    assert np.trapezoid(tprs, fprs) == pytest.approx(auroc(*data).value, abs=1e-13)


@pytest.mark.parametrize("n", [5, 7, 10, 20, 49, 100, 1000])
def test_reaching_a_rate_exactly_is_not_lost_to_rounding(n):
    """k of n positives reach k/n, however k/n was computed."""
    id_scores = np.arange(n, 0, -1.0)
    # One OOD image just below each ID image: accepting k ID images costs k - 1 OOD.
    for k in range(1, n + 1):
        for rate in (k / n, k * (1 / n), 1 - (n - k) / n):
            found = fpr_at_tpr(
                id_scores, id_scores - 0.5, tpr=min(rate, 1.0), positive="id", n_boot=0
            )
            assert found.value == (k - 1) / n, (k, rate)


def test_images_tied_with_the_threshold_go_with_it():
    id_scores, ood_scores = [3, 2, 2, 2, 1], [2, 2, 1, 0]
    assert fpr_at_tpr(id_scores, ood_scores, tpr=0.4, positive="id").value == 0.5
    # From below: 0 catches one OOD image; 1 the second, with one ID image.
    assert fpr_at_tpr(id_scores, ood_scores, tpr=0.5, positive="ood").value == 0.2


@ALL_METRICS
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int16, jnp.bfloat16])
def test_a_dtype_narrower_than_float64_changes_nothing(metric, dtype):
    id_scores, ood_scores = heavy_ties(np.random.default_rng(8))
    expected = metric(id_scores, ood_scores)
    assert metric(id_scores.astype(dtype), ood_scores.astype(dtype)) == expected


def test_lists_and_jax_arrays_are_scores_too():
    expected = auroc(HAND_ID, HAND_OOD)
    assert auroc(np.array(HAND_ID), tuple(HAND_OOD)) == expected
    assert auroc(jnp.array(HAND_ID), jnp.array(HAND_OOD)) == expected


def test_neighbouring_floats_are_not_ties_and_signed_zeros_are():
    assert auroc([np.nextafter(1.0, 2.0)], [1.0]).value == 1.0
    one = np.float32(1.0)
    assert auroc([np.nextafter(one, np.float32(2.0))], [one]).value == 1.0
    assert auroc([0.0], [-0.0]).value == 0.5


@ALL_METRICS
@DATA
def test_invariance_under_increasing_maps_of_the_score(metric, draw):
    id_scores, ood_scores = draw(np.random.default_rng(9))
    distinct = np.unique(np.concatenate([id_scores, ood_scores]))
    image = np.cumsum(np.random.default_rng(10).uniform(0.1, 5.0, len(distinct)))
    mapped = (image[np.searchsorted(distinct, s)] for s in (id_scores, ood_scores))
    assert metric(*mapped) == metric(id_scores, ood_scores)


@ALL_METRICS
def test_order_of_the_images_does_not_matter(metric):
    rng = np.random.default_rng(11)
    id_scores, ood_scores = continuous(rng)
    shuffled = rng.permutation(id_scores), rng.permutation(ood_scores)
    assert metric(*shuffled) == metric(id_scores, ood_scores)


@DATA
def test_auroc_of_swapped_classes_is_mirrored_with_its_interval(draw):
    id_scores, ood_scores = draw(np.random.default_rng(12))
    value, low, high = auroc(id_scores, ood_scores)
    mirrored = (1 - value, 1 - high, 1 - low)
    assert auroc(ood_scores, id_scores) == pytest.approx(mirrored, abs=1e-13)


def test_mirror_holds_at_the_ends():
    assert auroc([2, 3], [0, 1, 1]) == pytest.approx(
        1 - np.array(auroc([0, 1, 1], [2, 3]))[[0, 2, 1]], abs=1e-15
    )


@pytest.mark.parametrize(
    "metric", [aupr, partial(aupr, interpolation="trapezoid"), fpr_at_tpr]
)
def test_ood_positive_is_id_positive_of_negated_and_swapped_scores(metric):
    id_scores, ood_scores = infinite(np.random.default_rng(13))
    expected = metric(-ood_scores, -id_scores, positive="id")
    assert metric(id_scores, ood_scores, positive="ood") == expected
