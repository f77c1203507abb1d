"""Read off its tensors which flow a checkpoint of the paper's code belongs to."""

from flowjax_ood.distributions import Flow
from flowjax_ood.interop.st_networks import numbered
from flowjax_ood.interop.tensors import TensorReader
from flowjax_ood.models import Glow, RealNVP, TabularRealNVP

MASKS = {
    "RealNVP": "checkerboard",
    "RealNVP8Layers": "checkerboard",
    "RealNVPSmall": "checkerboard",
    "RealNVPMaskHorizontal": "horizontal",
    "RealNVPMaskHorizontal3Layers": "horizontal",
    "RealNVPCycleMask": "cycle",
}
ARCHITECTURES = (*MASKS, "RealNVPTabular", "Glow")
"""The names of the paper's architectures, of which checkpoints load."""


def build(
    reader: TensorReader,
    prefixes: list[str],
    architecture: str,
    event_shape: tuple,
) -> Flow:
    """Build the flow that the tensors are the parameters of.

    Args:
        reader: of the checkpoint's tensors.
        prefixes: of the names of each coupling's tensors, in order.
        architecture: one of `ARCHITECTURES`.
        event_shape: `(H, W, C)`, or `(D,)` for the tabular flow.

    Raises:
        ValueError: tensors of another architecture.
    """
    state = reader.state
    first = prefixes[0] + ".st_net."
    names = [k.removeprefix(first) for k in state if k.startswith(first)]
    size = reader.size
    if architecture == "Glow":
        return _glow(reader, prefixes, event_shape)
    if architecture == "RealNVPTabular":
        if len(event_shape) != 1:
            raise ValueError(
                f"RealNVPTabular needs event_shape (D,), got {event_shape}"
            )
        linear = numbered(state, first)
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
        code = size(f"{first}fc_z.weight")
        return RealNVP(event_shape, st_net="autoencoder", latent_dim=code, **args)
    blocks = numbered(state, f"{first}blocks.")
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


def _glow(reader: TensorReader, prefixes: list[str], event_shape) -> Flow:
    # channels double from scale to scale and stay the same within one
    sizes = [reader.state[f"{p}.rescale.weight_g"].size for p in prefixes]
    scales = len(set(sizes))
    net = prefixes[0] + ".st_net."
    args: dict = {"scales": scales, "steps": len(prefixes) // scales}
    if reader.holds(net + "0.conv.weight"):
        args |= {"st_net": "glow_convnet", "width": reader.size(net + "0.conv.weight")}
    elif reader.holds(net + "layers.0.conv_h.conv.weight"):
        layers = numbered(reader.state, net + "layers.")
        width = reader.size(net + "in_conv.conv.weight")
        args |= {"st_net": "highway", "layers": len(layers), "width": width}
    else:
        raise ValueError(
            f"the st-network {net[:-1]!r} is none of highway, glow_convnet"
        )
    return Glow(event_shape, **args)
