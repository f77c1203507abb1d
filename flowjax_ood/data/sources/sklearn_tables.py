"""Source `sklearn`: real tables that scikit-learn ships, one class at a time."""

import numpy as np

from flowjax_ood.data.checks import unknown
from flowjax_ood.data.sets import VectorSet
from flowjax_ood.data.sources.table_classes import SPLITS, parse_class, split_rows

# number of classes; covtype and the like are downloads, and not here
TABLES = {"breast_cancer": 2, "wine": 3, "digits": 10}
TEST = 0.2


def load_sklearn(name: str, split: str, *, seed: int = 0) -> VectorSet:
    """One class of a table: `breast_cancer0`, `wine2`, `digits_not3` (all but 3).

    `breast_cancer` (0 malignant, 1 benign): 569 rows of 30 features; `wine`: 178 of
    13; `digits` (0 to 9): 1797 images of 8 x 8 values 0 to 16, to which uniform noise
    in [0, 1) is added, because whole numbers have no density.

    Splits: `train` and `test` hold 80 % and 20 % of every class, drawn from `seed`;
    `all` holds both, for a class nothing is trained on. Raises ImportError without
    scikit-learn, and ValueError for another name or split.
    """
    found = [(table, parse_class(name, table)) for table in TABLES]
    found = [(table, which) for table, which in found if which is not None]
    if not found or found[0][1][0] >= TABLES[found[0][0]]:
        known = [f"{table}{c}" for table, n in TABLES.items() for c in range(n)]
        remedy = "NAME_notC is all classes of NAME but C, as in digits_not3"
        raise unknown("a class of a table of scikit-learn", name, known, remedy)
    if split not in SPLITS:
        raise unknown(f"a split of sklearn {name!r}", split, SPLITS)
    table, (c, others) = found[0]
    vectors, labels = _table(table)
    origin = f"scikit-learn's {table}"
    if table == "digits":
        vectors = vectors + _noise(vectors.shape, seed)
        origin += f", uniform noise of seed {seed} added"
    rows = split_rows(labels, split, TEST, seed)
    rows = rows[(labels[rows] == c) != others]
    origin += f", {'all classes but' if others else 'class'} {c}"
    if split != "all":
        origin += f", {split} part of an 80/20 split of seed {seed}"
    vectors = vectors[rows].astype(np.float32)
    return VectorSet(name, split, vectors, labels[rows], "sklearn", origin)


def _table(table: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError(
            "source 'sklearn' needs scikit-learn: pip install scikit-learn, or the "
            "extra `tables` of flowjax_ood"
        ) from error
    bunch = getattr(datasets, f"load_{table}")()
    return bunch.data.astype(np.float64), bunch.target.astype(np.int32)


def _noise(shape: tuple[int, int], seed: int) -> np.ndarray:
    bits = np.random.Philox(np.random.SeedSequence([seed, 0x6E6F6973]))
    raw = bits.random_raw(shape[0] * shape[1]) >> np.uint64(11)
    return raw.reshape(shape) * 2.0**-53
