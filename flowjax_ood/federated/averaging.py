"""Average what clients learned: parameters by name, and heads by class."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from flowjax_ood.data.checks import unknown


def average(
    states: Sequence[Any], weights: Sequence[float], private: Sequence[str] = ()
) -> list[Any]:
    """Give every client the weighted mean of all states, but for its private leaves.

    `states`: pytrees of one structure, such as parameters or `TrainState`s, one a
    client. `weights` `[K]`, such as numbers of examples; they need not sum to 1. Leaves
    below a name in `private`, at any depth, stay each client's own. Equal leaves are
    returned bit for bit; sums are in float64.

    Raises ValueError for weights that are negative or sum to 0, states of different
    structures or shapes, unequal integers (such as counters of steps), and a private
    name of no leaf. Source: McMahan et al. 2017, algorithm 1; Arivazhagan et al. 2019
    for private layers.
    """
    if not states:
        raise ValueError("there are no states to average")
    shares = _shares(weights, len(states))
    structures = {jax.tree.structure(state) for state in states}
    if len(structures) > 1:
        raise ValueError(
            "states must be of one structure, got different ones: initialise all "
            "clients with the same module"
        )
    found = jax.tree_util.tree_flatten_with_path(states[0])[0]
    paths = [_parts(path) for path, _ in found]
    names = {name for path in paths for name in path}
    for name in private:
        if name not in names:
            raise unknown("a name of a leaf", name, names)
    columns = zip(*(jax.tree.leaves(state) for state in states), strict=True)
    leaves = []
    for path, column in zip(paths, columns, strict=True):
        own = any(name in path for name in private)
        leaves.append(
            column if own else [_mean("/".join(path), column, shares)] * len(column)
        )
    structure = jax.tree.structure(states[0])
    return [jax.tree.unflatten(structure, own) for own in zip(*leaves, strict=True)]


def mean_head(
    heads: Sequence[tuple[Any, Any]], counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Average last layers class by class, over the clients that know the class.

    `heads`: `(W [D, C], b [C])` of each client. `counts` `[K, C]`: examples of each
    class that a client has; column y of the mean is weighted by `counts[:, y]`, as the
    column of who never saw y says nothing of it. Returns float32 `(W, b)`.

    Raises ValueError for counts of another shape, and for a class that nobody has.
    """
    counts = np.asarray(counts, np.float64)
    kernels = np.stack([np.asarray(w, np.float64) for w, _ in heads])
    biases = np.stack([np.asarray(b, np.float64) for _, b in heads])
    if counts.shape != biases.shape:
        raise ValueError(
            f"counts must be {list(biases.shape)}, of every client and class, got "
            f"{list(counts.shape)}"
        )
    total = counts.sum(axis=0)
    if not (total > 0).all():
        raise ValueError(f"no client has class {int(np.argmin(total > 0))}")
    shares = counts / total
    kernel = np.einsum("kc,kdc->dc", shares, kernels)
    bias = np.einsum("kc,kc->c", shares, biases)
    return kernel.astype(np.float32), bias.astype(np.float32)


def _shares(weights: Sequence[float], count: int) -> np.ndarray:
    shares = np.asarray(weights, np.float64)
    if shares.shape != (count,):
        raise ValueError(
            f"there must be a weight for each of {count} states, got shape "
            f"{shares.shape}"
        )
    total = shares.sum()
    if not (shares >= 0).all() or not 0 < total < math.inf:
        raise ValueError(
            "weights must not be negative, and sum to more than 0, got "
            f"{shares.tolist()}"
        )
    return shares / total


def _mean(name: str, column: Sequence[Any], shares: np.ndarray) -> Any:
    arrays = [np.asarray(leaf) for leaf in column]
    first = arrays[0]
    if {a.shape for a in arrays} != {first.shape}:
        raise ValueError(
            f"{name} has shapes {', '.join(str(a.shape) for a in arrays)}: states must "
            "be of one model"
        )
    # of floats of few bits, NumPy's kind is not "f"
    if not jax.numpy.issubdtype(first.dtype, jax.numpy.inexact):
        if any((a != first).any() for a in arrays):
            raise ValueError(
                f"{name} holds whole numbers that differ: average parameters, or "
                "states of one step"
            )
        return column[0]
    # away from the first: of equal arrays the mean is theirs, bit for bit
    away = sum(
        share * (a.astype(np.float64) - first) for share, a in zip(shares, arrays)
    )
    return (first + away).astype(first.dtype)


def _parts(path) -> list[str]:
    return [jax.tree_util.keystr((key,), simple=True) for key in path]
