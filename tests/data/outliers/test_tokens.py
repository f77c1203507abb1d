"""Pseudo-outliers of tokens: each kind as its name says, in equal shares, by row."""

import numpy as np
import pytest

from flowjax_ood.data.outliers.tokens import (
    BLOCK,
    KINDS,
    MUTATED,
    NOISE,
    pseudo_outlier_tokens,
)
from flowjax_ood.data.sources.genomics import synthetic_genomics

# 4 letters, and 7 tokens left over after the pieces
TOKENS = synthetic_genomics("train", 80, length=107).tokens


def only(kind, tokens=TOKENS, seed=0, size=4):
    outliers, index = pseudo_outlier_tokens(tokens, size, seed, (kind,))
    np.testing.assert_array_equal(index, 0)
    return outliers


def pieces(sequence):
    whole = len(sequence) // BLOCK * BLOCK
    return sorted(p.tobytes() for p in sequence[:whole].reshape(-1, BLOCK))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_every_kind_once_in_every_run(dtype):
    before = TOKENS.astype(dtype)
    outliers, kind = pseudo_outlier_tokens(before, 4, 3)
    assert (outliers.dtype, outliers.shape) == (dtype, before.shape)
    assert (kind.dtype, kind.shape) == (np.int32, (80,))
    runs = kind.reshape(-1, len(KINDS))
    np.testing.assert_array_equal(np.sort(runs), [range(len(KINDS))] * len(runs))
    assert len(np.unique(runs, axis=0)) > 1  # in an order of its own
    assert (outliers != before).any(axis=1).all()
    assert outliers.min() >= 0
    assert outliers.max() < 4
    np.testing.assert_array_equal(before, TOKENS)


def test_rows_are_those_of_the_whole_whatever_their_dtype():
    whole, kinds = pseudo_outlier_tokens(TOKENS, 4, 5)
    rows = [40, 3, 4, 5, 0, 41, 3]
    given = TOKENS.astype(np.int64)
    some, kind = pseudo_outlier_tokens(given, 4, 5, rows=rows)
    np.testing.assert_array_equal(some, whole[rows])
    np.testing.assert_array_equal(kind, kinds[rows])
    assert pseudo_outlier_tokens(TOKENS, 4, 5, rows=[])[0].shape == (0, 107)


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_matters_and_the_row(kind):
    assert (only(kind, seed=0) != only(kind, seed=1)).any()
    np.testing.assert_array_equal(only(kind), only(kind))
    same = only(kind, np.repeat(TOKENS[:1], 5, axis=0))
    assert len(np.unique(same, axis=0)) == 5


def test_permuted_keep_the_composition():
    for sequence, other in zip(TOKENS, only("permuted")):
        np.testing.assert_array_equal(np.bincount(sequence), np.bincount(other))
        assert pieces(sequence) != pieces(other)


def test_blocks_permuted_keep_the_pieces_and_the_end():
    found = only("blocks_permuted")
    np.testing.assert_array_equal(found[:, 100:], TOKENS[:, 100:])
    for sequence, other in zip(TOKENS, found):
        assert pieces(sequence) == pieces(other)


def test_a_share_is_mutated_into_any_other_letter():
    tokens = np.repeat(TOKENS, 20, axis=0)
    found = only("mutated", tokens)
    changed = found != tokens
    # four standard deviations of 171,200 draws
    assert changed.mean() == pytest.approx(MUTATED, abs=4 * 0.4 / 414)
    steps = (found.astype(int) - tokens) % 4
    shares = np.bincount(steps[changed], minlength=4) / changed.sum()
    np.testing.assert_allclose(shares, [0, 1 / 3, 1 / 3, 1 / 3], atol=0.015)


def test_noise_is_uniform_and_knows_nothing_of_the_sequences():
    assert set(KINDS) >= set(NOISE) == {"uniform"}
    tokens = np.repeat(TOKENS, 20, axis=0)
    shares = np.bincount(only("uniform", tokens).ravel()) / tokens.size
    np.testing.assert_allclose(shares, 0.25, atol=0.005)
    np.testing.assert_array_equal(only("uniform"), only("uniform", 3 - TOKENS))


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "blocks_permuted"])
def test_the_shortest_sequences_still_differ(kind):
    """By chance, half of all orders of two letters are the same as before."""
    tokens = np.tile([[0, 1]], (200, 1))
    assert (only(kind, tokens, size=2) != tokens).any(axis=1).all()


def test_two_pieces_still_differ():
    tokens = np.repeat([[0] * BLOCK + [1] * BLOCK], 50, axis=0)
    found = only("blocks_permuted", tokens, size=2)
    np.testing.assert_array_equal(found, 1 - tokens)


def test_what_cannot_be_done_is_said():
    def error(tokens=TOKENS, size=4, seed=0, kinds=None, kind=ValueError, **rows):
        with pytest.raises(kind) as caught:
            pseudo_outlier_tokens(tokens, size, seed, kinds, **rows)
        return str(caught.value)

    assert "did you mean 'mutated'" in error(kinds=["mutatd"])
    for kinds in ([], ["uniform", "uniform"]):
        assert "distinct and at least one" in error(kinds=kinds)
    assert "of 19 tokens cannot be cut" in error(TOKENS[:, :19])
    pseudo_outlier_tokens(TOKENS[:, :19], 4, 0, ("permuted", "mutated"))
    still = np.zeros((3, 30), int)
    for kind in ("permuted", "blocks_permuted"):
        message = error(still, kinds=(kind,))
        assert f"sequence 0, {kind}: all parts" in message
    assert "an alphabet of 1" in error(still, size=1)
    assert "from 0 to 2, not 0 to 3" in error(size=3)
    assert "seed must be at least 0, got -1" in error(seed=-1)
    assert "rows must be from 0 to 79, not 3 to 80" in error(rows=[3, 80])
    assert "a whole number, got 0.5" in error(seed=0.5)
    assert "not float64" in error(TOKENS / 4, kind=TypeError)
