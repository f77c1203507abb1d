"""What all detectors share: networks, outputs, batches, compilation and errors."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from flowjax_ood import ood
from flowjax_ood.ood import FSSD, ODIN, Given, Network, Outputs, Requires
from flowjax_ood.ood.batched import at_once, in_batches
from tests.helpers import blobs

NET, GIVEN = blobs.NETWORK, blobs.given()
OF_OUTPUTS = [
    *(ood.MSP(), ood.MaxLogit(), ood.Energy(), ood.Entropy(), ood.GEN()),
    *(ood.KLMatching(), ood.ReAct(), ood.ASH("p"), ood.ASH("b"), ood.ASH("s")),
    *(ood.SCALE(), ood.DICE(), ood.KNN(), ood.MahalanobisFeatures()),
    *(ood.RelativeMahalanobis(), ood.ViM(), ood.SHE(), ood.FDBD(), ood.GradNorm()),
    *(ood.NNGuide(), ood.WeiPer(repeats=3)),
]
EVERY = [
    *OF_OUTPUTS,
    FSSD(),
    ODIN((0.01,), (1.0,)),
    ood.MahalanobisLayers("uniform", (0.01,)),
    *(ood.RankFeat(), ood.AdaSCALE(), ood.IODIN(), ood.NACUE(), ood.Gram((1, 2))),
]
NAMES = {"ids": repr}


@pytest.mark.parametrize("detector", OF_OUTPUTS, **NAMES)
def test_of_outputs_of_any_batches_and_nan(detector):
    """`score_outputs` equals `score`, whatever the batches; NaN names the detector."""
    fitted = detector.fit(NET, GIVEN)
    scores = fitted.score(blobs.TEST)
    assert (scores.shape, scores.dtype) == ((90,), np.float32)
    outputs = NET.collect(blobs.TEST)
    close = {"rtol": 2e-4, "atol": 2e-4}
    np.testing.assert_allclose(fitted.score_outputs(outputs), scores, **close)
    np.testing.assert_allclose(fitted.score(blobs.TEST, 40), scores, **close)
    bad = jax.tree.map(
        lambda a: np.where(np.arange(90)[:, None] == 3, np.nan, a), outputs
    )
    with pytest.raises(ValueError) as error:
        fitted.score_outputs(bad)
    assert f"{fitted.name} has no score for 1 of 90 inputs" in str(error.value)
    assert "number 3:" in str(error.value)


@pytest.mark.parametrize("detector", OF_OUTPUTS, **NAMES)
def test_missing_requirements_are_named(detector):
    needs = detector.requires
    for changes, needed in [
        ({"train": None}, needs.train_data),
        ({"labels": None}, needs.labels),
    ]:
        if needed:
            with pytest.raises(ValueError, match=next(iter(changes))) as error:
                detector.fit(NET, replace(GIVEN, **changes))
            assert str(error.value).startswith(f"{detector.name} needs")
    if needs.head:
        with pytest.raises(ValueError, match=r"needs network\.head"):
            detector.fit(replace(NET, head=None), GIVEN)
    if not (needs.train_data or needs.labels):
        assert np.isfinite(detector.fit(NET).score(blobs.TEST[:5])).all()
    if needs.train_data:
        logits, features, pooled = GIVEN.train
        bad = Outputs(logits, np.where(features > 1, np.nan, features), pooled)
        with pytest.raises(ValueError, match="cannot be fitted") as error:
            detector.fit(NET, replace(GIVEN, train=bad))
        assert detector.name in str(error.value)


def test_what_each_requires():
    assert ood.MSP().requires == Requires()
    assert ood.KNN().requires == Requires(train_data=True)
    assert ood.ViM().requires == Requires(train_data=True, head=True)
    assert ood.SHE().requires == Requires(
        train_data=True, labels=True, class_numbers=True
    )
    assert FSSD().requires == Requires(id_validation=True)
    assert FSSD.repository().requires == Requires(
        ood_validation=True, gradients=True, sklearn=True, id_validation=True
    )
    assert ood.GMM().requires == Requires(train_data=True, sklearn=True)
    assert ood.DeepEnsemble().requires == Requires(retraining=True)
    assert not ood.GrOOD("mean").requires.id_validation


VALIDATED = [
    *(FSSD(), ODIN(), ood.MahalanobisLayers("uniform", (0.0,)), ood.AdaSCALE()),
    *(ood.Gram((1, 2)), ood.GrOOD(), ood.GrOOD("validation"), ood.TempScale()),
    *(ood.Tuned(ood.AdaSCALE()), ood.Tuned(ood.IODIN())),
]


@pytest.mark.parametrize("detector", VALIDATED, **NAMES)
def test_validation_inputs_are_there_and_are_inputs(detector):
    given = replace(GIVEN, id_labels=np.zeros(60, int))
    with pytest.raises(ValueError, match=rf"{detector.name} needs .*id_validation"):
        detector.fit(NET, replace(given, id_validation=None))
    if detector.validated_by_outputs:
        return
    outputs = NET.collect(given.id_validation)
    with pytest.raises(TypeError, match=r"needs id_validation as inputs.*Outputs"):
        detector.fit(NET, replace(given, id_validation=outputs))


def counted():
    """The network, and the batch shapes it was traced with."""
    traces = []

    def apply(variables, x, put=()):
        traces.append(x.shape)
        return blobs.apply(variables, x, put)

    return replace(NET, apply=apply), traces


@pytest.mark.parametrize("detector", EVERY[-9:], ids=lambda d: d.name)
def test_one_program_serves_all_sets(detector):
    network, traces = counted()
    fitted = detector.fit(network, GIVEN)
    fitted.score(blobs.TEST, 32)
    traces.clear()
    for x in (blobs.TEST, blobs.far(), blobs.grey(70), blobs.between(33)):
        fitted.score(x, 32)
    assert not traces


def test_one_program_of_outputs_serves_all_sets():
    traces = []

    def function(offset, o):
        traces.append(o.logits.shape)
        return o.logits[:, 0] + offset

    fitted = ood.Fitted("first", Requires(), NET, Partial(function, 1.0))
    for x in (blobs.TEST, blobs.far(), blobs.grey(70), blobs.between(33)):
        expected = NET.collect(x).logits[:, 0] + 1
        np.testing.assert_allclose(fitted.score(x, 32), expected, rtol=1e-5, atol=1e-5)
    # and one for another fit of the same function
    other = ood.Fitted("first", Requires(), NET, Partial(function, 2.0))
    other.score(blobs.TEST, 32)
    assert traces == [(32, 3)]


def test_network_outputs():
    taps, logits = NET.apply(NET.variables, blobs.TEST)
    found = NET.collect(blobs.TEST, 32)
    close = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(found.logits, logits, **close)
    np.testing.assert_allclose(found.features, taps["dense"], **close)
    means = np.mean(taps["conv"], axis=(1, 2))
    np.testing.assert_allclose(found.pooled["conv"], means, **close)
    np.testing.assert_allclose(found.pooled["dense"], taps["dense"], **close)
    w, b = NET.head
    np.testing.assert_allclose(
        found.features @ w + b, found.logits, rtol=1e-4, atol=1e-4
    )


def test_stored_images_are_divided_by_255():
    stored = np.random.RandomState(0).randint(0, 256, (9, *blobs.SHAPE), np.uint8)
    expected = NET.collect(stored.astype(np.float32) / 255).logits
    np.testing.assert_allclose(
        NET.collect(stored).logits, expected, rtol=1e-5, atol=1e-5
    )


def test_any_function_is_a_network():
    network = Network(lambda _, x: ({}, x @ blobs.W[:6]))
    x = np.random.RandomState(0).randn(5, 6).astype(np.float32)
    outputs = network.collect(x)
    np.testing.assert_array_equal(outputs.features, outputs.logits)
    assert outputs.pooled == {}
    np.testing.assert_allclose(
        ood.MaxLogit().fit(network).score(x), outputs.logits.max(1), rtol=1e-6
    )


def test_network_errors():
    with pytest.raises(TypeError, match=r"layers must be a tuple of names.*got 'conv'"):
        Network(layers="conv")
    with pytest.raises(ValueError, match=r"gives no tap \['deep'\], only \['conv'"):
        replace(NET, layers=("conv", "deep")).collect(blobs.TEST)
    with pytest.raises(ValueError, match=r"'conv' must be \[B, D\]"):
        replace(NET, penultimate="conv").collect(blobs.TEST)
    with pytest.raises(TypeError, match=r"FSSD needs inputs.*use score\(x\)"):
        FSSD().fit(NET, Given(id_validation=blobs.VALIDATION)).score_outputs(
            GIVEN.train
        )
    for x, size, said in (
        (blobs.TEST[:0], 5, "there are no rows"),
        (blobs.TEST, 0, "batch_size must be at least 1, got 0"),
    ):
        with pytest.raises(ValueError, match=said):
            ood.MSP().fit(NET).score(x, size)


def test_on_cpu_images_go_through_a_network_few_at_a_time(monkeypatch):
    images, tokens = np.zeros((9, 4, 4, 1)), np.zeros((9, 5), int)
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert [at_once(images, size) for size in (250, 32, 7)] == [32, 32, 7]
    assert at_once(tokens, 250) == 250
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert at_once(images, 250) == 250


@pytest.mark.parametrize("rows", [1, 4, 5, 8, 11])
def test_batches_have_one_shape_and_keep_order(rows):
    shapes = set()

    def function(x):
        shapes.add(x["a"].shape)
        return {"twice": jnp.asarray(2 * x["a"]), "sum": x["a"].sum(1) + x["b"]}

    x = {"a": np.arange(3.0 * rows).reshape(rows, 3), "b": np.arange(rows)}
    found = in_batches(function, x, 4)
    np.testing.assert_array_equal(found["twice"], 2 * x["a"])
    np.testing.assert_array_equal(found["sum"], x["a"].sum(1) + x["b"])
    assert shapes == {(min(rows, 4), 3)}
