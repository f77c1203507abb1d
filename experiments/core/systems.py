"""Runs of the commands that train a system of their own, in stages."""

from argparse import Namespace
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from experiments.core import json_file
from experiments.core.config import load_config
from experiments.core.keys import Kind
from experiments.core.loaders import load_images
from experiments.core.results import write_json
from experiments.core.run_config import keep_config
from experiments.core.workdir import check_writable, locked
from flowjax_ood.data.sets import ImageSet
from flowjax_ood.interface.errors import UserError, user_errors


@contextmanager
def opened(
    args: Namespace, overrides: Sequence[str], system: Kind
) -> Iterator[ConfigDict]:
    """The config of `--config`, with `--workdir` held, and kept in it.

    Raises UserError for a config of another command, a workdir of another config or in
    use, and before anything is computed.
    """
    config = load_config(args.config, overrides, system)
    check_writable("--workdir", args.workdir)
    with locked(args.workdir):
        keep_config(config, args.workdir)
        yield config


def images(config: ConfigDict, spec: str, limit: int = 0) -> ImageSet:
    """The set `name:split`, from where `config.data` says; UserError with a remedy."""
    with user_errors("config.data"):
        return load_images(config, spec, limit, config.data.source, config.data.path)


def check_alike(sets: Mapping[str, ImageSet], labelled: Collection[str]) -> None:
    """Raise UserError for sets, by spec, that one classifier cannot be asked about.

    All have images of the first one's shape; those in `labelled` have labels.
    """
    first, shape = next((spec, s.images.shape[1:]) for spec, s in sets.items())
    for spec, each in sets.items():
        if each.images.shape[1:] != shape:
            raise UserError(
                f"{spec} has images of {each.images.shape[1:]}, {first} of {shape}: "
                "set config.data.image_size and config.data.channels"
            )
        if spec in labelled and each.labels is None:
            raise UserError(f"{spec} has no labels: name a set that has")


def labels_of(images: ImageSet) -> np.ndarray:
    """The labels of a set that `check_alike` was told to be labelled."""
    assert images.labels is not None
    return images.labels


def stage_file(workdir: Path, name: str) -> Path:
    """Where `stage` keeps what it computed."""
    return workdir / "stages" / f"{name}.json"


def stage(workdir: Path, name: str, compute: Callable[[], dict]) -> dict:
    """What `compute()` returned, kept in stages/NAME.json: computed once in a workdir.

    A command that was interrupted goes on after the last stage that ended.
    """
    file = stage_file(workdir, name)
    if not file.exists():
        write_json(file, compute())
    # read again the first time, too: tuples have become lists
    return json_file.read(file, remedy="delete it, and that stage runs again")
