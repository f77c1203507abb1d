"""Feature vectors: checks before a detector uses them, class means and whitening."""

from typing import Literal

import jax
import numpy as np

from flowjax_ood.ood.checks import check_labels
from flowjax_ood.ood.moments import CHUNK
from flowjax_ood.ood.settings import Within

# A direction is noise where its standard deviation is 1e-5 of the largest, all columns
# in units of their own: float32 features are rounded to 6e-8 of their size.
LEAST_VARIANCE = 1e-10
# of a column's size: sums of float64 leave as much where nothing varies
LEAST_STD = 1e-13
Shrinkage = float | Literal["ledoit_wolf"]
SHRINKAGE = Within(0, 1, names=("ledoit_wolf",))


def checked(features, dims: int | None = None) -> jax.Array | np.ndarray:
    """Return `features` as an array: finite real numbers `[N, D]`, N and D at least 1.

    `dims`: the D they must have. Values are not looked at while tracing (inside `jit`).
    Raises TypeError for other dtypes, ValueError for the rest.
    """
    if not isinstance(features, jax.Array):
        features = np.asarray(features)
    kind = np.dtype(features.dtype)
    if kind.kind not in "fiu" and kind.name != "bfloat16":
        raise TypeError(f"features must be real numbers, got dtype {kind}")
    if len(features.shape) != 2 or 0 in features.shape:
        raise ValueError(
            f"features must be [N, D], one row an image, got shape {features.shape}"
        )
    if dims is not None and features.shape[1] != dims:
        raise ValueError(
            f"features have {features.shape[1]} columns, those of fit had {dims}: use "
            "the same encoder"
        )
    if isinstance(features, jax.core.Tracer):
        return features
    bad = ~np.isfinite(np.asarray(features)).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{bad.sum()} of {len(bad)} rows of features hold NaN or infinity, the "
            f"first is row {int(np.argmax(bad))}: leave those images out and say so"
        )
    return features


def rounded(array: np.ndarray) -> np.ndarray:
    """Round to the dtype JAX computes in; returns float64."""
    return np.asarray(jax.numpy.asarray(array), np.float64)


def class_indices(labels, count: int) -> np.ndarray:
    """Turn labels `[count]`, any integers, into indices 0 ... K-1 of their classes."""
    return np.unique(check_labels(labels, count), return_inverse=True)[1]


def class_means(x: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Average the rows of each class: float64 `[K, D]`, classes 0 ... K-1 of `x`."""
    means = np.zeros((classes.max() + 1, x.shape[1]))
    for k in range(len(means)):
        means[k] = x[classes == k].mean(0, dtype=np.float64)
    return means


def ledoit_wolf(x, means, classes, covariance) -> float:
    """The shrinkage of least expected error (Ledoit & Wolf 2004), in [0, 1].

    Of rows `x [N, D]` about the means of their classes, which have that covariance.
    """
    rows, dims = x.shape
    fourth = 0.0
    for start in range(0, rows, CHUNK):
        part = slice(start, start + CHUNK)
        r = x[part].astype(np.float64) - means[classes[part]]
        # sum_i |r_i r_i^T|^2 = sum_i |r_i|^4
        fourth += np.sum(np.sum(r * r, axis=1) ** 2) / rows
    spread = np.sum(covariance * covariance)
    distance = spread - np.trace(covariance) ** 2 / dims
    noise = (fourth - spread) / rows
    return min(noise / distance, 1.0) if distance > 0 else 0.0


def shrunk(covariance: np.ndarray, shrinkage: float) -> np.ndarray:
    """`(1 - s) S + s tr(S)/D I` of S `[D, D]`; ValueError for s outside [0, 1]."""
    if not SHRINKAGE.allows(shrinkage) or isinstance(shrinkage, str):
        raise ValueError(f"shrinkage must be {SHRINKAGE}, got {shrinkage!r}")
    average = np.trace(covariance) / len(covariance)
    return (1 - shrinkage) * covariance + shrinkage * average * np.eye(len(covariance))


def inverse_root(covariance: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """`W [D, R]` with `W W^T` the (pseudo-)inverse of a covariance `[D, D]`.

    As if every column were divided by its standard deviation first, so units do not
    matter: the pseudo-inverse is that of the correlations, without directions of
    variance below 1e-10 of the largest. Columns that do not vary by more than they are
    rounded, to the dtype JAX computes in, are left out: `sizes [D]` are their root mean
    squares. ValueError if none varies.
    """
    std = np.sqrt(np.diag(covariance))
    eps = float(jax.numpy.finfo(jax.dtypes.canonicalize_dtype(float)).eps)
    varies = std > np.maximum(2 * eps, LEAST_STD) * sizes
    if not varies.any():
        raise ValueError(
            "features do not vary about their means: no distance can be told from them"
        )
    units = np.where(varies, 1 / np.where(varies, std, 1), 0)
    correlation = covariance * units * units[:, None]
    variances, directions = np.linalg.eigh(correlation)
    kept = variances > LEAST_VARIANCE * variances[-1]
    return units[:, None] * directions[:, kept] / np.sqrt(variances[kept])
