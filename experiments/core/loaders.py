"""One set of an experiment, by its spec: images, vectors, or DNA as tokens."""

from dataclasses import replace

import numpy as np
from ml_collections import ConfigDict

from experiments.core.keys import Kind, kind
from flowjax_ood.data import loading
from flowjax_ood.data.preprocess import with_depth
from flowjax_ood.data.sets import ImageSet, StoredSet, TokenSet
from flowjax_ood.data.sources.genomics import load_genomics, synthetic_genomics
from flowjax_ood.data.streaming import stream
from flowjax_ood.interface.errors import user_errors

# the one set of tokens, by its names here and in TFDS
TOKENS = ("genomics", "genomics_ood")


def load_set(
    config: ConfigDict, spec: str, limit: int, source: str, path: str
) -> StoredSet:
    """Load `name:split`, all of it with limit 0, as the model of `config` takes it.

    Raises ValueError naming the remedy, and what the loaders of the library raise.
    """
    of = kind(config)
    if of is Kind.TOKENS:
        return _load_tokens(config, spec, source, path or None, limit or None)
    if of is Kind.VECTORS:
        return loading.load_vectors(
            spec,
            source=source,
            path=path or None,
            limit=limit or None,
            seed=config.seed,
        )
    return load_images(config, spec, limit, source, path)


def load_images(
    config: ConfigDict, spec: str, limit: int, source: str, path: str
) -> ImageSet:
    """`load_set` of a config whose model takes images."""
    images = loading.load(
        spec,
        source=source,
        path=path or None,
        limit=limit or None,
        seed=config.seed,
        **_pixels(config),
    )
    bins = config.data.get("bins", 256)
    if source == "synthetic":
        images = replace(images, images=with_depth(images.images, bins))
    _check_depth(images, bins, kind(config))
    return images


def load_train(config: ConfigDict) -> StoredSet:
    """Load the set to train on, or, with `data.streaming`, leave it where it is.

    Raises UserError where it is not, or cannot be streamed.
    """
    c = config.data
    with user_errors("config.data"):
        if not c.streaming:
            return load_set(config, c.train, c.limit_train, c.source, c.path)
        where = {"source": c.source, "path": c.path or None}
        return stream(c.train, **where, limit=c.limit_train or None, **_pixels(config))


def _check_depth(images: ImageSet, bins: int, of: Kind) -> None:
    """Raise ValueError for images of another depth than `config.data.bins` says."""
    what, dtype = f"{images.name}:{images.split}", images.images.dtype
    if (dtype == np.uint16) != (bins > 256):
        remedy = "uint16 images have more than 256, uint8 images have 256 or fewer"
        if of.classifies:
            remedy = "classifiers take no more: (x >> 8).astype(np.uint8)"
        raise ValueError(
            f"{what} has {dtype} images, and config.data.bins is {bins} values a "
            f"pixel; {remedy}"
        )
    if (highest := int(images.images.max())) >= bins:
        raise ValueError(
            f"{what} has the value {highest}, and config.data.bins={bins} values are "
            f"0 to {bins - 1}; set it to more, or shift the stored values right first"
        )


def _pixels(config: ConfigDict) -> dict:
    """Size and channels of images; None leaves them as they are."""
    c = config.data
    return {"image_size": c.image_size or None, "channels": c.channels or None}


def _load_tokens(
    config: ConfigDict, spec: str, source: str, path: str | None, limit: int | None
) -> TokenSet:
    """Sequences of `model.length` tokens each; with a limit, the same drawn ones."""
    length = config.model.length
    name, split = loading.parse_spec(spec)
    if name not in TOKENS:
        raise ValueError(
            f"{name!r} is not a set of tokens, which model {config.model.name!r} "
            f"needs; there is: {TOKENS[0]}"
        )
    if source == "synthetic":
        count = {"count": limit} if limit else {}
        tokens = synthetic_genomics(split, length=length, seed=config.seed, **count)
    elif source == "tfds":
        tokens = load_genomics(split, path, limit)
    else:
        raise ValueError(f"source {source!r} has no tokens; there is: tfds, synthetic")
    if tokens.length != length:
        raise ValueError(
            f"{spec} has sequences of {tokens.length} tokens, and model.length is "
            f"{length}; set config.model.length={tokens.length}"
        )
    return replace(tokens, name=name)
