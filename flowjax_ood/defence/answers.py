"""What a classifier answers to a query: probabilities, or a label."""

from functools import partial
from typing import Literal, get_args

import jax
import numpy as np

from flowjax_ood.ood.batched import in_batches
from flowjax_ood.ood.checks import check_inputs
from flowjax_ood.ood.network import Network, logits_of

Output = Literal["probabilities", "label"]
# queries that go through a network together
TOGETHER = 32


def check_output(output: str) -> None:
    """Raise ValueError for an `Output` that is not known."""
    if output not in get_args(Output):
        raise ValueError(
            f"unknown output {output!r}; known: {', '.join(get_args(Output))}"
        )


def answer(logits: np.ndarray, output: Output) -> np.ndarray:
    """Probabilities, float32 `[N, C]`, or the label of the largest, int64 `[N]`."""
    z = np.asarray(logits, np.float64)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p = np.asarray(p / p.sum(axis=1, keepdims=True), np.float32)
    return p if output == "probabilities" else p.argmax(axis=1)


def logits_of_queries(network: Network, x: np.ndarray, what: str) -> np.ndarray:
    """Compute logits `[N, C]`, those of a query whatever the others are.

    Rounding depends on how many rows a program takes, so all go through in batches of
    one size. Raises ValueError, which names `what` the network is, where they are NaN,
    and as `classes_of` does.
    """
    classes_of(network, x, what)
    filled = np.concatenate([x, np.repeat(x[:1], -len(x) % TOGETHER, axis=0)])
    logits = in_batches(partial(logits_of, network), filled, TOGETHER)[: len(x)]
    bad = np.isnan(logits).any(axis=1)
    if bad.any():
        raise ValueError(
            f"{what} has no answer to {bad.sum()} of {len(x)} queries, the first is "
            f"number {int(bad.argmax())}: its logits are NaN there"
        )
    return logits


def classes_of(network: Network, x: np.ndarray, what: str) -> int:
    """The number of logits; ValueError for queries that the network does not take."""
    check_inputs(network, x, "queries")
    if not len(x):
        raise ValueError("there are no queries: x has no rows")
    one = jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype)
    return checked_shape(lambda x: network.taps(x)[1], one, what)


def checked_shape(function, one: jax.ShapeDtypeStruct, what: str) -> int:
    """C of `function(one)`, `[1, C]`; ValueError where it does not take `one`."""
    try:
        shape = jax.eval_shape(function, one).shape
    except Exception as error:  # whatever a network raises for shapes not its own
        raise ValueError(
            f"{what} does not take queries of shape {one.shape[1:]}: "
            f"{str(error).splitlines()[0]}"
        ) from error
    if len(shape) != 2:
        raise ValueError(f"the logits of {what} must be [N, C], got shape {shape}")
    return shape[1]
