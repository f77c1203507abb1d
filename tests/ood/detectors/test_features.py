"""Scores of features against NumPy and autodiff, and their detectors on blobs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from flowjax_ood.ood import (
    FDBD,
    KNN,
    SHE,
    GradNorm,
    Mahalanobis,
    MahalanobisFeatures,
    NearestNeighbors,
    Network,
    NNGuide,
    RelativeMahalanobis,
    ViM,
    auroc,
)
from flowjax_ood.ood.detectors import features as scores
from flowjax_ood.ood.network import Outputs
from tests.helpers import blobs

RNG = np.random.RandomState(0)
W, B = RNG.randn(6, 4).astype(np.float32), RNG.randn(4).astype(np.float32)
HEAD = Network(lambda _, x: ({}, x @ W + B), head=(W, B))


def outputs_of(f):
    f = np.asarray(f, np.float32)
    return Outputs(f @ W + B, f, {})


F = np.abs(RNG.randn(30, 6)).astype(np.float32)
NEW = np.abs(RNG.randn(12, 6)).astype(np.float32)
TRAIN, QUERY = outputs_of(F), outputs_of(NEW)
LABELS = np.where(np.arange(30) < 24, TRAIN.logits.argmax(1), np.arange(30) % 4)


def found_by(detector, train=TRAIN, labels=LABELS, query=QUERY):
    given = blobs.given(train=train, labels=labels)
    return detector.fit(HEAD, given).score_outputs(query)


def agree(found, expected):
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-4)


def energy(z):
    return special.logsumexp(z.astype(np.float64), axis=1)


def test_vim():
    w, b, f = (a.astype(np.float64) for a in (W, B, F))
    u = -np.linalg.pinv(w.T) @ b
    _, _, vt = np.linalg.svd(f - u)  # without re-centring
    residual = vt[2:].T  # all but the two largest
    alpha = TRAIN.logits.max(1).mean()
    alpha /= np.linalg.norm((f - u) @ residual, axis=1).mean()
    expected = energy(QUERY.logits)
    expected -= alpha * np.linalg.norm((NEW - u) @ residual, axis=1)
    agree(found_by(ViM(2)), expected)


def test_vim_takes_half_of_few_features():
    np.testing.assert_array_equal(found_by(ViM()), found_by(ViM(3)))


@pytest.mark.parametrize("rows", [24, 25])
def test_vim_of_few_rows_ranks_by_the_residual(rows):
    """Of up to `dims` rows nothing is left over: published code ranks by rounding."""
    rng = np.random.RandomState(0)
    basis, w = rng.randn(12, 48), rng.randn(48, 4).astype(np.float32)

    def near(count):
        f = rng.randn(count, 12) @ basis + 0.1 * rng.randn(count, 48)
        return f.astype(np.float32)

    ident = near(200)
    outside = (near(200) + rng.randn(200, 48)).astype(np.float32)
    network = Network(head=(w, None))
    f = near(rows)
    fitted = ViM(24).fit(network, blobs.given(train=Outputs.of(f @ w, f)))
    of_id, of_ood = (
        fitted.score_outputs(Outputs.of(x @ w, x)) for x in (ident, outside)
    )
    assert auroc(of_id, of_ood).value > 0.95


@pytest.mark.parametrize("dims", [6, 7])
def test_vim_needs_a_residual(dims):
    with pytest.raises(ValueError, match=f"0 < dims < 6, the features, got {dims}"):
        found_by(ViM(dims))


def test_vim_does_not_invert_the_rounding_of_a_head():
    """Columns that sum to 0, as weight decay leaves them, but for their last bits."""
    centred = W.astype(np.float64) - W.mean(1, keepdims=True)
    noise = RNG.choice([-1, 1], centred.shape) * np.spacing(np.float32(centred))
    by_head = []
    for w in (centred, centred + noise):
        w = w.astype(np.float32)
        train = Outputs(F @ w + B, F, {})
        net = Network(lambda _, x, w=w: ({}, x @ w + B), head=(w, B))
        fitted = ViM().fit(net, blobs.given(train=train))
        by_head.append(fitted.score_outputs(Outputs(NEW @ w + B, NEW, {})))
    np.testing.assert_allclose(*by_head, rtol=1e-4)


def test_she_compares_with_patterns_of_correct_predictions():
    predicted = TRAIN.logits.argmax(1)
    assert set(predicted) == set(QUERY.logits.argmax(1)) == {0, 2}
    # every third is wrong
    wrong = np.arange(30) % 3 == 0
    labels = np.where(wrong, 2 - predicted, predicted)
    patterns = np.zeros((4, 6))
    for c in (0, 2):
        patterns[c] = F[(predicted == c) & ~wrong].mean(0)
    nearest = patterns[QUERY.logits.argmax(1)]
    products = np.sum(NEW * nearest, axis=1)
    agree(found_by(SHE(), labels=labels), products)
    distances = np.linalg.norm(NEW - nearest, axis=1)
    agree(found_by(SHE("euclidean"), labels=labels), -distances)
    lengths = np.linalg.norm(NEW, axis=1) * np.linalg.norm(nearest, axis=1)
    agree(found_by(SHE("cosine"), labels=labels), products / lengths)


def test_she_of_a_class_that_is_never_right_takes_all_of_it():
    labels = np.full(30, 2)
    labels[TRAIN.logits.argmax(1) == 2] = 0
    patterns = np.zeros((4, 6))
    for c in (0, 2):
        patterns[c] = F[labels == c].mean(0)
    expected = np.sum(NEW * patterns[QUERY.logits.argmax(1)], axis=1)
    agree(found_by(SHE(), labels=labels), expected)


def test_fdbd():
    mean, expected = F.mean(0), []
    for f, z in zip(NEW, QUERY.logits):
        y = z.argmax()
        distances = [
            abs(z[y] - z[c]) / np.linalg.norm(W[:, y] - W[:, c])
            for c in range(4)
            if c != y
        ]
        expected.append(np.mean(distances) / np.linalg.norm(f - mean))
    agree(found_by(FDBD()), expected)


def test_fdbd_with_two_classes_alike_and_at_the_mean():
    alike = W.copy()
    alike[:, 1] = W[:, 0]
    train, query = (
        Outputs(f @ alike + B, f, {})
        for f in (F, np.concatenate([NEW, F.mean(0)[None]]))
    )
    network = Network(HEAD.apply, head=(alike, B))
    fitted = FDBD().fit(network, blobs.given(train=train, labels=LABELS))
    assert np.isfinite(fitted.score_outputs(query)).all()


def test_lengths_between_classes_of_weights_nearly_alike():
    """Large weights that differ in the last digit of one: products alone lose it."""
    w = (1000 + RNG.randn(2048, 7)).astype(np.float32)
    w[:, 3] = w[:, 5]
    w[9, 3] = np.nextafter(w[9, 5], np.float32(np.inf))
    w[:, 6] = w[:, 0]
    wide = w.astype(np.float64)
    expected = [[np.linalg.norm(a - b) for b in wide.T] for a in wide.T]
    found = scores.boundary_lengths(w)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=0)
    assert 0 < found[3, 5] < 1e-4
    assert found[0, 6] == 0


@pytest.mark.thorough
@pytest.mark.parametrize("temperature", [1, 3])
def test_grad_norm_is_that_of_the_gradient(temperature):
    def uniform_cross_entropy(w, f):
        z = (f @ w + B.astype(np.float64)) / temperature
        return -jnp.mean(jax.nn.log_softmax(z))

    with jax.enable_x64(True):
        w, f = (jnp.asarray(a, jnp.float64) for a in (W, NEW))
        gradients = jax.vmap(jax.grad(uniform_cross_entropy), (None, 0))(w, f)
        expected = jnp.sum(jnp.abs(gradients), axis=(1, 2))
        found = scores.grad_norm(f @ w + B, f, temperature)
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    agree(found_by(GradNorm(temperature)), expected)


def test_nn_guide():
    def unit(f):
        return f / np.linalg.norm(f, axis=1, keepdims=True)

    bank = unit(F) * energy(TRAIN.logits)[:, None]
    guidance = np.sort(unit(NEW) @ bank.T, axis=1)[:, -4:].mean(1)
    agree(found_by(NNGuide(k=4, share=1.0)), energy(QUERY.logits) * guidance)


def test_nn_guide_of_a_share_is_seeded():
    def of(seed):
        given = blobs.given(train=TRAIN, seed=seed)
        return NNGuide(k=2, share=0.2).fit(HEAD, given).score_outputs(QUERY)

    np.testing.assert_array_equal(of(0), of(0))
    assert not np.array_equal(of(0), of(1))


def test_knn_and_mahalanobis_are_those_of_arrays():
    agree(found_by(KNN(3)), NearestNeighbors.fit(F, k=3).score(NEW))
    agree(found_by(KNN(1000)), NearestNeighbors.fit(F, k=30).score(NEW))
    agree(found_by(MahalanobisFeatures()), Mahalanobis.fit(F, LABELS).score(NEW))
    relative = Mahalanobis.fit(F, LABELS, relative=True).score(NEW)
    agree(found_by(RelativeMahalanobis()), relative)


def test_vim_needs_logits_that_are_positive():
    """Less a constant, they are not, and the residual would count the wrong way."""
    z, f, pooled = blobs.NETWORK.collect(blobs.TRAIN)
    w, b = blobs.NETWORK.head
    network = Network(head=(w, b - 50))
    given = blobs.given(train=Outputs(z - 50, f, pooled))
    with pytest.raises(ValueError, match=r"ViM matches .* positive, not -4.*Residual"):
        ViM().fit(network, given)


DISTANCES = [KNN(), MahalanobisFeatures(), RelativeMahalanobis(), ViM(), FDBD()]
PRODUCTS = [SHE(), GradNorm(), NNGuide()]


@pytest.mark.parametrize("detector", DISTANCES, ids=lambda d: d.name)
@pytest.mark.parametrize("outliers", [blobs.far, blobs.grey])
def test_far_and_grey_images_are_outliers(detector, outliers):
    assert blobs.area(detector.fit(blobs.NETWORK, blobs.given()), outliers()) > 0.95


# Products grow with the features' length, which is small for grey images.
@pytest.mark.parametrize("detector", PRODUCTS, ids=lambda d: d.name)
def test_grey_images_are_outliers(detector):
    assert blobs.area(detector.fit(blobs.NETWORK, blobs.given()), blobs.grey()) > 0.95


@pytest.mark.parametrize("detector", [*DISTANCES, *PRODUCTS], ids=lambda d: d.name)
def test_dead_features_and_rows_of_zeros(detector):
    alive = np.arange(6) < 3
    train, query = (
        outputs_of(F * alive),
        outputs_of(np.pad(NEW * alive, ((1, 0), (0, 0)))),
    )
    found = found_by(detector, train, train.logits.argmax(1), query)
    assert np.isfinite(found).all()


def test_one_class():
    one = np.zeros(30, int)
    agree(found_by(MahalanobisFeatures(), labels=one), Mahalanobis.fit(F).score(NEW))
    assert np.isfinite(found_by(SHE(), labels=one)).all()
    with pytest.raises(ValueError, match="two classes or more"):
        found_by(RelativeMahalanobis(), labels=one)
