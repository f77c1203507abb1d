"""Bacterial DNA: ten classes known before 2011, and those found later as outliers.

The set `genomics_ood` of TensorFlow Datasets: sequences of 250 letters. The splits
`train`, `validation` and `test` are of 10 classes (labels 0 to 9), `validation_ood` of
60 others and `test_ood` of 60 more (labels 10 to 129).

Source: Ren et al. 2019, "Likelihood Ratios for Out-of-Distribution Detection".
"""

import importlib
import os
from contextlib import suppress

import numpy as np

from flowjax_ood.arguments import whole_number
from flowjax_ood.data.checks import unknown
from flowjax_ood.data.preprocess import on_threads
from flowjax_ood.data.random import Streams
from flowjax_ood.data.sets import TokenSet
from flowjax_ood.data.sources.tfds import open_split

NAME = "genomics_ood"
ALPHABET = "ACGT"
LENGTH = 250
CLASSES = 10
# labels of each split: those of the ID classes, and of the OOD ones
SPLITS = {
    "train": range(CLASSES),
    "validation": range(CLASSES),
    "test": range(CLASSES),
    "validation_ood": range(CLASSES, 70),
    "test_ood": range(70, 130),
}
SEED = 42
# TFDS finds it by name only after this has been imported
_MODULE = "tensorflow_datasets.structured.genomics_ood"
# token of each byte, and what stands for all bytes that are no letter
_UNKNOWN = 255
_TOKENS = np.full(256, _UNKNOWN, np.uint8)
_TOKENS[list(ALPHABET.encode())] = range(len(ALPHABET))


def load_genomics(
    split: str, path: str | os.PathLike | None = None, limit: int | None = None
) -> TokenSet:
    """Load `split` of genomics_ood, as TFDS prepared it.

    Args:
        split: one of `SPLITS`.
        path: data_dir of TFDS; None is its own.
        limit: take so many sequences, at random, the same ones each time: the first of
            `RandomState(42).permutation`. Huang et al. 2021 take 50,000. Without it,
            all of them in stored order: a million for training.

    Returns:
        Tokens, uint8 `[N, 250]`, A = 0, C = 1, G = 2, T = 3, and labels.

    Raises:
        FileNotFoundError: the set is not prepared; says how to. Nothing is downloaded.
        ValueError: an unknown split, a limit above the number of sequences, and a
            sequence of another length or with other letters.
    """
    _check_split(split)
    with suppress(ModuleNotFoundError):  # of a TFDS that has moved it
        importlib.import_module(_MODULE)
    builder, data = open_split(NAME, split, path, _MODULE)
    what = f"tfds {NAME}:{split}"
    count = len(data) if limit is None else limit
    if not 1 <= count <= len(data):
        raise ValueError(
            f"{what} holds {len(data)} sequences, so {count} cannot be taken; ask for "
            f"1 to {len(data)}, or for no limit"
        )
    rows = np.arange(len(data))
    origin = f"TensorFlow Datasets {builder.info.full_name}, split {split}"
    if limit is not None:
        # RandomState: its permutations never change
        rows = np.random.RandomState(SEED).permutation(len(data))[:limit]
        origin += f"; {limit} of {len(data)} sequences, at random, seed {SEED}"
    tokens = np.empty((count, LENGTH), np.uint8)
    labels = np.empty(count, np.int32)

    def read(index: int) -> tuple[np.ndarray, int]:
        row = int(rows[index])
        name, example = f"{what}: sequence {row}", data[row]
        known, label = SPLITS[split], int(example["label"])
        if label not in known:
            raise ValueError(
                f"{name} has the label {label}, but those of this split are "
                f"{known.start} to {known.stop - 1}"
            )
        return tokens_of(example["seq"], name), label

    for index, (sequence, label) in enumerate(on_threads(read, count)):
        tokens[index], labels[index] = sequence, label
    return TokenSet(NAME, split, tokens, labels, "tfds", origin, ALPHABET)


def synthetic_genomics(
    split: str, count: int = 1024, length: int = LENGTH, seed: int = 0
) -> TokenSet:
    """Make `count` fake sequences with the labels of `split`, for tests and smoke runs.

    Each class is a Markov chain, `P(next letter | letter)` drawn from a flat Dirichlet
    distribution given (seed, class): a classifier can learn the classes, and those of
    the OOD splits are others. Sequences and labels follow from (seed, split, position):
    the first ones do not depend on `count`, nor their beginnings on `length`.
    """
    _check_split(split)
    count, length = whole_number("count", count, 1), whole_number("length", length, 1)
    seed = whole_number("seed", seed, 0)
    classes = SPLITS[split]
    streams = Streams(seed, f"synthetic {NAME}:{split}", range(count))
    which = np.floor(len(classes) * streams.uniform().astype(float)).astype(int)
    numbers = streams.uniform(length)
    letters = len(ALPHABET)
    # exponentials in proportion are Dirichlet
    chains = Streams(seed, f"synthetic {NAME} chains", classes)
    weights = -np.log1p(-chains.uniform(letters, letters).astype(float))
    steps = np.cumsum(weights / weights.sum(axis=2, keepdims=True), axis=2)
    tokens = np.empty((count, length), np.uint8)
    tokens[:, 0] = np.floor(letters * numbers[:, 0])
    for i in range(1, length):
        # the last step is 1, but for rounding
        bounds = steps[which, tokens[:, i - 1], : letters - 1]
        tokens[:, i] = (numbers[:, i, None] >= bounds).sum(axis=1)
    return TokenSet(
        NAME,
        split,
        tokens,
        np.asarray(classes, np.int32)[which],
        "synthetic",
        f"FAKE sequences made by flowjax_ood, seed {seed}: not the data set {NAME!r}",
        ALPHABET,
    )


def tokens_of(sequence: str | bytes, what: str, length: int = LENGTH) -> np.ndarray:
    """Convert `"ACGT..."` to uint8 `[length]`; `what` names the sequence in errors."""
    if isinstance(sequence, str):
        sequence = sequence.encode()
    if len(sequence) != length:
        raise ValueError(f"{what} is {len(sequence)} letters long, not {length}")
    tokens = _TOKENS[np.frombuffer(sequence, np.uint8)]
    if tokens.max() == _UNKNOWN:
        at = int(tokens.argmax())
        raise ValueError(
            f"{what} has {chr(sequence[at])!r} as letter {at}, counted from 0; only "
            f"{', '.join(ALPHABET)} are known"
        )
    return tokens


def _check_split(split: str) -> None:
    if split not in SPLITS:
        raise unknown(f"a split of {NAME}", str(split), SPLITS)
