"""The sets that a config names: under which names, from which sources and paths."""

from collections.abc import Sequence

from ml_collections import ConfigDict

from flowjax_ood.data.loading import parse_spec
from flowjax_ood.interface.errors import UserError, user_errors

# an entry of ood_source or ood_path: as for training
SAME = "-"


def ood_names(test: str, ood: Sequence[str]) -> list[str]:
    """Name each set of `ood` for reports, all differently.

    The split is part of it only where the name alone would be taken, by another split
    of the same set or by a role, such as "train" and "test".
    """
    if not ood:
        raise UserError(
            "config.data.ood names no set; give at least one, such as "
            "--config.data.ood=mnist:test"
        )
    with user_errors("config.data", ValueError, TypeError):
        own, parsed = parse_spec(test), [parse_spec(spec) for spec in ood]
    for spec, pair in zip(ood, parsed):
        if pair == own:
            raise UserError(f"config.data.ood holds the test set itself, {spec!r}")
        if parsed.count(pair) > 1:
            raise UserError(f"config.data.ood holds {spec!r} more than once")
    taken = [name for name, _ in (own, *parsed)]
    taken += ["train", "test", "negative", "validation"]
    return [n if taken.count(n) == 1 else f"{n}:{split}" for n, split in parsed]


def ood_origins(c: ConfigDict) -> list[tuple[str, str]]:
    """`(source, path)` of every set of `c.ood`, `c` being a config's `data`.

    From `ood_source` and `ood_path`: no entry is as for training, one entry is for all
    sets, else it is one a set. `-` is as for training, too: its source and, with that
    source, its path; another source has no path unless it is given one.
    """
    sources = _one_a_set("ood_source", c.ood_source, c.ood)
    paths = _one_a_set("ood_path", c.ood_path, c.ood)
    origins = []
    for source, path in zip(sources, paths):
        source = c.source if source == SAME else source
        default = c.path if source == c.source else ""
        origins.append((source, default if path == SAME else path))
    return origins


def _one_a_set(key: str, values: Sequence[str], ood: Sequence[str]) -> Sequence[str]:
    if len(values) in (0, 1):
        return tuple(values or (SAME,)) * len(ood)
    if len(values) != len(ood):
        raise UserError(
            f"config.data.{key} has {len(values)} entries ({', '.join(values)}) for "
            f"{len(ood)} OOD sets ({', '.join(ood)}); give one entry for all, or one a "
            f"set, with {SAME!r} where it is as for training"
        )
    return values


def check_negative(config: ConfigDict) -> None:
    """Raise UserError for negatives that the flow also learns or is scored on."""
    c = config.train
    # classifiers have no such key
    if not c.get("negative"):
        if c.get("negative_classes"):
            raise UserError(
                f"config.train.negative_classes is {c.negative_classes}, but no set of "
                "negatives is named; set config.train.negative, such as mnist:train"
            )
        return
    used = {"train": config.data.train, "test": config.data.test}
    used |= {f"ood ({spec})": spec for spec in config.data.ood}
    with user_errors("config.data", ValueError, TypeError):
        own = parse_spec(c.negative)
        same = [key for key, spec in used.items() if parse_spec(spec) == own]
    if same:
        raise UserError(
            f"config.train.negative and config.data.{same[0]} are the same images, "
            f"{used[same[0]]!r}; negatives must be other images than those the flow "
            "learns or is scored on"
        )
