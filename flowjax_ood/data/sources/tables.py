"""Sources `sklearn` and `uci`: real tables, one class at a time, the others as OOD.

Appendix K of the paper trains on one class of HEPMASS or MiniBooNE and takes the other
for OOD; the filtering is that of its code.
"""

import gzip
import os
import re
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np

from flowjax_ood.data.checks import unknown
from flowjax_ood.data.random import bits, permutation
from flowjax_ood.data.sets import VectorSet

SPLITS = ("train", "test", "all")
# number of classes; covtype and the like are downloads, and not here
SKLEARN_TABLES = {"breast_cancer": 2, "wine": 3, "digits": 10}
SKLEARN_TEST = 0.2
UCI_TABLES = {"hepmass": 2, "miniboone": 2}
UCI_TEST = 0.1
UCI_ARCHIVE = "https://archive.ics.uci.edu/dataset"
HEPMASS_DIMS, MINIBOONE_DIMS = 15, 50
# a feature whose smallest value comes more often is discrete, and left out
MOST_REPEATS = 5


def load_sklearn(name: str, split: str, *, seed: int = 0) -> VectorSet:
    """Load a class of a table: `breast_cancer0`, `wine2`, `digits_not3` (all but 3).

    `breast_cancer` (0 malignant, 1 benign): 569 rows of 30 features; `wine`: 178 of
    13; `digits` (0 to 9): 1797 images of 8 x 8 values 0 to 16, to which uniform noise
    in [0, 1) is added, because whole numbers have no density.

    Splits: `train` and `test` hold 80 % and 20 % of every class, drawn from `seed`;
    `all` holds both, for a class nothing is trained on. Raises ImportError without
    scikit-learn, and ValueError for another name or split.
    """
    remedy = "NAME_notC is all classes of NAME but C, as in digits_not3"
    table, c, others = _class_of(name, SKLEARN_TABLES, "scikit-learn", remedy)
    if split not in SPLITS:
        raise unknown(f"a split of sklearn {name!r}", split, SPLITS)
    vectors, labels = _sklearn_table(table)
    origin = f"scikit-learn's {table}"
    if table == "digits":
        noise = bits(vectors.size, seed, 0x6E6F6973) >> np.uint64(11)
        vectors = vectors + noise.reshape(vectors.shape) * 2.0**-53
        origin += f", uniform noise of seed {seed} added"
    rows = _split_rows(labels, split, seed)
    rows = rows[(labels[rows] == c) != others]
    origin += f", {'all classes but' if others else 'class'} {c}"
    if split != "all":
        origin += f", {split} part of an 80/20 split of seed {seed}"
    vectors = vectors[rows].astype(np.float32)
    return VectorSet(name, split, vectors, labels[rows], "sklearn", origin)


def load_uci(
    name: str, split: str, *, path: str | os.PathLike | None = None
) -> VectorSet:
    """Load `hepmass0`, `hepmass1`, `miniboone0` or `miniboone1`; class 1 is the signal.

    `path` is the directory that holds, as published (HEPMASS's also as .csv.gz):

    * HEPMASS: `1000_train.csv` and `1000_test.csv`. The last column of the test file
      has no partner in the training file and is left out. So is every feature whose
      smallest value comes more than 5 times in the training file, both classes
      together: 15 features remain, or it is another file and ValueError;
    * MiniBooNE: `MiniBooNE_PID.txt`, whose first line counts signal and background.
      As many rows of each class are taken as the smaller one has, the first ones;
      10 % of each, drawn with seed 0, are the test split. 50 features, of which -999
      stands for a value that was not measured: those rows stay.

    Splits: `train`, `test`, and `all` for both. Raises FileNotFoundError, saying what
    to download and where to put it.
    """
    table, c, _ = _class_of(name, UCI_TABLES, "UCI")
    if split not in SPLITS:
        raise unknown(f"a split of uci {name!r}", split, SPLITS)
    if path is None:
        raise ValueError(
            "source 'uci' needs path=, the directory of the published files"
        )
    read = _hepmass if table == "hepmass" else _miniboone
    vectors, origin = read(Path(path), c, split)
    labels = np.full(len(vectors), c, np.int32)
    return VectorSet(name, split, vectors.astype(np.float32), labels, "uci", origin)


def continuous(features: np.ndarray) -> np.ndarray:
    """Find the columns of `[N, F]` whose smallest value comes at most 5 times."""
    repeats = (features == features.min(axis=0)).sum(axis=0)
    return np.flatnonzero(repeats <= MOST_REPEATS)


def _class_of(
    name: str, tables: Mapping[str, int], owner: str, remedy: str = ""
) -> tuple[str, int, bool]:
    """`"wine2"` as `("wine", 2, False)`, `"wine_not2"` as `("wine", 2, True)`.

    All classes but one are only known where `remedy` explains them.
    """
    for table, classes in tables.items():
        match = re.fullmatch(rf"{table}(_not)?(\d+)", name)
        if match and int(match[2]) < classes and (remedy or not match[1]):
            return table, int(match[2]), bool(match[1])
    known = [f"{table}{c}" for table, n in tables.items() for c in range(n)]
    raise unknown(f"a class of a table of {owner}", name, known, remedy)


def _split_rows(labels: np.ndarray, split: str, seed: int) -> np.ndarray:
    """Rows of `split`, ascending: of each class a share is held out as test rows.

    The rows held out of class c are drawn from `(seed, c)` alone. `"all"` is both
    parts. Every class keeps at least one row on either side.
    """
    if split == "all":
        return np.arange(len(labels))
    held = np.zeros(len(labels), bool)
    for c in np.unique(labels):
        rows = np.flatnonzero(labels == c)
        count = min(max(1, round(SKLEARN_TEST * len(rows))), len(rows) - 1)
        held[rows[permutation(len(rows), seed, int(c))[:count]]] = True
    return np.flatnonzero(held if split == "test" else ~held)


def _sklearn_table(table: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError(
            "source 'sklearn' needs scikit-learn: pip install scikit-learn, or the "
            "extra `tables` of flowjax_ood"
        ) from error
    bunch = getattr(datasets, f"load_{table}")()
    return bunch.data.astype(np.float64), bunch.target.astype(np.int32)


def _hepmass(directory: Path, c: int, split: str) -> tuple[np.ndarray, str]:
    train_file, test_file = (
        _published(
            directory, f"1000_{part}.csv", "HEPMASS", f"{UCI_ARCHIVE}/347/hepmass"
        )
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


def _csv(file: Path, columns: int | None) -> np.ndarray:
    """A csv with a line of names; the first `columns` of it, or as many as names."""
    with (
        _published_text(file),
        gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as lines,
    ):
        names = lines.readline().count(",") + 1
        if columns is not None and names not in (columns, columns + 1):
            raise ValueError(
                f"it has {names} columns, the training file {columns}; the published "
                "test file has those and one more"
            )
        # float64: what comes how often is counted before rounding
        return _numbers(lines, delimiter=",", usecols=range(columns or names))


def _numbers(lines: TextIO, **options) -> np.ndarray:
    """Float64 `[N, F]` of the rest of a file; ValueError without any row."""
    with warnings.catch_warnings():
        # of no data, which is an error here
        warnings.simplefilter("ignore", UserWarning)
        rows = np.loadtxt(lines, ndmin=2, **options)
    if not len(rows):
        raise ValueError("it holds no rows")
    return rows


@contextmanager
def _published_text(file: Path) -> Iterator[None]:
    """Raise ValueError, naming the file, for whatever is wrong with its text."""
    try:
        yield
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{file}: not the published file ({error})") from error


def _miniboone(directory: Path, c: int, split: str) -> tuple[np.ndarray, str]:
    file = _published(
        directory,
        "MiniBooNE_PID.txt",
        "MiniBooNE",
        f"{UCI_ARCHIVE}/199/miniboone+particle+identification",
    )
    with _published_text(file), file.open() as lines:
        signal, background = map(int, lines.readline().split())
        rows = _numbers(lines)
    if rows.shape != (signal + background, MINIBOONE_DIMS):
        raise ValueError(
            f"{file}: holds rows and columns {rows.shape}; its first line and the "
            f"{MINIBOONE_DIMS} features of the published file make "
            f"{(signal + background, MINIBOONE_DIMS)}"
        )
    each = min(signal, background)
    start = 0 if c == 1 else signal
    order = permutation(each, 0)
    held = round(UCI_TEST * each)
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
