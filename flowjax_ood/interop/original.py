"""Flows trained with the paper's PyTorch code, as flows of this library.

Tensors are read by their names in the original checkpoint; torch is not needed. To get
the arrays from a torch file: `{k: v.numpy() for k, v in checkpoint["net"].items()}`.
"""

import re
from collections.abc import Mapping

import numpy as np
from flax.traverse_util import unflatten_dict

from flowjax_ood.bijectors import (
    ActNorm,
    AffineCoupling,
    Bijector,
    InvertibleConv1x1,
    walk,
)
from flowjax_ood.distributions import Flow
from flowjax_ood.interop.architectures import ARCHITECTURES, build
from flowjax_ood.interop.st_networks import read_coupling
from flowjax_ood.interop.tensors import TensorReader, arrays, check_fit


def load_original(
    state: Mapping[str, np.ndarray],
    architecture: str,
    event_shape: tuple[int, ...],
) -> tuple[Flow, dict]:
    """Load `(flow, variables)` equal to the original model that `state` belongs to.

    Scales, widths, blocks, st-network and normalisation are read off the tensors.
    Latents and densities agree with the original's, except that it adds the constant
    `D log(255/256)` to every log-determinant.

    Args:
        state: `{original name: array}` of the whole network.
        architecture: the original's class name, one of `ARCHITECTURES`.
        event_shape: `(H, W, C)`, or `(D,)` for the tabular flow.

    Raises:
        ValueError: an unknown architecture, and tensors that are missing, left over or
            of the wrong shape.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(
            f"unknown architecture {architecture!r}; known: {', '.join(ARCHITECTURES)}"
        )
    state = {
        name.removeprefix("module."): np.asarray(value)
        for name, value in state.items()
        if "num_batches_tracked" not in name
    }
    prefixes = _coupling_prefixes(state)
    reader = TensorReader(state)
    flow = build(reader, prefixes, architecture, tuple(event_shape))
    ours = list(walk(flow.bijector))
    count = sum(isinstance(bijector, AffineCoupling) for _, bijector in ours)
    if count != len(prefixes):
        raise ValueError(
            f"the checkpoint holds {len(prefixes)} couplings, {architecture} on "
            f"{event_shape} has {count}"
        )
    variables: dict = {"params": {}, "batch_stats": {}}
    remaining = iter(prefixes)
    prefix = next(remaining)
    for path, bijector in ours:
        parts = _read(reader, bijector, prefix)
        for collection, tree in zip(variables.values(), parts, strict=True):
            if tree:
                collection["bijector", *path] = tree
        if isinstance(bijector, AffineCoupling):
            prefix = next(remaining, "")
    reader.finish()
    variables = {k: unflatten_dict(v) for k, v in variables.items() if v}
    fault = f"the checkpoint does not fit the flow on {flow.event_shape}"
    check_fit(flow, variables, (2, *flow.event_shape), fault)
    return flow, variables


def _read(reader: TensorReader, bijector: Bijector, prefix: str) -> tuple[dict, dict]:
    """Variables of one bijector; `prefix` is that of the next coupling's tensors.

    A Glow step is numbered within: 0 ActNorm, 1 convolution, 2 coupling.
    """
    step = prefix.removesuffix(".2.module1")
    match bijector:
        case AffineCoupling():
            return read_coupling(reader, prefix)
        case ActNorm():
            bias = reader.take(f"{step}.0.module1.bias").reshape(-1)
            log_scale = reader.take(f"{step}.0.module1.logs").reshape(-1)
            return arrays({"bias": bias, "log_scale": log_scale}), {}
        case InvertibleConv1x1():
            return arrays({"weight": reader.take(f"{step}.1.module1.weight")}), {}
        case _:
            return {}, {}


def _coupling_prefixes(state) -> list[str]:
    suffix = ".rescale.weight_g"
    prefixes = [k.removesuffix(suffix) for k in state if k.endswith(suffix)]
    if not prefixes:
        raise ValueError(
            "no coupling layers found: expected tensors named '*.rescale.weight_g' as "
            f"in the paper's code, got e.g. {sorted(state)[:3]}"
        )
    return sorted(prefixes, key=lambda p: [int(n) for n in re.findall(r"\d+", p)])
