"""Gradients in closed form against autodiff, and the detectors of them."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from flowjax_ood.ood import GradUncertainty, GrOOD
from flowjax_ood.ood.detectors import gradients as module
from tests.helpers import blob_outputs as blobs
from tests.helpers import blobs as images

Z, F = blobs.wide(blobs.TRAIN)


def cross_entropy_of_all_classes(parameters, f):
    w, b = parameters
    return -jnp.sum(jax.nn.log_softmax(f @ w + b))


@pytest.mark.thorough
def test_grad_uncertainty_is_that_of_the_gradient():
    with jax.enable_x64(True):
        by = jax.jit(jax.vmap(jax.grad(cross_entropy_of_all_classes), (None, 0)))
        gradients = by((blobs.W, blobs.B), np.float64(blobs.GREY.features))
        w, b = map(np.asarray, gradients)
    expected = np.sum(w**2, axis=(1, 2)) + np.sum(b**2, axis=1)
    found = blobs.fitted(GradUncertainty()).score_outputs(blobs.GREY)
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    # the blobs' network has no other parameters
    everything = blobs.fitted(GradUncertainty("all"))
    np.testing.assert_allclose(everything.score(images.grey()), expected, rtol=1e-3)


@pytest.mark.thorough
def test_gradients_by_the_parameters_of_flax_alone():
    """Statistics, as those of batch normalisation, are none."""
    variables = {"params": blobs.NETWORK.variables, "batch_stats": np.ones(3)}

    def apply(variables, x):
        taps, z = images.apply(variables["params"], x)
        return taps, z * variables["batch_stats"]

    network = replace(blobs.NETWORK, apply=apply, variables=variables)
    found, expected = (
        blobs.fitted(GradUncertainty("all"), network=n).score(images.grey(16))
        for n in (network, blobs.NETWORK)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_gradients_of_all_need_parameters():
    with pytest.raises(ValueError, match=r"network\.variables, .* by=\"head\""):
        blobs.fitted(
            GradUncertainty("all"), network=replace(blobs.NETWORK, variables=())
        )


# of these alone: gradients are by differences
FEW = np.arange(0, 300, 10)
PROTOTYPES = np.array([F[FEW][blobs.LABELS[FEW] == c].mean(0) for c in range(3)])


def law_of_grood(outlier):

    def gradient(f):
        """By central differences of the loss of any class but the outlier's."""

        def loss(o):
            scores = -np.linalg.norm(np.vstack([PROTOTYPES, o]) - f, axis=1)
            return logsumexp(scores) - scores[0]

        steps = 1e-6 * np.eye(len(f))
        return np.array([(loss(outlier + s) - loss(outlier - s)) / 2e-6 for s in steps])

    assert (Z.argmax(1) == blobs.LABELS)[FEW].all()
    train = np.array([gradient(f) for f in F[FEW]])
    scale = np.sqrt(np.mean(np.sum(train**2, axis=1)))
    return lambda z, f: -np.min(np.linalg.norm(train - gradient(f), axis=1)) / scale


@pytest.mark.thorough
@pytest.mark.parametrize("outliers", ["noise", "validation", "mean"])
def test_grood(outliers):
    if outliers == "mean":
        outlier = PROTOTYPES.mean(0)
    elif outliers == "validation":
        outlier = blobs.wide(blobs.NETWORK.collect(images.grey(60)))[1].mean(0)
    else:
        noise = np.random.default_rng(0).uniform(size=(100, *images.SHAPE))
        z, f = blobs.wide(blobs.NETWORK.collect(noise.astype(np.float32)))
        outlier = f[np.argsort(logsumexp(z, axis=1))[:10]].mean(0)
    given = {"train": blobs.outputs_of(F[FEW]), "labels": blobs.LABELS[FEW]}
    law = law_of_grood(outlier)
    blobs.check_law(GrOOD(outliers), law, (blobs.GREY,), rtol=2e-3, **given)


@pytest.mark.parametrize(
    "detector", [GradUncertainty(), GrOOD("mean")], ids=lambda d: d.name
)
def test_order_and_degenerate(detector):
    blobs.check_order(detector)
    blobs.check_degenerate(detector)


def test_grood_needs_the_shape_of_noise():
    with pytest.raises(ValueError, match="GrOOD needs id_validation"):
        blobs.fitted(GrOOD(), id_validation=None)


def test_gradients_of_a_sure_network_do_not_vanish():
    """Prototypes hundreds apart: the outlier's has less of a softmax than float32."""
    of = blobs.fitted(GrOOD("mean"), blobs.outputs_of(100 * F))
    prototypes = np.array([100 * F[c == blobs.LABELS].mean(0) for c in range(3)])
    pull = module.log_pull(np.float32(100 * F), prototypes, prototypes.mean(0))[1]
    assert np.max(pull) < -104
    inside, grey = (
        of.score_outputs(blobs.outputs_of(100 * o.features))
        for o in (blobs.INSIDE, blobs.GREY)
    )
    assert np.max(inside) < 0
    assert np.max(grey) < np.min(inside)
