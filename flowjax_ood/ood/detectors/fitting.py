"""What detectors of features do alike: precision, lengths and means of classes."""

import jax.numpy as jnp
import numpy as np

from flowjax_ood.precision import at_least_float32

# less than the length of any feature that is not zero
TINY = 1e-12


def unit(f):
    """`f / |f|` of rows `[B, D]`; a row of zeros stays so."""
    f = at_least_float32(f)
    return f / jnp.maximum(jnp.linalg.norm(f, axis=1, keepdims=True), TINY)


def row_lengths(f) -> np.ndarray:
    """Lengths of rows f `[N, D]`, in NumPy: float64 `[N]`."""
    return np.sqrt(np.einsum("nd,nd->n", f, f, dtype=np.float64))


def unit_rows(f) -> np.ndarray:
    """Divide rows by their lengths as `unit` does, in NumPy: float64 `[N, D]`."""
    f = np.asarray(f, np.float64)
    return f / np.maximum(np.linalg.norm(f, axis=1, keepdims=True), TINY)


def float64(outputs) -> tuple[np.ndarray, np.ndarray]:
    """Return logits `[N, C]` and features `[N, D]` in float64, to be averaged."""
    return (
        np.asarray(outputs.logits, np.float64),
        np.asarray(outputs.features, np.float64),
    )


def float32(arrays: dict) -> dict:
    """Turn the arrays that a score takes into float32 ones of JAX."""
    return {name: jnp.asarray(a, jnp.float32) for name, a in arrays.items()}
