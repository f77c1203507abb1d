"""Sets of tokens: DNA, for classifiers of sequences."""

from dataclasses import replace

from ml_collections import ConfigDict

from flowjax_ood.data.loading import parse_spec
from flowjax_ood.data.sets import TokenSet
from flowjax_ood.data.sources.genomics import load_genomics, synthetic_genomics

# the one set of tokens, by its names here and in TFDS
NAMES = ("genomics", "genomics_ood")
SOURCES = ("tfds", "synthetic")


def load_tokens(
    config: ConfigDict, spec: str, limit: int, source: str, path: str
) -> TokenSet:
    """Sequences `name:split` of `model.length` tokens each.

    A limit that is not 0 takes sequences at
    random, the same each time. Raises ValueError naming the remedy.
    """
    length = config.model.length
    name, split = parse_spec(spec)
    if name not in NAMES:
        raise ValueError(
            f"{name!r} is not a set of tokens, which model {config.model.name!r} "
            f"needs; there is: {NAMES[0]}"
        )
    if source == "synthetic":
        count = {"count": limit} if limit else {}
        tokens = synthetic_genomics(split, length=length, seed=config.seed, **count)
    elif source == "tfds":
        tokens = load_genomics(split, path or None, limit or None)
    else:
        raise ValueError(
            f"source {source!r} has no tokens; there is: {', '.join(SOURCES)}"
        )
    if tokens.length != length:
        raise ValueError(
            f"{spec} has sequences of {tokens.length} tokens, and model.length is "
            f"{length}; set config.model.length={tokens.length}"
        )
    return replace(tokens, name=name)
