"""Classifiers that JAX cannot trace: by saved outputs, and by calls on the host."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood import ood
from flowjax_ood.ood import Given, Network, Outputs
from tests.helpers import blobs

# as torch keeps it, [C, D]
WEIGHT, BIAS = np.asarray(blobs.W).T, np.asarray(blobs.B)
DETECTORS = [ood.MSP(), ood.ViM(), ood.ReAct(), ood.MahalanobisFeatures(), ood.KNN()]


class OfNumPy:
    """Takes channels first, as torch does, and nothing that is traced."""

    weight, bias = WEIGHT, BIAS

    def __call__(self, x):
        assert type(x) is np.ndarray
        assert x.shape[1:] == (1, 4, 4)
        _, f = blobs.features_of(np.transpose(x, (0, 2, 3, 1)))
        f = np.asarray(f)
        return f @ self.weight.T + self.bias, f


class OfTorch(OfNumPy):
    """The same in torch: tensors that require gradients."""

    def __init__(self):
        self.torch = pytest.importorskip("torch")
        parts = (self.torch.tensor(a, requires_grad=True) for a in (WEIGHT, BIAS))
        self.weight, self.bias = parts

    def __call__(self, x):
        _, f = OfNumPy.__call__(OfNumPy(), np.asarray(x))
        f = self.torch.tensor(f)
        return f @ self.weight.T + self.bias, f


def channels_first(x):
    return np.asarray(x).transpose(0, 3, 1, 2)


def on_the_host(model) -> Network:
    def call(x):
        return tuple(Outputs.of(*model(channels_first(x)))[:2])

    def apply(_, x):
        sizes = (len(BIAS), blobs.UNITS)
        shapes = tuple(jax.ShapeDtypeStruct((len(x), n), jnp.float32) for n in sizes)
        logits, features = jax.pure_callback(call, shapes, x)
        return {"features": features}, logits

    return Network(apply, penultimate="features", head=(model.weight.T, model.bias))


@pytest.fixture(params=[OfNumPy, OfTorch])
def model(request):
    return request.param()


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda d: d.name)
def test_scores_are_those_of_the_same_network_in_jax(model, detector):
    expected = detector.fit(blobs.NETWORK, blobs.given()).score(blobs.TEST)
    close = {"rtol": 1e-4, "atol": 1e-4 * np.ptp(expected)}

    train, tested = (
        Outputs.of(*model(channels_first(x))) for x in (blobs.TRAIN, blobs.TEST)
    )
    saved = Network(head=(model.weight.T, model.bias))
    fitted = detector.fit(saved, Given(train, blobs.LABELS))
    np.testing.assert_allclose(fitted.score_outputs(tested), expected, **close)

    network = on_the_host(model)
    given = Given(network.collect(blobs.TRAIN), blobs.LABELS)
    fitted = detector.fit(network, given)
    np.testing.assert_allclose(fitted.score(blobs.TEST), expected, **close)


def test_a_function_that_cannot_be_traced_is_no_network_by_itself():
    network = Network(lambda _, x: ({}, OfNumPy()(np.asarray(x))[0]))
    with pytest.raises(jax.errors.TracerArrayConversionError):
        network.collect(blobs.TEST)
