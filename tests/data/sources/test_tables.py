"""Tables: HEPMASS and MiniBooNE in tiny files of their format, scikit-learn's own."""

import gzip
import sys

import numpy as np
import pytest

from flowjax_ood.data.loading import load_vectors
from flowjax_ood.data.sources.tables import continuous

FEATURES, DISCRETE = 27, 12
ROWS = 30


def hepmass(seed: int, discrete: int = DISCRETE) -> np.ndarray:
    """Labels and features of which `discrete` hold their smallest value 6 times."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(ROWS, 1 + FEATURES))
    table[:, 0] = np.arange(ROWS) % 2
    at = 1 + 2 * np.arange(discrete)
    table[:6, at] = table.min() - 1
    # five times is still a continuous one
    table[:5, 2] = table.min() - 1
    return table


def write_csv(file, table, extra: bool) -> None:
    """As UCI has it: a line of names and, in the test file, one more column."""
    names = ["# label", *(f"f{i}" for i in range(table.shape[1] - 1))]
    lines = [",".join([*names, "mass"] if extra else names)]
    for row in table:
        cells = [f"{v:.17g}" for v in row]
        lines.append(",".join([*cells, "rubbish"] if extra else cells))
    file.write_text("\n".join(lines) + "\n")


@pytest.fixture
def published(tmp_path):
    write_csv(tmp_path / "1000_train.csv", hepmass(0), extra=False)
    write_csv(tmp_path / "1000_test.csv", hepmass(1), extra=True)
    return tmp_path


def load(spec, path, source="uci", **more):
    return load_vectors(spec, source=source, path=path, **more)


def kept_columns() -> np.ndarray:
    dropped = 1 + 2 * np.arange(DISCRETE)
    return np.setdiff1d(np.arange(1, 1 + FEATURES), dropped)


@pytest.mark.parametrize("c", [0, 1])
@pytest.mark.parametrize(("split", "seed"), [("train", 0), ("test", 1)])
def test_hepmass_is_one_class_of_its_continuous_features(published, c, split, seed):
    found = load(f"hepmass{c}:{split}", published)
    table = hepmass(seed)
    expected = table[table[:, 0] == c][:, kept_columns()]
    assert found.dims == 15
    np.testing.assert_array_equal(found.vectors, expected.astype(np.float32))
    np.testing.assert_array_equal(found.labels, c)
    assert "15 continuous features" in found.origin


def test_hepmass_counts_both_classes_of_the_training_file_together():
    # four times in either class: eight together
    column = np.r_[np.zeros(8), np.arange(1.0, 23)]
    table = np.stack([column, np.arange(30.0)], axis=1)
    np.testing.assert_array_equal(continuous(table), [1])
    np.testing.assert_array_equal(continuous(table[::2]), [0, 1])


def test_hepmass_reads_what_is_compressed(published):
    for part in ("train", "test"):
        file = published / f"1000_{part}.csv"
        packed = gzip.compress(file.read_bytes())
        (published / f"1000_{part}.csv.gz").write_bytes(packed)
    expected = load("hepmass1:all", published).vectors
    for part in ("train", "test"):
        (published / f"1000_{part}.csv").unlink()
    np.testing.assert_array_equal(load("hepmass1:all", published).vectors, expected)
    assert len(expected) == ROWS


def test_another_number_of_features_is_not_the_published_file(published):
    write_csv(published / "1000_train.csv", hepmass(0, DISCRETE - 1), extra=False)
    with pytest.raises(ValueError, match=r"16 features remain .* leaves 15"):
        load("hepmass0:train", published)


def test_a_test_file_of_other_columns_is_refused(published):
    write_csv(published / "1000_test.csv", hepmass(1)[:, :-1], extra=False)
    with pytest.raises(
        ValueError, match=r"1000_test\.csv: .* has 27 columns, the training"
    ):
        load("hepmass0:test", published)


@pytest.mark.parametrize("broken", ["words", "short row"])
def test_rows_that_are_no_numbers_are_refused(published, broken):
    file = published / "1000_train.csv"
    lines = file.read_text().splitlines()
    lines[3] = "a,b" if broken == "words" else "1,2"
    file.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"1000_train\.csv: not the published file"):
        load("hepmass0:train", published)


NAMES = b"# label" + b",f" * FEATURES + b"\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        NAMES,
        NAMES + b"\xff\xfe\n",
        b"\x80 is no letter" + NAMES,
        gzip.compress(NAMES * 99)[:-9],
        gzip.compress(b"")[:10] + b"\xff" * 30,
        b"no gzip at all",
    ],
    ids=range(7),
)
@pytest.mark.parametrize("name", ["1000_train.csv", "1000_train.csv.gz"])
def test_whatever_a_file_holds_the_error_names_it(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    (tmp_path / "1000_test.csv").write_bytes(b"")
    with pytest.raises(ValueError, match=rf"{name}: not the published file \(.*\w"):
        load("hepmass0:train", tmp_path)


SIGNAL, BACKGROUND = 20, 35


def miniboone() -> np.ndarray:
    table = np.random.default_rng(2).normal(size=(SIGNAL + BACKGROUND, 50))
    table[3, :] = -999  # not measured: stays
    return table


@pytest.fixture
def particles(tmp_path):
    rows = [" ".join(f"{v:.9e}" for v in row) for row in miniboone()]
    lines = [f"   {SIGNAL} {BACKGROUND}", *rows]
    (tmp_path / "MiniBooNE_PID.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.mark.parametrize(("c", "start"), [(1, 0), (0, SIGNAL)])
def test_miniboone_takes_as_many_of_each_class(particles, c, start):
    whole = load(f"miniboone{c}:all", particles)
    expected = miniboone()[start : start + SIGNAL].astype(np.float32)
    np.testing.assert_allclose(whole.vectors, expected, rtol=1e-6)
    parts = [load(f"miniboone{c}:{s}", particles) for s in ("train", "test")]
    assert [len(p) for p in parts] == [18, 2]
    both = np.concatenate([p.vectors for p in parts])
    # every row once
    order = np.lexsort(both.T), np.lexsort(whole.vectors.T)
    np.testing.assert_array_equal(both[order[0]], whole.vectors[order[1]])
    np.testing.assert_array_equal(whole.labels, c)
    assert ((whole.vectors == -999).all(1).sum()) == (c == 1)


@pytest.mark.parametrize("broken", ["a row less", "a column less", "words"])
def test_another_miniboone_is_refused(particles, broken):
    file = particles / "MiniBooNE_PID.txt"
    lines = file.read_text().splitlines()
    if broken == "a row less":
        lines.pop()
    elif broken == "a column less":
        lines[1:] = [line.rpartition(" ")[0] for line in lines[1:]]
    else:
        lines[0] = "signal background"
    file.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"MiniBooNE_PID\.txt: .*published file"):
        load("miniboone1:train", particles)


@pytest.mark.parametrize(
    ("name", "file", "number"),
    [("hepmass0", "1000_train.csv", 347), ("miniboone1", "MiniBooNE_PID.txt", 199)],
)
def test_a_missing_file_says_what_to_download(tmp_path, name, file, number):
    with pytest.raises(FileNotFoundError) as caught:
        load(f"{name}:train", tmp_path)
    said = str(caught.value)
    assert f"no {file} in {str(tmp_path)!r}" in said
    assert f"archive.ics.uci.edu/dataset/{number}" in said
    assert f"put {file} there" in said


@pytest.mark.parametrize(
    ("spec", "path", "said"),
    [
        ("hepmass2:train", "x", "did you mean 'hepmass0'|there is: hepmass0"),
        ("hepmass_not0:train", "x", "is not a class of a table of UCI"),
        ("hepmass0:validation", "x", "there is: all, test, train"),
        ("hepmass0:train", None, "source 'uci' needs path="),
    ],
)
def test_other_names_are_refused(spec, path, said):
    with pytest.raises(ValueError, match=said):
        load(spec, path)


# ---- scikit-learn's tables


@pytest.mark.parametrize(
    ("name", "count", "dims"),
    [
        ("breast_cancer0", 212, 30),
        ("breast_cancer1", 357, 30),
        ("wine2", 48, 13),
        ("digits3", 183, 64),
    ],
)
def test_splits_of_a_class_hold_every_row_once(name, count, dims):
    sets = {
        s: load(f"{name}:{s}", None, source="sklearn", seed=4)
        for s in ("train", "test", "all")
    }
    assert len(sets["all"]) == count
    assert len(sets["test"]) == round(0.2 * count)
    both = np.concatenate([sets["train"].vectors, sets["test"].vectors])
    assert both.shape == (count, dims)
    order = np.lexsort(both.T), np.lexsort(sets["all"].vectors.T)
    np.testing.assert_array_equal(both[order[0]], sets["all"].vectors[order[1]])
    assert set(sets["all"].labels) == {int(name[-1])}


def test_splits_follow_the_seed():
    def test_rows(seed):
        return load("wine0:test", None, source="sklearn", seed=seed).vectors

    np.testing.assert_array_equal(test_rows(1), test_rows(1))
    assert (test_rows(1) != test_rows(2)).any()


def test_all_classes_but_one():
    others = load("digits_not3:all", None, source="sklearn")
    assert set(others.labels) == set(range(10)) - {3}
    assert len(others) == 1797 - 183
    # no training row of a class is in its test part, for any set of classes
    own = load("digits3:test", None, source="sklearn")
    assert 3 in own.labels


def test_digits_are_dequantised():
    found = load("digits0:all", None, source="sklearn").vectors
    assert (found != np.floor(found)).any(1).all()
    assert (found.std(0) > 0.2).all()
    assert found.min() >= 0
    assert found.max() < 17


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("wine3:train", "did you mean 'wine"),
        ("covtype1:train", "is not a class of a table of scikit-learn"),
        ("wine:train", "there is: breast_cancer0"),
        ("wine0:validation", "is not a split of sklearn 'wine0'"),
    ],
)
def test_other_tables_are_refused(spec, said):
    with pytest.raises(ValueError, match=said):
        load(spec, None, source="sklearn")


def test_sklearn_reads_no_path():
    with pytest.raises(ValueError, match="reads no path, got path='x'"):
        load("wine0:train", "x", source="sklearn")


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=r"pip install scikit-learn.*extra `tables`"):
        load("wine0:train", None, source="sklearn")


# ---- fake vectors, and the door


def test_fake_vectors_say_so_and_are_the_same_again():
    few = load_vectors("hepmass0:train", source="synthetic", limit=10)
    assert few.vectors.shape == (10, 15)
    assert few.origin.startswith("FAKE")
    again = load_vectors("hepmass0:train", source="synthetic", limit=10)
    np.testing.assert_array_equal(again.vectors, few.vectors)
    test = load_vectors("hepmass0:test", source="synthetic", limit=10)
    assert (test.vectors != few.vectors).any()


def test_splits_of_a_fake_set_are_of_one_distribution_and_other_sets_are_not():
    sets = [
        load_vectors(spec, source="synthetic", limit=4000).vectors
        for spec in ("synthetic:train", "synthetic:test", "synthetic_ood:test")
    ]
    train, test, other = (s.mean(0) for s in sets)
    assert np.abs(train - test).max() < 0.15
    assert np.abs(train - other).max() > 0.5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"source": "disk"}, "'disk' is not a source of vectors"),
        ({"source": "synthetic", "limit": 0}, "limit must be at least 1"),
    ],
)
def test_the_door_refuses(arguments, said):
    with pytest.raises(ValueError, match=said):
        load_vectors("synthetic:train", **arguments)
