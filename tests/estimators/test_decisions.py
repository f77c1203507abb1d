"""What both detectors share: the offset, held-back rows, the error without sklearn."""

import importlib
import pickle
import sys

import numpy as np
import pytest
from scipy.stats import beta
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from flowjax_ood.estimators import EmbeddingOutlierDetector, FlowOutlierDetector
from flowjax_ood.estimators.base import BLOCK, fence
from flowjax_ood.ood.batched import in_blocks

DETECTORS = [
    FlowOutlierDetector(couplings=2, width=16, steps=50, random_state=0),
    EmbeddingOutlierDetector(components=4, random_state=0),
]


def rows(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 6)) * np.arange(1, 7)


@pytest.fixture(scope="module", params=DETECTORS, ids=lambda d: type(d).__name__)
def plain(request):
    """A detector fitted to 400 rows."""
    return clone(request.param).fit(rows(400, 0))


@pytest.fixture(scope="module", params=DETECTORS, ids=lambda d: type(d).__name__)
def guaranteed(request):
    """One that holds rows back for false alarms of 5 %."""
    return clone(request.param).set_params(false_alarms=0.05).fit(rows(400, 0))


@pytest.mark.thorough
def test_decisions_are_scores_beside_the_offset(plain):
    x = rows(300, 1)
    scores = plain.score_samples(x)
    assert scores.dtype == np.float64
    np.testing.assert_array_equal(plain.decision_function(x), scores - plain.offset_)
    outliers = scores < plain.offset_
    np.testing.assert_array_equal(plain.predict(x), np.where(outliers, -1, 1))
    assert outliers.mean() < 0.15
    assert (plain.predict(20 * x + 100) == -1).all()


def test_the_fence_is_tukeys():
    assert fence(np.arange(5.0)) == 1 - 1.5 * 2


def test_a_score_is_the_same_alone_and_among_others(plain):
    x = rows(600, 2)
    together = plain.score_samples(x)
    for some in (slice(0, 1), slice(250, 260), slice(599, 600)):
        np.testing.assert_allclose(plain.score_samples(x[some]), together[some])


def test_programs_are_of_one_shape():
    """Others round otherwise; here they do not, as tests compile without optimising."""
    for count in (1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK):
        x, shapes = rows(count, 0), []

        def program(part, shapes=shapes):
            shapes.append(part.shape)
            return part.sum(1)

        np.testing.assert_array_equal(in_blocks(program, x, BLOCK), x.sum(1))
        assert set(shapes) == {(BLOCK, 6)}


def test_one_seed_is_one_detector(plain):
    again = clone(plain).fit(rows(400, 0))
    x = rows(50, 1)
    np.testing.assert_array_equal(again.score_samples(x), plain.score_samples(x))
    other = clone(plain).set_params(random_state=1).fit(rows(400, 0))
    if isinstance(plain, FlowOutlierDetector):
        assert np.any(other.score_samples(x) != plain.score_samples(x))


def test_contamination_is_the_share_of_x(plain):
    x = rows(400, 0)
    flagging = clone(plain).set_params(contamination=0.25).fit(x)
    assert (flagging.predict(x) == -1).sum() == 100
    assert flagging.calibration_ is None


def test_outliers_are_the_rows_of_small_p_values(guaranteed):
    # rows held back are among the last: one has the score that is the threshold
    x = np.concatenate([rows(300, 3), 3 * rows(300, 4), rows(400, 0)])
    assert guaranteed.offset_ in guaranteed.score_samples(x)
    p = guaranteed.p_values(x)
    np.testing.assert_array_equal(guaranteed.predict(x) == -1, p <= 0.05)
    assert 0 < (p <= 0.05).mean() < 1
    # of 400 rows, 160 calibrate: restated of ranks
    calibration = guaranteed.calibration_.scores
    assert len(calibration) == 160
    scores = guaranteed.score_samples(x)
    expected = (1 + (calibration <= scores[:, None]).sum(1)) / 161
    np.testing.assert_allclose(p, expected)
    assert guaranteed.offset_ == calibration[7]  # floor(0.05 * 161) = 8


def test_false_alarms_are_as_beta_says(guaranteed):
    """The rate over calibrations of 160 is Beta(8, 153), mean 8 / 161 < 0.05.

    One pool of scores of a fitted detector stands for new rows: calibrations are drawn
    from it, and their rate is the share of all the pool.
    """
    pool = np.sort(guaranteed.score_samples(rows(20_000, 5)))
    rng = np.random.default_rng(6)
    rates = []
    for _ in range(2000):
        drawn = rng.choice(pool, 160, replace=False)
        offset = np.partition(drawn, 7)[7]
        rates.append(np.searchsorted(pool, offset) / len(pool))
    law = beta(8, 153)
    # standard error 0.017 / sqrt(2000) = 0.0004
    assert np.mean(rates) == pytest.approx(law.mean(), abs=0.0016)
    for q in (0.1, 0.5, 0.9):
        assert np.mean(rates <= law.ppf(q)) == pytest.approx(q, abs=0.04)
    # the fitted one's own rate lies where this law has nearly all its weight
    own = np.searchsorted(pool, guaranteed.offset_) / len(pool)
    assert law.ppf(1e-4) < own < law.ppf(1 - 1e-4)


def test_rows_held_back_take_no_part_in_training(guaranteed):
    x = rows(400, 0)
    held_back = np.isin(
        guaranteed.score_samples(x), guaranteed.calibration_.scores
    ).nonzero()[0]
    assert len(held_back) == 160
    x[held_back] *= 1 + 0.5 * np.random.default_rng(9).uniform(size=(160, 1))
    other = clone(guaranteed).fit(x)
    new = rows(50, 10)
    np.testing.assert_array_equal(
        other.score_samples(new), guaranteed.score_samples(new)
    )
    assert other.offset_ != guaranteed.offset_


def test_refitting_without_a_guarantee_forgets_the_old_one(guaranteed):
    detector = pickle.loads(pickle.dumps(guaranteed))
    detector.set_params(false_alarms=None).fit(rows(60, 0))
    assert detector.calibration_ is None
    assert not hasattr(detector, "p_values")
    detector.set_params(false_alarms=0.05)
    with pytest.raises(ValueError, match="held nothing back: fit it again"):
        detector.p_values(rows(3, 0))


def test_a_pickle_is_the_same_detector(guaranteed):
    again = pickle.loads(pickle.dumps(guaranteed))
    x = rows(50, 1)
    np.testing.assert_array_equal(again.p_values(x), guaranteed.p_values(x))


def test_pipelines_and_grid_searches():
    x = np.concatenate([rows(120, 0), 4 * rows(40, 1)])
    inlier = np.repeat([1, 0], [120, 40])
    pipeline = make_pipeline(
        StandardScaler(),
        FlowOutlierDetector(couplings=2, width=16, steps=25, random_state=0),
    )

    def auroc(fitted, x, y):
        return roc_auc_score(y, fitted.score_samples(x))

    search = GridSearchCV(
        pipeline,
        {
            "flowoutlierdetector__whiten": [False, True],
            "flowoutlierdetector__statistic": ["log_prob", "typicality"],
        },
        scoring=auroc,
        cv=StratifiedKFold(2),
        error_score="raise",
    ).fit(x, inlier)
    assert len(search.cv_results_["mean_test_score"]) == 4
    assert search.best_score_ > 0.85
    assert set(search.predict(x)) == {-1, 1}
    assert search.best_estimator_[-1].n_features_in_ == 6


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda d: type(d).__name__)
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"contamination": 0.6}, r"contamination must be .*\(0, 0.5\], got 0.6"),
        ({"contamination": "some"}, "contamination must be .*got 'some'"),
        ({"contamination": True}, "contamination must be .*got True"),
        ({"false_alarms": 1.0}, "strictly between 0 and 1, got 1.0"),
        ({"false_alarms": 0.1, "contamination": 0.1}, 'leave contamination at "auto"'),
        # 99 calibrate at least, of 100
        ({"false_alarms": 0.01}, "n_samples=100 is too few for .*99.*20.*give 119"),
    ],
)
def test_wrong_decisions(detector, wrong, message):
    with pytest.raises(ValueError, match=message):
        clone(detector).set_params(**wrong).fit(rows(100, 0))


def test_wrong_parameters_of_embeddings():
    for wrong, message in [
        ({"components": 0}, "components must be at least 1, got 0"),
        ({"clusters": -1}, "clusters must be at least 0, got -1"),
        ({"flow": "big"}, "flow must be \"auto\", None or a FlowSettings, got 'big'"),
    ]:
        with pytest.raises(ValueError, match=message):
            EmbeddingOutlierDetector(**wrong).fit(rows(30, 0))
    with pytest.raises(ValueError, match=r"9 sample.* minimum of 10 is required"):
        EmbeddingOutlierDetector().fit(rows(9, 0))


def test_wrong_rows(plain):
    x = rows(5, 0)
    with pytest.raises(ValueError, match="expecting 6 features"):
        plain.predict(x[:, :5])
    x[2, 1] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        plain.score_samples(x)
    with pytest.raises(AttributeError, match="p_values") as raised:
        plain.p_values(x)
    assert "give false_alarms" in str(raised.value.__cause__)


def test_columns_of_large_offset_keep_their_digits():
    """Float32 has no digits left of 1e9 + noise; rows are standardised before."""
    x, new = rows(200, 0), 1.7 * rows(100, 1)
    detector = EmbeddingOutlierDetector(random_state=0)
    near = clone(detector).fit(x).predict(new)
    far = clone(detector).fit(x + 1e9).predict(new + 1e9)
    assert len(set(near)) == 2
    assert (near == far).mean() > 0.95


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.utils.validation", None)
    monkeypatch.delitem(sys.modules, "flowjax_ood.estimators")
    with pytest.raises(ImportError, match=r"pip install 'flowjax_ood\[sklearn\]'"):
        importlib.import_module("flowjax_ood.estimators")
