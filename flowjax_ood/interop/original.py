"""Flows trained with the paper's PyTorch code, as flows of this library.

Tensors are read by their names in the original checkpoint; torch is not needed. To get
the arrays from a torch file: `{k: v.numpy() for k, v in checkpoint["net"].items()}`.
"""

import re
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

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
from flowjax_ood.interop.tensors import TensorReader, arrays


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
    state = {_strip(name): np.asarray(value) for name, value in state.items()}
    state = {k: v for k, v in state.items() if "num_batches_tracked" not in k}
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
    # reading the sizes took some tensors: start again, to miss none
    reader = TensorReader(state)
    variables: dict = {"params": {}, "batch_stats": {}}
    remaining = iter(prefixes)
    prefix = next(remaining)
    for path, bijector in ours:
        parts = _read(reader, bijector, prefix)
        for collection, tree in zip(("params", "batch_stats"), parts, strict=True):
            if tree:
                _insert(variables[collection], ("bijector", *path), tree)
        if isinstance(bijector, AffineCoupling):
            prefix = next(remaining, "")
    reader.finish()
    variables = {k: v for k, v in variables.items() if v}
    _check(flow, variables)
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


def _strip(name: str) -> str:
    return name.removeprefix("module.")


def _coupling_prefixes(state) -> list[str]:
    suffix = ".rescale.weight_g"
    prefixes = [k.removesuffix(suffix) for k in state if k.endswith(suffix)]
    if not prefixes:
        raise ValueError(
            "no coupling layers found: expected tensors named '*.rescale.weight_g' as "
            f"in the paper's code, got e.g. {sorted(state)[:3]}"
        )
    return sorted(prefixes, key=lambda p: [int(n) for n in re.findall(r"\d+", p)])


def _check(flow: Flow, variables: dict) -> None:
    """Every variable of the flow is there, in the flow's own shape."""
    x = jax.ShapeDtypeStruct((2, *flow.event_shape), jnp.float32)
    needed = dict(jax.eval_shape(flow.init, jax.random.key(0), x))
    flatten = jax.tree_util.tree_leaves_with_path
    shapes = {jax.tree_util.keystr(path): a.shape for path, a in flatten(variables)}
    for path, like in flatten(needed):
        shape = shapes.get(jax.tree_util.keystr(path))
        if shape != like.shape:
            where = "/".join(key.key for key in path)
            raise ValueError(
                f"the checkpoint does not fit the flow on {flow.event_shape}: {where} "
                f"needs shape {like.shape}, got {shape or 'nothing'}"
            )


def _insert(tree: dict, path: tuple[str, ...], value: dict) -> None:
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = value
