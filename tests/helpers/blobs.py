"""Three Gaussian blobs of tiny images, a small ReLU network for them, and outliers."""

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood import Given, Network, auroc

SHAPE, CLASSES, CHANNELS, UNITS = (4, 4, 1), 3, 5, 24
_RNG = np.random.RandomState(7)
# of high contrast: images of black and white
CENTERS = 0.1 + 0.8 * (_RNG.rand(CLASSES, *SHAPE) > 0.5)
KERNEL = _RNG.randn(3, 3, 1, CHANNELS).astype(np.float32)
DENSE = (_RNG.randn(16 * CHANNELS, UNITS) / 9).astype(np.float32)


def images(count: int, seed: int):
    """`(x [N, 4, 4, 1], labels [N])`, float32 pixels about 0.1 and 0.9."""
    rng = np.random.RandomState(seed)
    labels = np.arange(count) % CLASSES
    x = CENTERS[labels] + 0.05 * rng.randn(count, *SHAPE)
    return x.astype(np.float32), labels


def features_of(x, put=()):
    """Activations of both layers, `[B, 4, 4, 5]` and `[B, 24]`, as a function of x.

    `put`: `{layer: activations}`, which are there instead of its own.
    """
    put = dict(put)
    x = (x - 0.5) / 0.4
    conv = jax.lax.conv_general_dilated(
        x, KERNEL, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    conv = put.get("conv", jax.nn.relu(conv))
    dense = jax.nn.relu(conv.reshape(len(x), -1) @ DENSE)
    return conv, put.get("dense", dense)


def apply(variables, x, put=()):
    conv, dense = features_of(x, put)
    logits = dense @ variables["w"] + variables["b"]
    return {"conv": conv, "dense": dense, "logits": logits}, logits


def replaced(variables, x, put):
    return apply(variables, x, put)[1]


def least_squares_head():
    """Last layer that answers 10 for the class of a blob, and 0 for the others."""
    x, labels = images(300, seed=0)
    f = np.asarray(features_of(x)[1], np.float64)
    f = np.concatenate([f, np.ones((len(f), 1))], axis=1)
    target = 10 * np.eye(CLASSES)[labels]
    found = np.linalg.solve(f.T @ f + 0.1 * np.eye(UNITS + 1), f.T @ target)
    return found[:-1].astype(np.float32), found[-1].astype(np.float32)


W, B = least_squares_head()
NETWORK = Network(
    apply,
    {"w": jnp.asarray(W), "b": jnp.asarray(B)},
    layers=("conv", "dense", "logits"),
    penultimate="dense",
    head=(jnp.asarray(W), jnp.asarray(B)),
    mean=(0.5,),
    std=(0.4,),
    replaced=replaced,
)
TRAIN, LABELS = images(300, seed=1)
TEST = images(90, seed=2)[0]
VALIDATION = images(60, seed=3)[0]


def far(count=90, seed=4):
    """Images of pixels far outside [0, 1]."""
    noise = np.random.RandomState(seed).randn(count, *SHAPE)
    return (0.5 + 3 * noise).astype(np.float32)


def between(count=90, seed=5):
    """Half of one blob's centre and half of another's, with the blobs' noise."""
    rng = np.random.RandomState(seed)
    one = np.arange(count) % CLASSES
    x = (CENTERS[one] + CENTERS[(one + 1) % CLASSES]) / 2
    return (x + 0.05 * rng.randn(count, *SHAPE)).astype(np.float32)


def grey(count=90, seed=6):
    """Noise of low contrast, whose features are those of noise."""
    rng = np.random.RandomState(seed)
    return (0.5 + 0.1 * rng.randn(count, *SHAPE)).astype(np.float32)


def given(**changes) -> Given:
    options = {
        "train": NETWORK.collect(TRAIN),
        "labels": LABELS,
        "id_validation": VALIDATION,
        "ood_validation": grey(60, seed=8),
        "train_inputs": TRAIN,
    }
    return Given(**(options | changes))


def area(fitted, outliers) -> float:
    """AUROC with the blobs positive. The same with the sets swapped is 1 less it."""
    inside, outside = fitted.score(TEST), fitted.score(outliers)
    value = auroc(inside, outside).value
    np.testing.assert_allclose(auroc(outside, inside).value, 1 - value, atol=1e-12)
    return value
