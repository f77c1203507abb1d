"""Sets of tokens: DNA, for classifiers of sequences."""

from collections.abc import Sequence
from dataclasses import replace

from ml_collections import ConfigDict

from experiments.core.errors import UserError, user_errors
from experiments.core.keys import flatten
from flowjax_ood.data.loading import parse_spec
from flowjax_ood.data.sets import TokenSet
from flowjax_ood.data.sources.genomics import load_genomics, synthetic_genomics

# classifiers of tokens; all others are of images
MODELS = ("bilstm",)
# what the one set of tokens is called, here and by TFDS
NAMES = ("genomics", "genomics_ood")
SOURCES = ("tfds", "synthetic")
# what acts on images alone, at what leaves it out
OF_IMAGES = {
    "data.altered": (),
    "data.image_size": 0,
    "data.channels": 0,
    "train.augment": "none",
    # which takes uint8 images as outliers
    "exposure.source": "",
    "detect.corrupted": (),
    # tokens have no gradient, and no noise between them
    "detect.perturb": False,
    "detect.fssd_noise": "validation",
    "detect.flows": (),
}


def of_tokens(config: ConfigDict) -> bool:
    """Whether the experiment is on tokens."""
    return config.model.get("name") in MODELS


def check_keys(config: ConfigDict) -> None:
    """Raise UserError for a config of tokens that says what only images have."""
    flat = flatten(config)
    for key, off in OF_IMAGES.items():
        if flat.get(key, off) != off:
            raise UserError(
                f"config.{key} acts on images, and model {config.model.name!r} is on "
                f"tokens; set it to {off!r}"
            )


def load_token_sets(
    config: ConfigDict, names: Sequence[str], places: Sequence[tuple[str, str]]
) -> tuple[TokenSet, TokenSet, dict[str, TokenSet]]:
    """`(train, test, {name: ood})`, of `model.length` tokens each.

    `places`: `(source, path)` of every OOD set. A limit takes sequences at random, the
    same ones each time. Raises UserError naming the remedy.
    """
    check_keys(config)
    c, length = config.data, config.model.length

    def load(spec, limit, source=c.source, path=c.path):
        name, split = parse_spec(spec)
        if name not in NAMES:
            raise ValueError(
                f"{name!r} is not a set of tokens, which model {config.model.name!r} "
                f"needs; there is: {NAMES[0]}"
            )
        if source == "synthetic":
            count = {"count": limit} if limit else {}
            found = synthetic_genomics(split, length=length, seed=config.seed, **count)
        elif source == "tfds":
            found = load_genomics(split, path or None, limit or None)
        else:
            raise ValueError(
                f"source {source!r} has no tokens; there is: {', '.join(SOURCES)}"
            )
        if found.length != length:
            raise ValueError(
                f"{spec} has sequences of {found.length} tokens, and model.length is "
                f"{length}; set config.model.length={found.length}"
            )
        return replace(found, name=name)

    with user_errors("config.data"):
        train, test = load(c.train, c.limit_train), load(c.test, c.limit_test)
        ood = {
            name: load(spec, c.limit_test, *place)
            for name, spec, place in zip(names, c.ood, places)
        }
    return train, test, ood
