"""Read the st-networks of the paper's code from their tensors."""

from flowjax_ood.interop.tensors import TensorReader, arrays, chw_rows


def read_coupling(reader: TensorReader, prefix: str) -> tuple[dict, dict]:
    """Read `(params, batch_stats)` of an affine coupling, whatever its st-network."""
    net = prefix + ".st_net."
    stats: dict = {}
    if reader.holds(net + "fc_z.weight"):
        params = autoencoder(reader, net)
    elif reader.holds(net + "in_conv.conv.weight_g"):
        params, stats = resnet(reader, net)
    elif reader.holds(net + "in_conv.conv.weight"):
        params = highway(reader, net)
    elif reader.holds(net + "0.conv.weight"):
        params = glow_convnet(reader, net)
    else:
        params = mlp(reader, net)
    g = reader.take(prefix + ".rescale.weight_g").reshape(-1)
    v = reader.take(prefix + ".rescale.weight_v").reshape(-1)
    params = {"st_net": params, "rescale": arrays({"g": g, "v": v})}
    return params, {"st_net": stats} if stats else {}


def resnet(reader: TensorReader, net: str) -> tuple[dict, dict]:
    """Read `(params, batch_stats)` of `ResNet` or `ResNetAE`."""
    stats: dict = {}
    params = {n: reader.wn_conv(f"{net}{n}.") for n in ("in_conv", "out_conv")}
    if net + "in_skip.conv.weight_g" in reader.state:
        params["in_skip"] = reader.wn_conv(net + "in_skip.")
    reader.norms(net, params, stats)
    for i in numbered(reader.state, net + "blocks."):
        block = f"{net}blocks.{i}."
        inner_stats: dict = {}
        inner = {n: reader.wn_conv(f"{block}{n}.") for n in ("in_conv", "out_conv")}
        reader.norms(block, inner, inner_stats)
        params[f"block_{i}"] = inner
        if inner_stats:
            stats[f"block_{i}"] = inner_stats
        if f"{net}skips.{i}.conv.weight_g" in reader.state:
            params[f"skip_{i}"] = reader.wn_conv(f"{net}skips.{i}.")
    if net + "bottleneck.0.weight" in reader.state:
        encode, decode = (reader.dense(f"{net}bottleneck.{k}.") for k in (0, 1))
        params |= code_maps(encode, decode, len(params["in_conv"]["g"]))
    return params, stats


def autoencoder(reader: TensorReader, net: str) -> dict:
    """Read the parameters of `Autoencoder`."""
    params = {}
    for i in range(4):
        conv = reader.take(f"{net}encoder.{i}.0.weight").transpose(2, 3, 1, 0)
        bias = reader.take(f"{net}encoder.{i}.0.bias")
        params[f"encoder_{i}"] = arrays({"kernel": conv, "bias": bias})
        # torch stores [in, out, h, w] and correlates with the flipped kernel
        conv = reader.take(f"{net}decoder.{i}.0.weight").transpose(2, 3, 0, 1)
        bias = reader.take(f"{net}decoder.{i}.0.bias")
        params[f"decoder_{i}"] = arrays({"kernel": conv[::-1, ::-1], "bias": bias})
    encode, decode = reader.dense(net + "fc_z."), reader.dense(net + "decoder_input.")
    return params | code_maps(encode, decode, len(params["encoder_3"]["bias"]))


def code_maps(encode: dict, decode: dict, channels: int) -> dict:
    """Linear maps from an image to a code and back, for pixels in the order `[H W, C]`.

    Torch flattens an image to `[C, H W]`.
    """
    bias = chw_rows(decode["bias"][:, None], channels)[:, 0]
    return {
        "encode": encode | {"kernel": chw_rows(encode["kernel"], channels)},
        "decode": {"kernel": chw_rows(decode["kernel"].T, channels).T, "bias": bias},
    }


def mlp(reader: TensorReader, net: str) -> dict:
    """Read the parameters of `MLP`."""
    layers = [reader.dense(f"{net}{i}.") for i in numbered(reader.state, net)]
    inner = [f"dense_{i}" for i in range(len(layers) - 2)]
    names = ["in_dense", *inner, "out_dense"]
    return dict(zip(names, layers, strict=True))


def highway(reader: TensorReader, net: str) -> dict:
    """Read the parameters of `Highway`."""
    params = {
        name: reader.conv(f"{net}{name}.conv.") for name in ("in_conv", "out_conv")
    }
    for i in numbered(reader.state, net + "layers."):
        params[f"conv_{i}"] = reader.conv(f"{net}layers.{i}.conv_h.conv.")
        params[f"gate_{i}"] = reader.conv(f"{net}layers.{i}.conv_t.conv.")
    return params


def glow_convnet(reader: TensorReader, net: str) -> dict:
    """Read the parameters of `GlowConvNet`."""
    # positions in a torch Sequential with activations in between
    positions = {"in_conv": 0, "mid_conv": 2, "out_conv": 4}
    return {name: reader.conv(f"{net}{k}.conv.") for name, k in positions.items()}


def numbered(state, prefix: str) -> list[int]:
    """List the numbers i for which there are tensors `PREFIXi.*`, ascending."""
    after = (k.removeprefix(prefix) for k in state if k.startswith(prefix))
    return sorted(
        {int(i) for i in (name.split(".")[0] for name in after) if i.isdigit()}
    )
