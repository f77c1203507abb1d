"""Feature vectors: checks before a detector uses them, class means and whitening."""

from typing import Literal

import jax
import numpy as np

from flowjax_ood.ood.checks import check_labels
from flowjax_ood.ood.settings import Within

# A direction is noise where its standard deviation is 1e-5 of the largest, all columns
# in units of their own: float32 features are rounded to 6e-8 of their size.
LEAST_VARIANCE = 1e-10
# of a column's size: sums of float64 leave as much where nothing varies
LEAST_STD = 1e-13
Shrinkage = float | Literal["ledoit_wolf"]
SHRINKAGE = Within(0, 1, names=("ledoit_wolf",))
_ROWS = 8192


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


def whitening(
    x: np.ndarray, means: np.ndarray, classes: np.ndarray, shrinkage: Shrinkage = 0.0
) -> np.ndarray:
    """`W [D, R]` with `W W^T` the (pseudo-)inverse of the covariance about the means.

    The covariance is `S = sum_i r_i r_i^T / N`, r the rows of x less the means of their
    classes, then `(1 - s) S + s tr(S)/D I`, s = `shrinkage` in [0, 1]; "ledoit_wolf" is
    the s of Ledoit and Wolf (2004), which minimises the expected error. Directions
    without variance are left out, as in `inverse_root`: R = rank <= D.

    Raises ValueError for another shrinkage, and if x does not vary about its means.
    """
    rows, dims = x.shape
    automatic = shrinkage == "ledoit_wolf"
    if not SHRINKAGE.allows(shrinkage):
        raise ValueError(f"shrinkage must be {SHRINKAGE}, got {shrinkage!r}")
    covariance, fourth = np.zeros((dims, dims)), 0.0
    squares = np.zeros(dims)
    for start in range(0, rows, _ROWS):
        part = slice(start, start + _ROWS)
        wide = x[part].astype(np.float64)
        r = wide - means[classes[part]]
        squares += np.sum(wide * wide, axis=0) / rows
        covariance += r.T @ r / rows
        # sum_i |r_i r_i^T|^2 = sum_i |r_i|^4
        fourth += np.sum(np.sum(r * r, axis=1) ** 2) / rows
    average = np.trace(covariance) / dims
    if automatic:
        spread = np.sum(covariance * covariance)
        distance = spread - dims * average**2
        noise = (fourth - spread) / rows
        shrinkage = min(noise / distance, 1.0) if distance > 0 else 0.0
    covariance *= 1 - shrinkage
    covariance[np.diag_indices(dims)] += shrinkage * average
    return inverse_root(covariance, np.sqrt(squares))


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
