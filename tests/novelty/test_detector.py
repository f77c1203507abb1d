"""A detector of vectors: its guarantee, its parts, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest

from flowjax_ood.novelty.density import FlowSettings
from flowjax_ood.novelty.detector import (
    NoveltyDetector,
    NoveltySettings,
    calibration_count,
)

SMALL = NoveltySettings(components=4, near=3, neighbours=3, clusters=0)
QUICK = FlowSettings(components=4, couplings=2, width=8, steps=20)


def normal(count: int, seed: int, dims: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(0).normal(size=(dims, dims))
    return (rng.normal(size=(count, dims)) @ mix).astype(np.float32)


@pytest.fixture(scope="module")
def few() -> NoveltyDetector:
    return NoveltyDetector.fit(normal(60, 1), SMALL, calibrate=normal(99, 2))


@pytest.fixture(scope="module")
def many() -> NoveltyDetector:
    settings = replace(SMALL, clusters=5, flow=QUICK)
    return NoveltyDetector.fit(normal(1000, 3), settings, calibrate=normal(99, 4))


@pytest.mark.thorough
def test_what_it_is_made_of_depends_on_how_many_there_are(few, many):
    assert few.names == ("components 1-4", "residual", "neighbours")
    assert many.names == (*few.names, "clusters", "flow")
    # all folds rank the few; a fifth of the many
    assert len(few.ranked) == 60
    assert len(many.ranked) == 200
    assert (few.fitted, many.fitted) == (60, 1000)


@pytest.mark.parametrize("detector", ["few", "many"])
def test_normal_vectors_have_their_share_of_false_alarms(detector, request):
    found = request.getfixturevalue(detector)
    p = found.p_values(normal(4000, 9))
    for alpha in (0.05, 0.1, 0.5):
        # given 99 to calibrate by, the rate follows Beta(k, 100 - k)
        k = round(alpha * 100)
        deviation = np.sqrt(k * (100 - k) / 100**2 / 101 + alpha / 4000)
        assert abs((p <= alpha).mean() - alpha) < 4 * deviation


@pytest.mark.parametrize("detector", ["few", "many"])
def test_vectors_of_another_law_are_found(detector, request):
    found = request.getfixturevalue(detector)
    far = normal(50, 8) + 40
    narrow = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32) * 9
    for new in (far, narrow):
        assert (found.p_values(new) <= 0.05).mean() > 0.7


def test_a_score_is_of_the_vector_alone(few):
    x = normal(700, 11)
    together = few.score(x)
    one_by_one = np.concatenate([few.score(x[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(one_by_one, together[:5], rtol=1e-4)
    np.testing.assert_allclose(few.score(x[::-1])[::-1], together, rtol=1e-4)


def test_the_same_seed_gives_the_same_detector(few):
    again = NoveltyDetector.fit(normal(60, 1), SMALL, calibrate=normal(99, 2))
    np.testing.assert_array_equal(few.score(normal(9, 5)), again.score(normal(9, 5)))


def test_the_nearest_of_a_known_vector_is_itself(few, many):
    for found, seed, count in ((few, 1, 60), (many, 3, 1000)):
        x = normal(count, seed)[found.references[:7]]
        np.testing.assert_array_equal(found.nearest(x)[:, 0], found.references[:7])


def test_vectors_beyond_all_numbers_are_the_most_unusual(few):
    huge = np.array([[1e25] * 6, [-3e38] * 6, [1e19] * 6], np.float32)
    score, statistics = few.scores(huge)
    assert np.isfinite(score).all()
    assert np.isfinite(statistics).all()
    assert (few.p_values(huge) == few.calibration.least_p).all()


def test_a_copy_of_a_calibrating_vector_is_as_usual_as_that(few):
    held_out = normal(99, 2)
    together = few.p_values(held_out)
    one_by_one = np.concatenate([few.p_values(row[None]) for row in held_out])
    np.testing.assert_array_equal(one_by_one, together)
    # its own rank, or a greater one of a tie
    ranks = np.argsort(np.argsort(few.score(held_out))) + 2
    assert (together >= np.minimum(ranks / 100, 1)).all()


def test_explain_names_the_statistic_that_spoke(few):
    x = normal(1, 12)
    # outside of the four components that are kept
    _, _, directions = np.linalg.svd(normal(60, 1) - normal(60, 1).mean(0))
    x = x + 30 * directions[-1].astype(np.float32)
    parts = few.explain(few.scores(x)[1])
    assert parts["residual"][0] < 0.05
    assert set(parts) == set(few.names)


def test_views_have_their_own_columns():
    settings = [
        replace(SMALL, name="a", columns=(0, 6)),
        replace(SMALL, name="b", columns=(6, 9), components=2),
    ]
    x = np.concatenate([normal(60, 1), normal(60, 20, 3)], 1)
    held_out = np.concatenate([normal(40, 2), normal(40, 21, 3)], 1)
    found = NoveltyDetector.fit(x, settings, calibrate=held_out)
    assert found.dims == 9
    assert "a: residual" in found.names
    assert "b: components 1-2" in found.names
    changed = held_out.copy()
    changed[:, 6:] += 50
    before, after = (found.scores(v)[1] for v in (held_out, changed))
    of_a = [name.startswith("a") for name in found.names]
    np.testing.assert_array_equal(before[:, of_a], after[:, of_a])
    assert (found.p_values(changed) < 0.05).all()


def test_classes_take_the_place_of_clusters():
    labels = np.repeat([0, 7], 30)
    x = normal(60, 1)
    x[30:] += 60
    held_out = normal(40, 2)
    held_out[20:] += 60
    found = NoveltyDetector.fit(x, SMALL, calibrate=held_out, labels=labels)
    assert "clusters" in found.names
    between = normal(20, 6) + 30
    statistic = found.scores(between)[1][:, found.names.index("clusters")]
    usual = found.scores(held_out)[1][:, found.names.index("clusters")]
    assert np.median(statistic) < usual.min()


def test_a_column_that_never_varies_is_no_obstacle():
    x = np.concatenate([normal(60, 1), np.ones((60, 2), np.float32)], 1)
    c = np.concatenate([normal(40, 2), np.ones((40, 2), np.float32)], 1)
    found = NoveltyDetector.fit(x, replace(SMALL, components=8), calibrate=c)
    assert np.isfinite(found.score(c)).all()


@pytest.mark.parametrize(
    ("count", "expected"), [(39, 20), (50, 20), (1000, 400), (10_000, 2000)]
)
def test_how_many_calibrate(count, expected):
    assert calibration_count(count) == expected


@pytest.mark.parametrize(
    ("x", "calibrate", "message"),
    [
        (normal(19, 1), normal(40, 2), "takes 20 normal examples.*got 19 and 40"),
        (normal(60, 1), normal(19, 2), "20 others to calibrate by, got 60 and 19"),
        (normal(60, 1), normal(40, 1), "40 examples calibrate, 0 of which are no cop"),
        (normal(60, 1), normal(40, 2, 5), "5 columns, those of fit had 6"),
        (np.ones((60, 6)), normal(40, 2), "do not vary"),
        (np.full((60, 6), np.nan), normal(40, 2), "NaN or infinity"),
    ],
)
def test_bad_vectors_are_refused(x, calibrate, message):
    with pytest.raises(ValueError, match=message):
        NoveltyDetector.fit(x, SMALL, calibrate=calibrate)


def test_vectors_of_another_length_are_refused(few):
    with pytest.raises(ValueError, match="those of fit had 6"):
        few.score(normal(3, 1, 5))
