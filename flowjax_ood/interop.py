"""Flows trained with the paper's PyTorch code, as flows of this library.

Tensors are read by their names in the original checkpoint; torch is not needed. To get
the arrays from a torch file: `{k: v.numpy() for k, v in checkpoint["net"].items()}`.
"""

import re
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.bijectors import AffineCoupling, walk
from flowjax_ood.distributions import Flow
from flowjax_ood.models import RealNVP, TabularRealNVP

MASKS = {
    "RealNVP": "checkerboard",
    "RealNVP8Layers": "checkerboard",
    "RealNVPSmall": "checkerboard",
    "RealNVPMaskHorizontal": "horizontal",
    "RealNVPMaskHorizontal3Layers": "horizontal",
    "RealNVPCycleMask": "cycle",
}
ARCHITECTURES = (*MASKS, "RealNVPTabular")


def load_original(
    state: Mapping[str, np.ndarray],
    architecture: str,
    event_shape: tuple[int, ...],
) -> tuple[Flow, dict]:
    """`(flow, variables)` equal to the original model that `state` belongs to.

    * `state`: `{original name: array}` of the whole network;
    * `architecture`: the original's class name, one of `ARCHITECTURES`;
    * `event_shape`: `(H, W, C)`, or `(D,)` for the tabular flow.

    Scales, widths, blocks, st-network and normalisation are read off the tensors.
    Latents and densities agree with the original's, except that it adds the constant
    `D log(255/256)` to every log-determinant. Raises ValueError for an unknown
    architecture and for tensors that are missing, left over or of the wrong shape.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(
            f"unknown architecture {architecture!r}; known: {', '.join(ARCHITECTURES)}"
        )
    state = {_strip(name): np.asarray(value) for name, value in state.items()}
    state = {k: v for k, v in state.items() if "num_batches_tracked" not in k}
    prefixes = _coupling_prefixes(state)
    flow = _build(state, prefixes, architecture, tuple(event_shape))
    ours = [(p, b) for p, b in walk(flow.bijector) if isinstance(b, AffineCoupling)]
    if len(ours) != len(prefixes):
        raise ValueError(
            f"the checkpoint holds {len(prefixes)} couplings, {architecture} on "
            f"{event_shape} has {len(ours)}"
        )
    reader = _Reader(state)
    variables: dict = {"params": {}, "batch_stats": {}}
    for prefix, (path, _) in zip(prefixes, ours, strict=True):
        parts = reader.coupling(prefix)
        for collection, tree in zip(("params", "batch_stats"), parts, strict=True):
            if tree:
                _insert(variables[collection], ("bijector", *path), tree)
    reader.finish()
    variables = {k: v for k, v in variables.items() if v}
    _check(flow, variables)
    return flow, variables


def _strip(name: str) -> str:
    return name.removeprefix("module.")


def _coupling_prefixes(state) -> list[str]:
    suffix = ".rescale.weight_g"
    found = [k.removesuffix(suffix) for k in state if k.endswith(suffix)]
    if not found:
        raise ValueError(
            "no coupling layers found: expected tensors named '*.rescale.weight_g' as "
            f"in the paper's code, got e.g. {sorted(state)[:3]}"
        )
    return sorted(found, key=lambda p: [int(n) for n in re.findall(r"\d+", p)])


def _check(flow: Flow, variables: dict) -> None:
    """Every variable of the flow is there, in the flow's own shape."""
    x = jax.ShapeDtypeStruct((2, *flow.event_shape), jnp.float32)
    needed = dict(jax.eval_shape(flow.init, jax.random.key(0), x))
    flatten = jax.tree_util.tree_leaves_with_path
    found = {jax.tree_util.keystr(path): a.shape for path, a in flatten(variables)}
    for path, like in flatten(needed):
        shape = found.get(jax.tree_util.keystr(path))
        if shape != like.shape:
            where = "/".join(key.key for key in path)
            raise ValueError(
                f"the checkpoint does not fit the flow on {flow.event_shape}: {where} "
                f"needs shape {like.shape}, got {shape or 'nothing'}"
            )


def _build(state, prefixes, architecture, event_shape) -> Flow:
    first = prefixes[0] + ".st_net."
    names = [k.removeprefix(first) for k in state if k.startswith(first)]
    size = _Reader(state).size
    if architecture == "RealNVPTabular":
        if len(event_shape) != 1:
            raise ValueError(
                f"RealNVPTabular needs event_shape (D,), got {event_shape}"
            )
        linear = _linear_maps(state, first)
        if len(linear) < 2:
            raise ValueError(
                f"the st-network {first[:-1]!r} is no stack of linear maps: tensors "
                f"{names[:4]}"
            )
        return TabularRealNVP(
            *event_shape,
            couplings=len(prefixes),
            width=size(f"{first}{linear[0]}.weight"),
            # the inner layers sit between the first and the last linear map
            layers=len(linear) - 2,
        )
    args: dict = {"mask": MASKS[architecture]}
    if architecture == "RealNVP":
        # 3 + 3 couplings a scale, 4 at the last
        args["scales"] = (len(prefixes) - 4) // 6 + 1
    else:
        args |= {"scales": 1, "couplings": len(prefixes)}
    if f"{first}fc_z.weight" in state:
        args |= {
            "st_net": "autoencoder",
            "latent_dim": size(f"{first}fc_z.weight"),
        }
        return RealNVP(event_shape, **args)
    blocks = {m[1] for n in names if (m := re.match(r"blocks\.(\d+)\.", n))}
    if not blocks:
        raise ValueError(
            f"the st-network {first[:-1]!r} is none of resnet, resnet_ae, autoencoder: "
            f"tensors {names[:4]}"
        )
    args |= {
        "width": size(f"{first}in_conv.conv.weight_g"),
        "blocks": len(blocks),
        "norm": "batch" if "in_norm.weight" in names else "none",
        "skip": "in_skip.conv.weight_g" in names,
    }
    if "bottleneck.0.weight" in names:
        code = size(f"{first}bottleneck.0.weight")
        args |= {"st_net": "resnet_ae", "latent_dim": code}
    return RealNVP(event_shape, **args)


def _linear_maps(state, net: str) -> list[int]:
    """Places of the linear maps in a torch `Sequential` of maps and activations."""
    inside = (k.removeprefix(net).split(".")[0] for k in state if k.startswith(net))
    return sorted({int(place) for place in inside if place.isdigit()})


class _Reader:
    """Takes tensors out of a state one by one, in this library's layout."""

    def __init__(self, state):
        self.state = state
        self.left = set(state)

    def take(self, name: str) -> np.ndarray:
        if name not in self.state:
            raise ValueError(f"the checkpoint lacks the tensor {name!r}")
        self.left.discard(name)
        return self.state[name].astype(np.float32)

    def size(self, name: str) -> int:
        """Number of outputs of a torch weight."""
        return self.take(name).shape[0]

    def finish(self):
        if self.left:
            some = ", ".join(sorted(self.left)[:4])
            raise ValueError(f"{len(self.left)} tensors were not used, e.g. {some}")

    def coupling(self, prefix: str) -> tuple[dict, dict]:
        net = prefix + ".st_net."
        if net + "fc_z.weight" in self.state:
            params, stats = self.autoencoder(net), {}
        elif net + "in_conv.conv.weight_g" in self.state:
            params, stats = self.resnet(net)
        else:
            params, stats = self.mlp(net), {}
        g = self.take(prefix + ".rescale.weight_g").reshape(-1)
        v = self.take(prefix + ".rescale.weight_v").reshape(-1)
        params = {"st_net": params, "rescale": _arrays({"g": g, "v": v})}
        return params, {"st_net": stats} if stats else {}

    def resnet(self, net: str) -> tuple[dict, dict]:
        params, stats = {}, {}
        params["in_conv"] = self.wn_conv(net + "in_conv.")
        params["out_conv"] = self.wn_conv(net + "out_conv.")
        if net + "in_skip.conv.weight_g" in self.state:
            params["in_skip"] = self.wn_conv(net + "in_skip.")
        self.norms(net, params, stats)
        i = 0
        while f"{net}blocks.{i}.in_conv.conv.weight_g" in self.state:
            block = f"{net}blocks.{i}."
            inner, inner_stats = {}, {}
            inner["in_conv"] = self.wn_conv(block + "in_conv.")
            inner["out_conv"] = self.wn_conv(block + "out_conv.")
            self.norms(block, inner, inner_stats)
            params[f"block_{i}"] = inner
            if inner_stats:
                stats[f"block_{i}"] = inner_stats
            if f"{net}skips.{i}.conv.weight_g" in self.state:
                params[f"skip_{i}"] = self.wn_conv(f"{net}skips.{i}.")
            i += 1
        if net + "bottleneck.0.weight" in self.state:
            width = params["in_conv"]["g"].shape[0]
            encode, decode = (self.dense(f"{net}bottleneck.{k}.") for k in (0, 1))
            params["encode"] = encode | {"kernel": _chw_rows(encode["kernel"], width)}
            params["decode"] = {
                "kernel": _chw_rows(decode["kernel"].T, width).T,
                "bias": _chw_rows(decode["bias"][:, None], width)[:, 0],
            }
        return params, stats

    def norms(self, prefix: str, params: dict, stats: dict):
        for name in ("in_norm", "out_norm"):
            at = f"{prefix}{name}."
            if at + "weight" in self.state:
                pair = {
                    "scale": self.take(at + "weight"),
                    "bias": self.take(at + "bias"),
                }
                params[name] = _arrays(pair)
                mean, var = (self.take(at + f"running_{m}") for m in ("mean", "var"))
                stats[name] = _arrays({"mean": mean, "var": var})

    def wn_conv(self, prefix: str) -> dict:
        v = self.take(prefix + "conv.weight_v").transpose(2, 3, 1, 0)
        out = {"v": v, "g": self.take(prefix + "conv.weight_g").reshape(-1)}
        if prefix + "conv.bias" in self.state:
            out["bias"] = self.take(prefix + "conv.bias")
        return _arrays(out)

    def dense(self, prefix: str) -> dict:
        weight, bias = self.take(prefix + "weight"), self.take(prefix + "bias")
        return _arrays({"kernel": weight.T, "bias": bias})

    def mlp(self, net: str) -> dict:
        layers = [self.dense(f"{net}{i}.") for i in _linear_maps(self.state, net)]
        names = [
            "in_dense",
            *(f"dense_{i}" for i in range(len(layers) - 2)),
            "out_dense",
        ]
        return dict(zip(names, layers, strict=True))

    def autoencoder(self, net: str) -> dict:
        params = {}
        for i in range(4):
            conv = self.take(f"{net}encoder.{i}.0.weight").transpose(2, 3, 1, 0)
            bias = self.take(f"{net}encoder.{i}.0.bias")
            params[f"encoder_{i}"] = _arrays({"kernel": conv, "bias": bias})
            # torch stores [in, out, h, w] and correlates with the flipped kernel
            conv = self.take(f"{net}decoder.{i}.0.weight").transpose(2, 3, 0, 1)
            bias = self.take(f"{net}decoder.{i}.0.bias")
            params[f"decoder_{i}"] = _arrays({"kernel": conv[::-1, ::-1], "bias": bias})
        encode, decode = self.dense(net + "fc_z."), self.dense(net + "decoder_input.")
        channels = params["encoder_3"]["bias"].shape[0]
        params["encode"] = encode | {"kernel": _chw_rows(encode["kernel"], channels)}
        params["decode"] = {
            "kernel": _chw_rows(decode["kernel"].T, channels).T,
            "bias": _chw_rows(decode["bias"][:, None], channels)[:, 0],
        }
        return params


def _chw_rows(matrix, channels: int):
    """Reorder rows from flattened `[C, H W]` to flattened `[H W, C]`."""
    rows, columns = matrix.shape
    grid = matrix.reshape(channels, rows // channels, columns)
    return grid.transpose(1, 0, 2).reshape(rows, columns)


def _arrays(tree: dict) -> dict:
    return {k: jnp.asarray(v) for k, v in tree.items()}


def _insert(tree: dict, path: tuple[str, ...], value: dict) -> None:
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = value
