"""Sets of vectors: loaded, a validation set split off, standardised by the rest."""

from pathlib import Path

from ml_collections import ConfigDict

from flowjax_ood.data import loading
from flowjax_ood.data.sets import VectorSet
from flowjax_ood.data.splits import hold_back
from flowjax_ood.data.standardize import Standardizer, fit_standardizer

# in a run's workdir: the standardisation its flow was trained behind
FILE = "standardization.npz"


def load_vectors(
    config: ConfigDict, spec: str, limit: int, source: str, path: str
) -> VectorSet:
    """Vectors `name:split`; `limit` 0 is all of them."""
    return loading.load_vectors(
        spec,
        source=source,
        path=path or None,
        limit=limit or None,
        seed=config.seed,
    )


def standardized(
    config: ConfigDict, whole: VectorSet, workdir: Path | None
) -> tuple[VectorSet, VectorSet | None, Standardizer]:
    """`(train, validation, standardizer)` of a training set, the vectors unchanged.

    `validation` is the share `data.validation` of it, drawn by the seed; `train` is the
    rest, which alone the standardizer is fitted on. That of a run that is there already
    is read from its workdir. Raises ValueError naming the remedy.
    """
    train, validation = _split(whole, config.data.validation, config.seed)
    return train, validation, _standardizer(config.data, train, workdir)


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
