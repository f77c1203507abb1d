"""Sets of vectors: loaded, validation split off, standardised by what is trained on."""

from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from experiments.core.checks import check_keys
from experiments.core.errors import UserError, user_errors
from flowjax_ood.data.loading import load_vectors
from flowjax_ood.data.sets import VectorSet
from flowjax_ood.data.splits import hold_back
from flowjax_ood.data.standardize import Standardizer, fit_standardizer

# of a run's workdir: the standardisation its flow was trained behind
FILE = "standardization.npz"


def load_vector_sets(
    config: ConfigDict,
    names: Sequence[str],
    places: Sequence[tuple[str, str]],
    workdir: Path | None,
) -> tuple[VectorSet, VectorSet, dict, VectorSet | None, Standardizer]:
    """`(train, test, {name: ood}, validation, standardizer)`, the vectors unchanged.

    `validation` is the share `data.validation` of the training set, drawn by the seed;
    `train` is the rest, which alone the standardizer is fitted on. That of a run that
    is there already is read from its workdir. Raises UserError naming the remedy.
    """
    check_keys(config)
    c = config.data

    def load(spec, limit, source=c.source, path=c.path):
        path, limit = path or None, limit or None
        return load_vectors(
            spec, source=source, path=path, limit=limit, seed=config.seed
        )

    with user_errors("config.data"):
        whole, test = load(c.train, c.limit_train), load(c.test, c.limit_test)
        ood = {
            name: load(spec, c.limit_test, *place)
            for name, spec, place in zip(names, c.ood, places)
        }
        train, validation = _split(whole, c.validation, config.seed)
        standardizer = _standardizer(c, train, workdir)
    for other in (test, *ood.values()):
        if other.dims != train.dims:
            raise UserError(
                f"{other.name}:{other.split} has vectors of {other.dims} features, the "
                f"training set of {train.dims}; compare sets of one kind"
            )
    return train, test, ood, validation, standardizer


def _split(whole: VectorSet, share: float, seed: int):
    """`(train, validation)`, both in the order of the whole; None for no share."""
    if not share:
        return whole, None
    count = round(share * len(whole))
    if not 1 <= count <= len(whole) - 2:
        raise ValueError(
            f"a validation share of {share} leaves {count} of {len(whole)} training "
            "vectors to stop by; each part needs some. Set validation to another share"
        )
    return hold_back(whole, count, seed)


def _standardizer(c: ConfigDict, train: VectorSet, workdir: Path | None):
    if workdir is not None and (workdir / FILE).exists():
        kept = Standardizer.load(workdir / FILE)
        if kept.dims != train.dims:
            raise ValueError(
                f"{workdir / FILE} is of vectors of {kept.dims} features, the training "
                f"set has {train.dims}; give the data of that run, or another --workdir"
            )
        return kept
    try:
        return fit_standardizer(
            train.vectors, constant=c.constant, pca=c.pca, whiten=c.whiten
        )
    except ValueError as error:
        raise ValueError(f"{train.name}:{train.split}: {error}") from error


def keep_standardizer(standardizer: Standardizer, workdir: Path) -> None:
    """Write the run's standardisation, once: its flow means nothing without it."""
    if not (workdir / FILE).exists():
        standardizer.save(workdir / FILE)
