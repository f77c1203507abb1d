"""Synthetic outliers made of in-distribution sequences alone, such as DNA.

Like `pseudo_outliers` of images, they stand in for out-of-distribution data wherever
none may be seen, and imitate no set that a detector is tested on. From nearest to
furthest: some letters replaced, pieces in another order, letters in another order, and
noise.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from flowjax_ood.arguments import whole_number
from flowjax_ood.data.outliers.rows import chosen_kinds, kinds_of_rows
from flowjax_ood.data.random import Streams

# tokens of a piece that is moved as a whole
BLOCK = 10
# share of the tokens that are replaced
MUTATED = 0.2
NOISE = ("uniform",)


def pseudo_outlier_tokens(
    tokens: np.ndarray,
    alphabet_size: int,
    seed: int,
    kinds: Sequence[str] | None = None,
    *,
    rows: Iterable[int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Make an outlier of each sequence, which differs from it: `(outliers, kind)`.

    Args:
        tokens: integers `[N, L]` in 0 ... `alphabet_size - 1`, in-distribution.
        alphabet_size: how many tokens there are, at least 2.
        seed: not negative.
        kinds: names from `KINDS`, all of them if None:

            * "mutated": each token with probability 0.2 another one, all others as
              likely (the background of Ren et al. 2019);
            * "blocks_permuted": pieces of 10 tokens in another order; what is left
              at the end stays;
            * "permuted": tokens in another order;
            * "uniform": all tokens as likely, whatever the sequence.
        rows: make only the outliers of these sequences (0 to N - 1); all if None. They
            equal those rows of all outliers.

    Returns:
        `[len(rows), L]` of the dtype of `tokens`, and int32 `[len(rows)]`, an index of
        `kinds`. Each run of `len(kinds)` sequences, from the first, has every kind
        once, in an order of its own. An outlier follows from (seed, row, kinds,
        tokens).

    Raises:
        ValueError: an unknown kind, sequences too short to be cut into two pieces, or a
            sequence that has no other order.
        TypeError: tokens that are not integers `[N, L]`.
    """
    tokens = np.asarray(tokens)
    _check_tokens(tokens, alphabet_size)
    kinds = chosen_kinds(kinds, KINDS)
    if "blocks_permuted" in kinds and tokens.shape[1] < 2 * BLOCK:
        raise ValueError(
            f"sequences of {tokens.shape[1]} tokens cannot be cut into pieces of "
            f"{BLOCK}; leave 'blocks_permuted' out of kinds"
        )
    seed = whole_number("seed", seed, least=0)
    rows, kind = kinds_of_rows(
        rows, len(tokens), len(kinds), seed, "pseudo-outlier tokens kinds"
    )
    outliers = np.empty((len(rows), tokens.shape[1]), tokens.dtype)
    for index, name in enumerate(kinds):
        mine = np.flatnonzero(kind == index)
        streams = Streams(seed, f"pseudo-outlier tokens {name}", rows[mine])
        for at, generator in zip(mine, streams.generators):
            row = rows[at]
            what = f"sequence {row}, {name}"
            outliers[at] = KINDS[name](tokens[row], alphabet_size, generator, what)
    return outliers, kind


def _mutated(sequence, size, generator, what):
    """Each token another one with probability `MUTATED`; at least one of them."""
    chosen = generator.random(len(sequence)) < MUTATED
    step = generator.integers(1, size, len(sequence))
    chosen[generator.integers(len(sequence))] |= not chosen.any()
    return np.where(chosen, (sequence.astype(int) + step) % size, sequence)


def _blocks_permuted(sequence, size, generator, what):
    """The pieces of `BLOCK` tokens in a random order."""
    whole = len(sequence) // BLOCK * BLOCK
    blocks = _another_order(sequence[:whole].reshape(-1, BLOCK), generator, what)
    return np.concatenate([blocks.ravel(), sequence[whole:]])


def _permuted(sequence, size, generator, what):
    """The tokens in a random order."""
    return _another_order(sequence, generator, what)


def _uniform(sequence, size, generator, what):
    """Each token as likely, independent of all others."""
    while True:
        drawn = generator.integers(size, size=len(sequence))
        if (drawn != sequence).any():
            return drawn


def _another_order(parts, generator, what):
    """`parts` shuffled: all orders that change something are as likely."""
    if (parts == parts[0]).all():
        raise ValueError(
            f"{what}: all parts of this sequence are the same, so no order changes it; "
            "leave the sequence out, or this kind"
        )
    while True:
        drawn = generator.permutation(parts)
        if (drawn != parts).any():
            return drawn


# name -> what is done to a sequence
KINDS: dict[str, Callable[..., np.ndarray]] = {
    "mutated": _mutated,
    "blocks_permuted": _blocks_permuted,
    "permuted": _permuted,
    "uniform": _uniform,
}


def _check_tokens(tokens: np.ndarray, size: int) -> None:
    if tokens.dtype.kind not in "iu" or tokens.ndim != 2 or not tokens.size:
        raise TypeError(
            "tokens must be integers [N, L], none of them 0, not "
            f"{tokens.dtype} of shape {tokens.shape}"
        )
    if size < 2:
        raise ValueError(f"an alphabet of {size} has no other token: at least 2")
    if not 0 <= tokens.min() <= tokens.max() < size:
        raise ValueError(
            f"tokens of an alphabet of {size} are from 0 to {size - 1}, not "
            f"{tokens.min()} to {tokens.max()}"
        )
