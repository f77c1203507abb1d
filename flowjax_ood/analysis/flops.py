"""FLOPs of a function, counted on its jaxpr, loops included."""

import math
from collections.abc import Callable

import jax
import numpy as np
from jax.extend import core


def count_flops(fn: Callable, *args) -> int:
    """Count FLOPs of the matrix products and convolutions in `fn(*args)`.

    A multiply-add counts as two; elementwise work is left out, as is usual for model
    FLOPs. Loop bodies count as often as they run (XLA's own cost analysis counts the
    body of a scan once), and for `cond` the larger branch counts. `args` may be
    `jax.ShapeDtypeStruct`s; nothing is computed. Raises ValueError for `while` loops,
    whose length is not known.
    """
    return _count(jax.make_jaxpr(fn)(*args).jaxpr)


def _count(jaxpr: core.Jaxpr) -> int:
    return sum(map(_equation, jaxpr.eqns))


def _equation(eqn) -> int:
    name, params = eqn.primitive.name, eqn.params
    if name == "dot_general":
        (lhs_contract, _), _ = params["dimension_numbers"]
        lhs = eqn.invars[0].aval.shape
        depth = math.prod(lhs[axis] for axis in lhs_contract)
        return 2 * math.prod(eqn.outvars[0].aval.shape) * depth
    if name == "conv_general_dilated":
        return _convolution(eqn)
    if name == "scan":
        return params["length"] * _count(params["jaxpr"].jaxpr)
    if name == "cond":
        return max(_count(branch.jaxpr) for branch in params["branches"])
    inner = [j for value in params.values() for j in _jaxprs(value)]
    flops = sum(_count(j) for j in inner)
    if name == "while" and flops:
        raise ValueError("cannot count the FLOPs of a while loop: its length is open")
    return flops


def _jaxprs(value):
    """Yield the jaxprs among the parameters of a call, custom rule or checkpoint."""
    if isinstance(value, core.ClosedJaxpr):
        yield value.jaxpr
    elif isinstance(value, core.Jaxpr):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _jaxprs(item)


def _convolution(eqn) -> int:
    """2 x outputs x (taps that meet data): padding and dilation zeros are no work.

    A gradient with respect to the input is a convolution over a dilated array; counting
    taps that meet zeros would make it as expensive as its stride squared.
    """
    params = eqn.params
    numbers = params["dimension_numbers"]
    lhs, rhs = (v.aval.shape for v in eqn.invars)
    out = eqn.outvars[0].aval.shape
    total = 2 * out[numbers.out_spec[0]] * out[numbers.out_spec[1]]
    total *= rhs[numbers.rhs_spec[1]]
    for i, (stride, (low, _), lhs_dilation, rhs_dilation) in enumerate(
        zip(
            params["window_strides"],
            params["padding"],
            params["lhs_dilation"],
            params["rhs_dilation"],
            strict=True,
        )
    ):
        size = lhs[numbers.lhs_spec[2 + i]]
        # where each output position (rows) has each tap, in the dilated input
        positions = stride * np.arange(out[numbers.out_spec[2 + i]])
        taps = rhs_dilation * np.arange(rhs[numbers.rhs_spec[2 + i]])
        at = np.add.outer(positions, taps) - low
        met = (at % lhs_dilation == 0) & (at >= 0) & (at < size * lhs_dilation)
        total *= int(met.sum())
    return total
