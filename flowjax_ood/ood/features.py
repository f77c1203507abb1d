"""Feature vectors checked before a detector uses them."""

import jax
import numpy as np


def checked(features, dims: int | None = None) -> jax.Array | np.ndarray:
    """The array of `features`, which must be finite real numbers `[N, D]`, N, D >= 1.

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
    """float64 values that the dtype JAX computes in holds exactly."""
    return np.asarray(jax.numpy.asarray(array), np.float64)


def class_indices(labels, count: int) -> np.ndarray:
    """Labels `[count]`, any integers, as indices 0 ... K-1 of the classes there are."""
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers, got dtype {labels.dtype}")
    if labels.shape != (count,):
        raise ValueError(
            f"labels of shape {labels.shape} do not go with {count} rows of features"
        )
    return np.unique(labels, return_inverse=True)[1]
