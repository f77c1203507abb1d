"""`embed --out=FILE SET ...`: turn images into features of a pretrained encoder."""

import argparse
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from experiments.core.options import refuse_overrides
from experiments.core.results import versions
from experiments.core.workdir import check_writable
from flowjax_ood import data
from flowjax_ood.data.loading import parse_spec
from flowjax_ood.data.sets import ImageSet, VectorSet, check_images
from flowjax_ood.data.sources.embeddings import (
    load_embeddings,
    read_meta,
    write_embeddings,
)
from flowjax_ood.evaluation.likelihood import shown_batches
from flowjax_ood.interface.errors import UserError, user_errors
from flowjax_ood.interop.efficientnet import (
    SHA256,
    imagenet_weights,
    load_efficientnet_lite0,
)
from flowjax_ood.models.efficientnet import encoder_images
from flowjax_ood.runtime.parallel import Parallel
from flowjax_ood.runtime.processes import fetch, is_lead, on_lead

# images at a time on a device; the activations of so few fit in a CPU's caches
BATCH_SIZE = {"cpu": 8}
BATCH_SIZE_ELSEWHERE = 256
PREPROCESSING = "grey repeated three times; bilinear to a square; (x - 127) / 128"
# what must be equal for embeddings to be in one file
SAME = ("encoder", "weights_sha256", "image_size", "preprocessing")


def run(args: argparse.Namespace, overrides: Sequence[str]) -> None:
    """Run `embed`: write the features of all sets that are not in the file yet."""
    refuse_overrides("embed", overrides)
    check(args)
    options = {"source": args.source, "path": args.path, "limit": args.limit}
    with user_errors():
        loaded = [data.load(spec, **options) for spec in args.sets]
        for s in loaded:
            check_images(s.images, f"{s.name}:{s.split}")
    images = {f"{s.name}:{s.split}": s for s in loaded}
    meta: dict[str, Any] = {
        "encoder": args.encoder,
        "weights_sha256": SHA256,
        "image_size": args.image_size,
        "preprocessing": PREPROCESSING,
        "sets": {},
        "versions": versions(),
    }
    done: dict[str, VectorSet] = {}
    if args.out.exists() and not args.overwrite:
        meta["sets"] = sets_there(args, meta, images)
        remedy = "--overwrite replaces all of it"
        with user_errors("", ValueError, TypeError, OSError, remedy=remedy):
            done = {
                spec: load_embeddings(*parse_spec(spec), path=args.out)
                for spec in meta["sets"]
            }
    waiting = {spec: raw for spec, raw in images.items() if spec not in done}
    if waiting:
        encode, variables = encoder(args.image_size)
    for spec, raw in waiting.items():
        vectors = embed(encode, variables, raw.images, args.batch_size, spec)
        done[spec] = VectorSet(
            raw.name, raw.split, vectors, raw.labels, "embeddings", raw.origin
        )
        meta["sets"][spec] = describe(raw)
        # after every set: when it is interrupted, the command goes on there
        on_lead(lambda: write_embeddings(args.out, done, meta))
    if is_lead():
        for spec, made in done.items():
            print(f"{spec}: {len(made)} embeddings of {made.dims} numbers")
        print(f"they are in {args.out}")


def check(args: argparse.Namespace) -> None:
    """Raise UserError for arguments that would fail later."""
    if args.out.suffix != ".npz":
        raise UserError(f"--out must be a file NAME.npz, got {args.out}")
    with user_errors("", ImportError, ValueError, OSError):
        imagenet_weights()
    check_writable("--out", args.out.parent)


def describe(images: ImageSet) -> dict[str, Any]:
    """Describe a set: its provenance, and a hash of its pixels and labels."""
    digest = hashlib.sha256(images.images.tobytes())
    if images.labels is not None:
        digest.update(images.labels.tobytes())
    return images.describe() | {"sha256": digest.hexdigest()}


def sets_there(
    args: argparse.Namespace, meta: dict, images: dict[str, ImageSet]
) -> dict[str, dict]:
    """Read what the file holds already, `{set: description}`.

    Raises UserError unless all could have come from this command.
    """
    remedy = "give another --out, or --overwrite to replace all of it"
    with user_errors("", ValueError, OSError, remedy=remedy):
        before = read_meta(args.out)
    other = [
        f"{key} {before.get(key)!r} there, {meta[key]!r} now"
        for key in SAME
        if before.get(key) != meta[key]
    ]
    for spec, raw in images.items():
        there = before["sets"].get(spec)
        if there is not None and there.get("sha256") != describe(raw)["sha256"]:
            other.append(
                f"{spec} of {there.get('count')} images from {there.get('source')} "
                f"there, other {len(raw)} images from {raw.source} now"
            )
    if other:
        raise UserError(
            f"{args.out} holds other embeddings: {'; '.join(other)}. "
            f"{remedy[0].upper()}{remedy[1:]}"
        )
    return before["sets"]


def encoder(image_size: int) -> tuple[Callable, dict]:
    """`(encode, variables)`: `encode(variables, uint8 images)` is `[B, 1280]`."""
    module, variables = load_efficientnet_lite0()

    @jax.jit
    def encode(variables, images):
        x = encoder_images(images, image_size)
        return module.apply(variables, x, method="features")

    return encode, variables


def embed(
    encode: Callable,
    variables: dict,
    images: np.ndarray,
    batch_size: int | None,
    label: str,
) -> np.ndarray:
    """`encode(variables, images)` in batches over all devices: float32 `[N, D]`.

    `batch_size` is that of each device; None is one that suits it.
    """
    parallel = Parallel("jit")
    if batch_size is None:
        platform = parallel.devices[0].platform
        batch_size = BATCH_SIZE.get(platform, BATCH_SIZE_ELSEWHERE)
    batch_size *= len(parallel.devices)
    variables = parallel.place_copies(variables)
    vectors, label = [], f"embed {label}"
    with shown_batches(len(images), batch_size, label, "images") as batches:
        for at, mask in batches:
            batch = parallel.place_rows(images[at])
            vectors.append(fetch(encode(variables, batch))[mask])
    return np.concatenate(vectors)
