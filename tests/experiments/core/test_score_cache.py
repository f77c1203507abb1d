"""Scores kept in files: found again by their key, and only by it."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.core import score_cache
from experiments.core.score_cache import Scored

SCORED = Scored(
    scores={"clothing": np.array([0.5, -np.inf]), "digits": np.float32([1, 2, 3])},
    needs=["gradients"],
    chosen={"magnitude": 0.01, "weights": {"conv1": 1.5}},
    fit_seconds=0.25,
    ms_per_image=1.5,
)
SIZES = {"clothing": 2, "digits": 3}


def same(found: Scored) -> bool:
    for name, scores in SCORED.scores.items():
        np.testing.assert_array_equal(found.scores[name], scores)
        assert found.scores[name].dtype == scores.dtype
    assert list(found.scores) == list(SCORED.scores)
    facts = ("needs", "chosen", "fit_seconds", "ms_per_image")
    return all(getattr(found, k) == getattr(SCORED, k) for k in facts)


def never():
    raise AssertionError("computed again")


def test_scores_come_back_as_they_were(tmp_path):
    score_cache.kept(tmp_path / "a", "FSSD (x)", "key", SIZES, lambda: SCORED)
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["fssd_x.npz"]
    assert same(score_cache.kept(tmp_path / "a", "FSSD (x)", "key", SIZES, never))


@pytest.mark.parametrize("damage", ["other key", "cut short", "no archive", "gone"])
def test_what_does_not_fit_is_computed_anew(tmp_path, damage):
    score_cache.kept(tmp_path, "x", "key", SIZES, lambda: SCORED)
    file, key = tmp_path / "x.npz", "key"
    if damage == "other key":
        key = "another"
    elif damage == "cut short":
        file.write_bytes(file.read_bytes()[:-40])
    elif damage == "no archive":
        file.write_text("scores")
    else:
        file.unlink()
    with pytest.raises(AssertionError, match="computed again"):
        score_cache.kept(tmp_path, "x", key, SIZES, never)
    assert same(score_cache.kept(tmp_path, "x", key, SIZES, lambda: SCORED))
    assert same(score_cache.kept(tmp_path, "x", key, SIZES, never))


def of_scores(**changes):
    return replace(SCORED, scores=SCORED.scores | changes)


@pytest.mark.parametrize(
    "wrong",
    [
        of_scores(digits=np.float32([1, np.nan, 3])),
        of_scores(digits=np.float32([1, 2])),
        of_scores(digits=np.float32([[1, 2, 3]])),
        of_scores(digits=np.array([1, 2, 3])),
        of_scores(letters=np.float32([1, 2, 3])),
        replace(SCORED, scores={"digits": SCORED.scores["digits"]}),
        replace(SCORED, scores=dict(reversed(SCORED.scores.items()))),
        replace(SCORED, fit_seconds="long"),
        replace(SCORED, ms_per_image=float("nan")),
    ],
    ids=[
        *("NaN", "too few", "a table", "whole numbers", "another set", "a set less"),
        *("another order", "text", "no time"),
    ],
)
def test_scores_that_no_table_can_be_made_of_are_computed_anew(tmp_path, wrong):
    score_cache.kept(tmp_path, "x", "key", SIZES, lambda: wrong)
    assert same(score_cache.kept(tmp_path, "x", "key", SIZES, lambda: SCORED))
    assert same(score_cache.kept(tmp_path, "x", "key", SIZES, never))


def test_a_digest_tells_values_shapes_dtypes_and_settings_apart():
    a = np.arange(6, dtype=np.float32)
    ways = [
        (a, "FSSD()"),
        (a.reshape(2, 3), "FSSD()"),
        (a.astype(np.int32), "FSSD()"),
        (a.view(np.int32), "FSSD()"),
        (a + 1, "FSSD()"),
        (a, "FSSD(seed=1)"),
        (a, 1),
        (a, True),
        ({"w": a, "b": a[:1]}, "FSSD()"),
        ({"w": a, "c": a[:1]}, "FSSD()"),
    ]
    assert len({score_cache.digest(*way) for way in ways}) == len(ways)
    assert score_cache.digest(a, "x") == score_cache.digest(a.copy(), "x")
    # not of memory's order
    square = np.arange(9.0).reshape(3, 3)
    assert score_cache.digest(square.T) == score_cache.digest(square.T.copy())
    assert score_cache.digest(square.T) != score_cache.digest(square)
