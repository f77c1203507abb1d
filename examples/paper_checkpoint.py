# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # A checkpoint of the paper's code
#
# The PyTorch code of *Why Normalizing Flows Fail to Detect Out-of-Distribution Data*
# leaves files like `last.pth.tar`. Here such a file becomes a flow of this library,
# without torch and without running anything that is in the file, and its numbers are
# compared with those of the original.
#
#     python examples/paper_checkpoint.py --out figures
#     python examples/paper_checkpoint.py --checkpoint last.pth.tar \
#         --architecture RealNVP --shape 28 28 1
#
# Without `--checkpoint` there is none to load: nothing is downloaded. The script then
# writes one, in the format of `torch.save`, of tensors that the paper's code made: a
# small flow with *random* parameters from `tests/parity`, beside which lies what that
# code computed of it. It shows that the numbers agree. It says nothing about images.
# With a checkpoint of yours, the bits a dimension of clothing and digits are
# computed, and the AUROC. A third of a minute on two cores; your own file may take
# longer.
#
# It opens as a notebook, too (jupytext).

# %%
import argparse
import math
import struct
import tempfile
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from flowjax_ood import data, ood
from flowjax_ood.distributions import discrete_log_likelihood
from flowjax_ood.evaluation.likelihood import evaluate_likelihood
from flowjax_ood.interop import (
    ARCHITECTURES,
    load_original,
    read_state_dict,
    read_torch_checkpoint,
)
from flowjax_ood.runtime.parallel import Parallel

parser = argparse.ArgumentParser(description="Load a checkpoint of the paper's code.")
parser.add_argument("--checkpoint", type=Path, help="its file; one is written unless")
parser.add_argument("--architecture", choices=ARCHITECTURES, default="RealNVP")
parser.add_argument("--shape", type=int, nargs=3, default=(28, 28, 1), help="of images")
parser.add_argument("--key", default="net", help="where the tensors are in the file")
parser.add_argument(
    "--limit", type=int, default=200, help="images of each set to score"
)
parser.add_argument("--out", type=Path, help="folder for the figure; temporary unless")
# a notebook's kernel has arguments of its own
args, _ = parser.parse_known_args()
OUT = args.out or Path(tempfile.mkdtemp(prefix="paper_checkpoint_"))
OUT.mkdir(parents=True, exist_ok=True)
BLUE, ORANGE, GRAY = "#0072B2", "#D55E00", "#8A8A8A"

# %% [markdown]
# ## The file
#
# What `torch.save` writes is a zip archive: `data.pkl`, a pickle that describes
# tensors, and a file of plain bytes for each. Unpickling runs whatever functions a
# pickle names, so `read_torch_checkpoint` understands those few names that describe
# tensors, and refuses a file with any other.
#
# To have a file, here is the other direction, with the few opcodes it takes: a dict
# under the key "net", as the paper's code saves it.


# %%
def text(value):
    """A string in a pickle."""
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def numbers(values):
    """A tuple of whole numbers in a pickle."""
    return b"(" + b"".join(b"J" + struct.pack("<i", n) for n in values) + b"t"


def tensor(key, array):
    """A call of torch's function that makes a tensor of float32 of a file of bytes."""
    strides = [stride // array.itemsize for stride in array.strides]
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(str(key))
    storage += text("cpu") + b"J" + struct.pack("<i", array.size) + b"tQ"
    given = storage + b"K\0" + numbers(array.shape) + numbers(strides)
    hooks = b"ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + given + b"\x89" + hooks + b"tR"


def write_checkpoint(path, state, epoch):
    """Write `{"net": state, "epoch": epoch}` as `torch.save` does."""
    arrays = {name: np.ascontiguousarray(a, np.float32) for name, a in state.items()}
    items = [text(name) + tensor(k, a) for k, (name, a) in enumerate(arrays.items())]
    net = b"}(" + b"".join(items) + b"u"
    content = b"}(" + text("net") + net + text("epoch") + b"K" + bytes([epoch]) + b"u"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + content + b".")
        archive.writestr("archive/byteorder", "little")
        for key, array in enumerate(arrays.values()):
            archive.writestr(f"archive/data/{key}", array.tobytes())
        archive.writestr("archive/version", "3\n")


# %%
case = None
checkpoint, architecture, shape = args.checkpoint, args.architecture, tuple(args.shape)
if checkpoint is None:
    here = Path(globals().get("__file__", "examples/x")).resolve().parent
    with np.load(here.parent / "tests/parity/realnvp_gray.npz") as file:
        case = dict(file)
    prefix = "state/"
    # of floating point: counters of batches are no parameters
    state = {
        name.removeprefix(prefix): array
        for name, array in case.items()
        if name.startswith(prefix) and array.dtype.kind == "f"
    }
    checkpoint, architecture, shape = OUT / "last.pth.tar", "RealNVP", (8, 8, 1)
    write_checkpoint(checkpoint, state, epoch=0)
    print(f"wrote {checkpoint}: random parameters, of tests/parity")

# %% [markdown]
# ## Reading it
#
# A checkpoint is a dict; which key has the network, you see by looking.
# `load_original` reads off the tensors how wide and deep the flow is, and fails if
# one is missing, left over or of another shape.

# %%
content = read_torch_checkpoint(checkpoint)
print(f"{checkpoint.name} holds {', '.join(map(repr, content))}")
tensors = read_state_dict(checkpoint, key=args.key)
total = sum(array.size for array in tensors.values())
print(f"{len(tensors)} tensors of {total:,} numbers under {args.key!r}, the first:")
for name, array in list(tensors.items())[:3]:
    print(f"  {name:58} {array.shape}")

flow, variables = load_original(tensors, architecture, shape)
count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
print(f"{architecture} on images {flow.event_shape}: {count:,} parameters")

# %% [markdown]
# ## The same numbers?
#
# The parity case holds images, their noise, and the latents, log-determinants and
# log-likelihoods that the paper's code computed. The original scales pixels by 255
# and then by 1/256, and counts both in the log-determinant: `D log(255/256)` more,
# which is added here to compare. Its channels come first, ours last.


# %%
def in_original_order(z):
    """Latents `[B, D]`: each scale flattened as C, H, W."""
    parts = [np.asarray(part).transpose(0, 3, 1, 2) for part in z]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


if case is not None:
    x = (case["x_uint8"] + case["noise"]).transpose(0, 2, 3, 1) / 256
    x = jnp.asarray(x, jnp.float32)

    @jax.jit
    def compute(variables, x):
        """Latents, both terms of the log-density, and x again."""
        z = flow.apply(variables, x, method="latents")
        parts = flow.apply(variables, x, method="log_prob_parts")
        return z, parts, flow.apply(variables, z, method="from_latents")

    z, parts, again = compute(variables, x)
    extra = flow.dims * math.log(255 / 256)
    ours = {
        "latents": in_original_order(z),
        "log-determinant": np.asarray(parts.logdet) + extra,
        "log-likelihood": np.asarray(
            discrete_log_likelihood(parts.log_prob, flow.dims) + extra
        ),
    }
    keys = ("z", "logdet", "log_likelihood")
    theirs = dict(zip(ours, (case[key] for key in keys), strict=True))
    errors = {}
    print(f"\n{'':18}{'largest, original':>20}{'largest difference':>20}")
    for name, values in ours.items():
        errors[name] = float(np.abs(values - theirs[name]).max())
        print(f"{name:18}{np.abs(theirs[name]).max():20.4f}{errors[name]:20.1e}")
    trip = float(np.abs(again - x).max())
    print(f"there and back: {trip:.1e} at most")

# %% [markdown]
# Both compute in float32, whose numbers near 500 are 3e-5 apart: they agree to
# rounding.
#
# ## What it says of images
#
# Of a checkpoint of yours: the paper's question. Clothing and digits ship with the
# library, and are scaled to the flow's images. `bits/dim` is low for what is likely.
# A flow of FashionMNIST is expected to find digits likelier, with an AUROC near 0.1.

# %%
if case is None:
    side, _, channels = shape
    sets, scores = {"clothing": "fashion_mnist:test", "digits": "mnist:test"}, {}
    for name, spec in sets.items():
        images = data.load(
            spec,
            source="embedded",
            limit=args.limit,
            image_size=side,
            channels=channels,
        ).images
        scores[name] = evaluate_likelihood(
            flow,
            variables,
            images,
            key=jax.random.key(0),
            batch_size=50,
            parallel=Parallel(),
            label=None,
        ).bits_per_dim
        print(f"{name}: {scores[name].mean():.3f} bits/dim of {args.limit} images")
    value = ood.auroc(-scores["clothing"], -scores["digits"])
    print(f"AUROC of clothing over digits: {value.value:.3f}", end=" ")
    print(f"[{value.low:.3f}, {value.high:.3f}]")

# %%
figure, panel = plt.subplots(figsize=(6, 3.6), layout="constrained")
if case is None:
    edges = np.linspace(*np.quantile(np.concatenate(list(scores.values())), (0, 1)), 40)
    for (name, values), color in zip(scores.items(), (BLUE, ORANGE), strict=True):
        panel.hist(values, edges, color=color, alpha=0.65, label=name)
    panel.set(title=f"{architecture}, {checkpoint.name}", yticks=[])
    panel.set_xlabel("bits a dimension: low is likely")
    panel.legend(frameon=False)
else:
    latents, original = ours["latents"].ravel(), theirs["latents"].ravel()
    grid = np.linspace(original.min(), original.max(), 200)
    spacing = 1e6 * np.finfo(np.float32).eps * np.abs(grid)
    panel.fill_between(
        grid,
        -spacing,
        spacing,
        color=GRAY,
        alpha=0.35,
        lw=0,
        label="spacing of float32",
    )
    panel.plot(original, 1e6 * (latents - original), "o", color=BLUE, ms=4, alpha=0.7)
    panel.set(title="latents: this library beside the paper's code")
    panel.set(xlabel="latent of the original", ylabel="difference, millionths")
    panel.legend(frameon=False, loc="upper left")
panel.spines[["top", "right"]].set_visible(False)
figure.savefig(OUT / "paper_checkpoint.png", dpi=150)
plt.close(figure)
print(f"paper_checkpoint.png is in {OUT}")
