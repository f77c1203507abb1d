"""Source `uci`: HEPMASS and MiniBooNE from their published files, one class at a time.

The paper's appendix K: a flow is trained on one class, the other is OOD. The filtering
is that of its code.
"""

import gzip
import os
from pathlib import Path

import numpy as np

from flowjax_ood.data.checks import unknown
from flowjax_ood.data.random import permutation
from flowjax_ood.data.sets import VectorSet
from flowjax_ood.data.sources.table_classes import SPLITS, parse_class

TABLES = ("hepmass", "miniboone")
ARCHIVE = "https://archive.ics.uci.edu/dataset"
HEPMASS_DIMS, MINIBOONE_DIMS = 15, 50
# a feature whose smallest value comes more often is discrete, and left out
MOST_REPEATS = 5
TEST = 0.1


def load_uci(
    name: str, split: str, *, path: str | os.PathLike | None = None
) -> VectorSet:
    """`hepmass0`, `hepmass1`, `miniboone0` or `miniboone1`; class 1 is the signal.

    `path` is the directory that holds, as published (HEPMASS's also as .csv.gz):

    * HEPMASS: `1000_train.csv` and `1000_test.csv`. The last column of the test file
      has no partner in the training file and is left out. So is every feature whose
      smallest value comes more than 5 times in the training file, both classes
      together: 15 features remain, or it is another file and ValueError;
    * MiniBooNE: `MiniBooNE_PID.txt`, whose first line counts signal and background.
      As many rows of each class are taken as the smaller one has, the first ones;
      10 % of each, drawn with seed 0, are the test split. 50 features, of which -999
      stands for what was not measured: those rows stay.

    Splits: `train`, `test`, and `all` for both. Raises FileNotFoundError, saying what
    to download and where to put it.
    """
    found = [(table, parse_class(name, table)) for table in TABLES]
    found = [
        (table, which) for table, which in found if which in ((0, False), (1, False))
    ]
    if not found:
        known = [f"{table}{c}" for table in TABLES for c in (0, 1)]
        raise unknown("a class of a table of UCI", name, known)
    if split not in SPLITS:
        raise unknown(f"a split of uci {name!r}", split, SPLITS)
    if path is None:
        raise ValueError(
            "source 'uci' needs path=, the directory of the published files"
        )
    [(table, (c, _))] = found
    read = _hepmass if table == "hepmass" else _miniboone
    vectors, origin = read(Path(path), c, split)
    labels = np.full(len(vectors), c, np.int32)
    return VectorSet(name, split, vectors.astype(np.float32), labels, "uci", origin)


def _hepmass(directory: Path, c: int, split: str) -> tuple[np.ndarray, str]:
    train_file, test_file = (
        _published(directory, f"1000_{part}.csv", "HEPMASS", f"{ARCHIVE}/347/hepmass")
        for part in ("train", "test")
    )
    train = _csv(train_file, None)
    kept = 1 + continuous(train[:, 1:])
    if len(kept) != HEPMASS_DIMS:
        raise ValueError(
            f"{train_file}: {len(kept)} features remain after filtering, where the "
            f"published file leaves {HEPMASS_DIMS}; it must hold both classes, complete"
            " and unchanged"
        )
    parts = [] if split == "test" else [train]
    if split != "train":
        # the columns of the training file: the last one of the test file has none
        parts.append(_csv(test_file, train.shape[1]))
    rows = np.concatenate([part[part[:, 0] == c][:, kept] for part in parts])
    if not len(rows):
        raise ValueError(f"{train_file.parent}: no row of HEPMASS has the label {c}")
    what = {"train": "1000_train", "test": "1000_test", "all": "1000_{train,test}"}
    return rows, (
        f"HEPMASS {what[split]}.csv in {directory}, class {c}, the {HEPMASS_DIMS} "
        "continuous features"
    )


def continuous(features: np.ndarray) -> np.ndarray:
    """Indices of the columns of `[N, F]` whose smallest value comes at most 5 times."""
    repeats = (features == features.min(axis=0)).sum(axis=0)
    return np.flatnonzero(repeats <= MOST_REPEATS)


def _csv(file: Path, columns: int | None) -> np.ndarray:
    """A csv with a line of names; the first `columns` of it, or as many as names."""
    with gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as lines:
        names = lines.readline().count(",") + 1
        if columns is not None and names not in (columns, columns + 1):
            raise ValueError(
                f"{file} has {names} columns, the training file {columns}; the "
                f"published test file has those and one more"
            )
        try:
            # float64: what comes how often is counted before rounding
            return np.loadtxt(
                lines, delimiter=",", usecols=range(columns or names), ndmin=2
            )
        except (ValueError, OSError, EOFError) as error:
            raise ValueError(f"{file}: not the published file ({error})") from error


def _miniboone(directory: Path, c: int, split: str) -> tuple[np.ndarray, str]:
    file = _published(
        directory,
        "MiniBooNE_PID.txt",
        "MiniBooNE",
        f"{ARCHIVE}/199/miniboone+particle+identification",
    )
    with file.open() as lines:
        try:
            signal, background = map(int, lines.readline().split())
            rows = np.loadtxt(lines, ndmin=2)
        except ValueError as error:
            raise ValueError(f"{file}: not the published file ({error})") from error
    if rows.shape != (signal + background, MINIBOONE_DIMS):
        raise ValueError(
            f"{file}: holds rows and columns {rows.shape}; its first line and the "
            f"{MINIBOONE_DIMS} features of the published file make "
            f"{(signal + background, MINIBOONE_DIMS)}"
        )
    each = min(signal, background)
    start = 0 if c == 1 else signal
    order = permutation(each, 0)
    held = round(TEST * each)
    at = {"test": order[:held], "train": order[held:], "all": order}[split]
    part = "all" if split == "all" else f"the {split} part of a 90/10 split (seed 0)"
    origin = f"{file}, class {c}, {part} of its first {each} rows"
    return rows[start + np.sort(at)], origin


def _published(directory: Path, name: str, table: str, where: str) -> Path:
    """The file, or its .gz; FileNotFoundError with what to do."""
    for file in (directory / name, directory / f"{name}.gz"):
        if file.is_file() and (file.suffix != ".gz" or name.endswith(".csv")):
            return file
    raise FileNotFoundError(
        f"no {name} in {os.fspath(directory)!r}; download {table} from {where}, unpack "
        f"it, and put {name} there (or give the directory that has it as path)"
    )
