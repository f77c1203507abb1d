"""Feature-space singularity distance against NumPy; its noise, layers and choices."""

import numpy as np
import pytest

from flowjax_ood.ood import FSSD, Given, Network, auroc, protocols
from flowjax_ood.ood.detectors.fssd import distance
from flowjax_ood.ood.detectors.layer_scores import MAGNITUDES
from tests.helpers import blobs

GIVEN = Given(id_validation=blobs.VALIDATION, ood_validation=blobs.grey(60, seed=8))
NET = blobs.NETWORK


def taps(x):
    return NET.apply(NET.variables, x)[0]


def by_hand(x, noise):
    """Distances `[N, K]` of plain activations to the mean of those of noise."""
    columns = []
    for layer in NET.layers:
        point = np.asarray(taps(noise)[layer], np.float64).mean(0)
        away = np.asarray(taps(x)[layer], np.float64) - point
        columns.append(np.sqrt(np.sum(away**2, axis=tuple(range(1, away.ndim)))))
    return np.stack(columns, axis=1)


def uniform_noise(seed=0, count=100):
    noise = np.random.default_rng(seed).uniform(size=(count, *blobs.SHAPE))
    return noise.astype(np.float32)


NOISES = {
    "uniform": uniform_noise(),
    "repository": (0.5 + 0.4 * protocols.repository_noise(blobs.SHAPE, 10_000)).astype(
        np.float32
    ),
    # the half that weights are fitted on
    "validation": blobs.VALIDATION[: len(blobs.VALIDATION) // 2],
}


@pytest.mark.thorough
@pytest.mark.parametrize("noise", NOISES)
def test_distances(noise):
    detector = FSSD(noise=noise)
    found = detector.layer_scores(NET, GIVEN).table(blobs.TEST, (0.0,))[:, 0]
    expected = by_hand(blobs.TEST, NOISES[noise])
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_distance_at_the_singularity_and_of_nan():
    point = np.ones(4, np.float32)
    x = np.array([[1, 1, 1, 1], [1, 1, 4, 5], [1, np.nan, 1, 1]], np.float32)
    np.testing.assert_array_equal(distance(x, point), [0, 5, np.nan])


def test_noise_by_seed_and_count():
    found = FSSD(seed=3, images=7).singularity(NET, GIVEN)["dense"]
    expected = np.mean(taps(uniform_noise(3, 7))["dense"], axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_stored_images_are_divided_by_255():
    stored = (np.clip(blobs.TEST, 0, 1) * 255).astype(np.uint8)
    fitted = FSSD().fit(NET, GIVEN)
    np.testing.assert_allclose(
        fitted.score(stored), fitted.score(stored / np.float32(255)), atol=1e-5
    )
    given = Given(id_validation=stored)
    np.testing.assert_allclose(
        FSSD(noise="validation").singularity(NET, given)["conv"],
        np.mean(
            taps(stored[: len(stored) // 2] / np.float32(255))["conv"], axis=0
        ).ravel(),
        rtol=1e-4,
    )


def test_uniform_weights_average_standardised_distances():
    of_id = by_hand(blobs.VALIDATION, NOISES["uniform"])
    of_test = by_hand(blobs.TEST, NOISES["uniform"])
    expected = np.mean((of_test - of_id.mean(0)) / of_id.std(0), axis=1)
    fitted = FSSD().fit(NET, GIVEN)
    assert not fitted.requires.ood_validation
    assert not fitted.requires.gradients
    np.testing.assert_allclose(fitted.score(blobs.TEST), expected, rtol=1e-3, atol=1e-3)


def test_one_layer():
    fitted = FSSD(weights="dense").fit(NET, GIVEN)
    expected = by_hand(blobs.TEST, NOISES["uniform"])[:, 1]
    np.testing.assert_allclose(fitted.score(blobs.TEST), expected, rtol=1e-4)
    assert fitted.chosen["weights"] == {"conv": 0, "dense": 1, "logits": 0}


@pytest.fixture
def regressions(monkeypatch):
    """What was given to logistic regression; its weights are replaced by ones."""
    seen = []

    def ones(of_id, of_ood):
        seen.append((of_id, of_ood))
        return protocols.Weights(np.ones(of_id.shape[1]), 1.0)

    monkeypatch.setattr(protocols, "logistic_weights", ones)
    return seen


def test_logistic_weights_are_fitted_on_first_halves(regressions):
    detector = FSSD(weights="logistic")
    fitted = detector.fit(NET, GIVEN)
    assert fitted.requires.ood_validation
    sets = (GIVEN.id_validation, GIVEN.ood_validation)
    for found, x in zip(regressions[0], sets, strict=True):
        expected = by_hand(x[:30], NOISES["uniform"])
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    expected = by_hand(blobs.TEST, NOISES["uniform"]).sum(1) + 1
    np.testing.assert_allclose(fitted.score(blobs.TEST), expected, rtol=1e-4)


def test_first_of_equal_magnitudes_is_chosen(regressions):
    # all tell the sets apart without error
    fitted = FSSD(weights="logistic", magnitudes=(0.02, 0.03, 0.0)).fit(NET, GIVEN)
    assert len(regressions) == 3
    assert fitted.chosen["tnr_at_tpr95"] == 1
    assert fitted.chosen["magnitude"] == pytest.approx(0.02)


@pytest.mark.usefixtures("regressions")
def test_the_best_magnitude_is_chosen_on_second_halves():
    outliers = blobs.between(60, seed=9) * 0.6 + blobs.images(60, seed=10)[0] * 0.4
    outliers[:30] = 0.5  # told apart at any magnitude, if they were looked at
    given = Given(id_validation=blobs.VALIDATION, ood_validation=outliers)
    magnitudes = (0.3, 0.0, 0.1)
    detector = FSSD(weights="logistic", magnitudes=magnitudes, noise="validation")
    scores = detector.layer_scores(NET, given)
    of_id, of_ood = (
        scores.table(x[30:], magnitudes).sum(2) for x in (blobs.VALIDATION, outliers)
    )
    rates = [protocols.tnr_at_tpr95(of_id[:, i], of_ood[:, i]) for i in range(3)]
    assert len(set(rates)) > 1
    chosen = detector.fit(NET, given).chosen
    assert chosen["tnr_at_tpr95"] == pytest.approx(max(rates))
    assert chosen["magnitude"] == magnitudes[rates.index(max(rates))]


@pytest.mark.usefixtures("regressions")
def test_the_chosen_magnitude_is_that_of_scores(monkeypatch):
    rates = iter([0.2, 0.9, 0.3])
    monkeypatch.setattr(protocols, "tnr_at_tpr95", lambda *_: next(rates))
    detector = FSSD(weights="logistic", magnitudes=(0.0, 0.1, 0.3))
    fitted = detector.fit(NET, GIVEN)
    assert fitted.chosen["magnitude"] == pytest.approx(0.1)
    table = detector.layer_scores(NET, GIVEN).table(blobs.TEST, (0.1,))
    expected = table[:, 0].sum(1) + 1
    np.testing.assert_allclose(fitted.score(blobs.TEST), expected, rtol=1e-5)


@pytest.mark.usefixtures("regressions")
def test_where_no_outlier_is_rejected_the_first_magnitude_is_chosen(monkeypatch):
    monkeypatch.setattr(protocols, "tnr_at_tpr95", lambda *_: 0.0)
    fitted = FSSD(weights="logistic", magnitudes=(0.3, 0.1)).fit(NET, GIVEN)
    assert fitted.chosen["magnitude"] == pytest.approx(0.3)
    assert fitted.chosen["tnr_at_tpr95"] == 0


def test_as_the_public_code():
    detector = FSSD.repository()
    assert (detector.noise, detector.weights) == ("repository", "logistic")
    assert (detector.form, detector.sign) == ("zscore_batch", -1)
    assert (detector.images, detector.batch_size) == (100, 512)
    assert detector.magnitudes == MAGNITUDES
    assert (len(MAGNITUDES), MAGNITUDES[0], MAGNITUDES[-1]) == (22, 0.2, 0)
    assert list(MAGNITUDES) == sorted(MAGNITUDES, reverse=True)
    assert FSSD.repository(sign=1, label="other").name == "other"


# Images far out have features far from the singularity: FSSD takes them for inliers,
# as the paper's claim is about images whose features are those of noise.
@pytest.mark.parametrize(
    "detector",
    [
        FSSD(),
        FSSD(noise="repository"),
        FSSD(weights="dense"),
        FSSD(magnitudes=(0.05,)),
        FSSD.repository(magnitudes=(0.1, 0.0)),
    ],
    ids=lambda d: f"{d.noise} {d.weights} {max(d.magnitudes)}",
)
def test_grey_images_are_outliers(detector):
    fitted = detector.fit(NET, GIVEN)
    assert blobs.area(fitted, blobs.grey()) > 0.95
    assert auroc(fitted.score(blobs.TEST), fitted.score(blobs.far())).value < 0.2


@pytest.mark.parametrize("form", ["sign", "zscore_sample"])
def test_scores_do_not_depend_on_batches(form):
    fitted = FSSD(magnitudes=(0.05,), form=form).fit(NET, GIVEN)
    np.testing.assert_allclose(
        fitted.score(blobs.TEST, 7), fitted.score(blobs.TEST, 90), rtol=1e-4, atol=1e-4
    )


def test_errors():
    for bad in ({"noise": "white"}, {"form": "raw"}, {"sign": 0}):
        with pytest.raises(ValueError, match=f"got .*{next(iter(bad.values()))}"):
            FSSD(**bad)
    with pytest.raises(ValueError, match="FSSD needs id_validation"):
        FSSD().fit(NET)
    with pytest.raises(ValueError, match="FSSD needs id_validation and ood_validation"):
        FSSD(weights="logistic").fit(NET, Given(id_validation=blobs.VALIDATION))
    with pytest.raises(
        ValueError, match=r"unknown weights 'denes'.*conv, dense, logits"
    ):
        FSSD(weights="denes").fit(NET, GIVEN)
    with pytest.raises(ValueError, match=r"network\.layers"):
        FSSD().fit(Network(NET.apply, NET.variables), GIVEN)
    unknown = Network(NET.apply, NET.variables, layers=("conv", "dense", "logits"))
    with pytest.raises(ValueError, match=r"network\.mean and network\.std"):
        FSSD(noise="repository").fit(unknown, GIVEN)


def test_nan_in_validation_images_and_in_others():
    bad = blobs.TEST.copy()
    bad[5] = np.nan
    with pytest.raises(ValueError, match=r"FSSD cannot be fitted.* first is number 5"):
        FSSD().fit(NET, Given(id_validation=bad))
    for magnitude in (0.0, 0.1):
        fitted = FSSD(magnitudes=(magnitude,)).fit(NET, GIVEN)
        with pytest.raises(ValueError, match=r"FSSD has no score.* first is number 5"):
            fitted.score(bad)


def test_tokens_are_not_stepped():
    tokens = Given(id_validation=np.zeros((4, 3), np.int32))
    network = Network(
        lambda _, x: ({"a": x.astype(np.float32)}, x.astype(np.float32)), layers=("a",)
    )
    with pytest.raises(TypeError, match=r"FSSD changes its input.*int32"):
        FSSD(noise="validation", magnitudes=(0.1,)).fit(network, tokens)
    found = FSSD(noise="validation", weights="a").fit(network, tokens)
    np.testing.assert_allclose(found.score(np.full((2, 3), 2)), np.sqrt(12), rtol=1e-6)
