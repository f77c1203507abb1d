"""DNA: letters to tokens, a prepared TFDS set without TensorFlow, and its fake twin."""

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from tensorflow_datasets.proto import tf_example_pb2

from flowjax_ood.data.sets import TokenSet
from flowjax_ood.data.sources.genomics import (
    SPLITS,
    load_genomics,
    synthetic_genomics,
    tokens_of,
)

LETTERS = np.array(list("ACGT"))


@pytest.fixture(autouse=True)
def _without_tensorflow():
    logging.getLogger("absl").setLevel(logging.ERROR)
    yield
    assert "tensorflow" not in sys.modules


def sequences(labels, seed=0):
    """Random examples, as TFDS yields them, with these labels."""
    tokens = np.random.default_rng(seed).integers(0, 4, (len(labels), 250))
    return tokens, [
        {"seq": "".join(row).encode(), "label": label, "domain": b"in", "seq_info": b""}
        for row, label in zip(LETTERS[tokens], labels)
    ]


@pytest.fixture
def mock(tmp_path):
    """`mock(examples)` lets every split hold these examples."""
    stack = []

    def start(examples):
        patch = tfds.testing.mock_data(
            as_data_source_fn=lambda builder, **_: examples, data_dir=str(tmp_path)
        )
        patch.__enter__()
        stack.append(patch)
        return lambda split, **kwargs: load_genomics(split, tmp_path, **kwargs)

    yield start
    for patch in stack:
        patch.__exit__(None, None, None)


def test_letters_become_tokens():
    np.testing.assert_array_equal(tokens_of("ACGTTA", "x", 6), [0, 1, 2, 3, 3, 0])
    np.testing.assert_array_equal(tokens_of(b"GG", "x", 2), [2, 2])
    with pytest.raises(ValueError, match="a sequence is 3 letters long, not 250"):
        tokens_of("ACG", "a sequence")
    for letter in "Na":
        with pytest.raises(
            ValueError, match=f"s 3 has '{letter}' as letter 2.*A, C, G"
        ):
            tokens_of(f"AC{letter}T", "s 3", 4)


def test_all_sequences_in_stored_order(mock):
    tokens, examples = sequences([3, 1, 4, 1, 5])
    found = mock(examples)("test")
    np.testing.assert_array_equal(found.tokens, tokens)
    assert found.tokens.dtype == np.uint8
    assert found.labels.tolist() == [3, 1, 4, 1, 5]
    assert (found.name, found.split, found.source) == ("genomics_ood", "test", "tfds")
    assert "genomics_ood/0.0.1, split test" in found.origin
    assert found.text(2).encode() == examples[2]["seq"]


def test_a_limit_takes_a_random_sample_of_a_sorted_set(mock):
    labels = np.repeat(np.arange(10), 20)
    tokens, examples = sequences(labels)
    load = mock(examples)
    found = load("train", limit=100)
    rows = np.random.RandomState(42).permutation(200)[:100]
    np.testing.assert_array_equal(found.tokens, tokens[rows])
    np.testing.assert_array_equal(found.labels, labels[rows])
    assert set(found.labels) == set(range(10))
    assert "100 of 200 sequences, at random, seed 42" in found.origin
    np.testing.assert_array_equal(load("train", limit=7).tokens, tokens[rows[:7]])


@pytest.mark.parametrize("split", SPLITS)
def test_labels_are_those_of_the_split(mock, split):
    known = SPLITS[split]
    _, examples = sequences([known.start, known.stop - 1])
    load = mock(examples)
    assert load(split).labels.tolist() == [known.start, known.stop - 1]
    for wrong in (known.stop, known.start - 1):
        examples[1]["label"] = wrong
        with pytest.raises(
            ValueError, match=rf":{split}: sequence 1 has.* {wrong}, but"
        ):
            load(split)


def test_labels_are_those_of_tfds():
    from tensorflow_datasets.structured import genomics_ood

    names = genomics_ood._LABELS_ALL
    assert len(names) == 130
    for split, mine in {
        "train": genomics_ood._LABELS_IN,
        "validation_ood": genomics_ood._LABELS_OOD_VAL,
        "test_ood": genomics_ood._LABELS_OOD_TEST,
    }.items():
        assert [names[label] for label in SPLITS[split]] == mine


def test_a_broken_sequence_is_named(mock):
    _, examples = sequences([0] * 4)
    load = mock(examples)
    examples[2]["seq"] = examples[2]["seq"][:-1]
    with pytest.raises(ValueError, match="tfds genomics_ood:test: sequence 2 is 249"):
        load("test")
    examples[2]["seq"] += b"N"
    with pytest.raises(ValueError, match="sequence 2 has 'N' as letter 249"):
        load("test")


def test_limits_and_splits_that_are_not_there(mock):
    load = mock(sequences([0, 1])[1])
    for limit in (3, 0):
        with pytest.raises(ValueError, match=f"holds 2 sequences, so {limit} cannot"):
            load("test", limit=limit)
    with pytest.raises(ValueError, match=r"'test_odd'.*did you mean 'test_ood'"):
        load("test_odd")


def test_not_prepared_names_a_command_that_finds_the_set(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing is downloaded") as error:
        load_genomics("test", tmp_path)
    command = (
        "`tfds build genomics_ood --file_format=array_record "
        f"--imports=tensorflow_datasets.structured.genomics_ood --data_dir={tmp_path}`"
    )
    assert command in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_reads_prepared_data(tmp_path):
    tokens, examples = sequences([2, 9, 0])
    builder = tfds.builder(
        "genomics_ood", data_dir=str(tmp_path), file_format="array_record"
    )
    file = Path(builder.data_dir) / "genomics_ood-test.array_record-00000-of-00001"
    file.parent.mkdir(parents=True)
    writer = ArrayRecordWriter(str(file), "group_size:1")
    for example in examples:
        stored = tf_example_pb2.Example()
        for key, value in example.items():
            feature = stored.features.feature[key]
            if key == "label":
                feature.int64_list.value.append(value)
            else:
                feature.bytes_list.value.append(value)
        writer.write(stored.SerializeToString())
    writer.close()
    template = tfds.core.ShardedFileTemplate(
        data_dir=builder.data_path,
        dataset_name="genomics_ood",
        split="test",
        filetype_suffix="array_record",
    )
    split = tfds.core.SplitInfo(
        name="test",
        shard_lengths=[len(examples)],
        num_bytes=file.stat().st_size,
        filename_template=template,
    )
    builder.info.set_splits(tfds.core.SplitDict([split]))
    builder.info.write_to_directory(builder.data_dir)

    found = load_genomics("test", tmp_path)
    np.testing.assert_array_equal(found.tokens, tokens)
    assert found.labels.tolist() == [2, 9, 0]
    with pytest.raises(ValueError, match=r"'train' is not a split.*there is: test"):
        load_genomics("train", tmp_path)


# --- the fake twin ------------------------------------------------------------------


def transitions(tokens):
    """Shares of each pair of neighbouring letters, `[16]`."""
    pairs = 4 * tokens[:, :-1].astype(int) + tokens[:, 1:]
    return np.stack([np.bincount(row, minlength=16) for row in pairs]) / pairs.shape[1]


def test_fake_classes_can_be_told_apart_and_outliers_too():
    train = synthetic_genomics("train", 600)
    test, ood = (synthetic_genomics(split, 300) for split in ("test", "test_ood"))
    means = [transitions(train.tokens[train.labels == c]).mean(0) for c in range(10)]

    def distances(found):
        return ((transitions(found.tokens)[:, None] - np.array(means)) ** 2).sum(2)

    assert (distances(test).argmin(1) == test.labels).mean() > 0.95
    near, far = distances(test).min(1), distances(ood).min(1)
    assert (near[:, None] < far).mean() > 0.9  # AUROC
    assert set(ood.labels) <= set(SPLITS["test_ood"])


def test_fake_sequences_are_chains_of_their_class():
    found = synthetic_genomics("train", 400, length=300)
    of_one = transitions(found.tokens[found.labels == 3]).mean(0).reshape(4, 4)
    again = synthetic_genomics("test", 400, length=300)
    other = transitions(again.tokens[again.labels == 3]).mean(0).reshape(4, 4)
    chain, same = (p / p.sum(1, keepdims=True) for p in (of_one, other))
    np.testing.assert_allclose(chain, same, atol=0.05)


def test_fake_sequences_are_reproducible_and_said_to_be_fake():
    found = synthetic_genomics("validation", 50, length=40, seed=1)
    assert (found.length, len(found)) == (40, 50)
    assert found.source == "synthetic"
    assert "FAKE" in found.origin
    more = synthetic_genomics("validation", 90, length=70, seed=1)
    np.testing.assert_array_equal(found.tokens, more.tokens[:50, :40])
    np.testing.assert_array_equal(found.labels, more.labels[:50])
    for split, seed in (("validation", 2), ("test", 1)):
        other = synthetic_genomics(split, 50, length=40, seed=seed)
        assert (other.tokens != found.tokens).any()
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        synthetic_genomics("test", 0)
    with pytest.raises(ValueError, match="length must be at least 1, got -3"):
        synthetic_genomics("test", length=-3)
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        synthetic_genomics("test", seed=-1)


# --- the container ------------------------------------------------------------------


def token_set(**changes):
    values = {
        "name": "toy",
        "split": "test",
        "tokens": np.array([[0, 1, 2], [3, 3, 0]], np.uint8),
        "labels": np.array([4, 7], np.int32),
        "source": "synthetic",
        "origin": "written down",
        "alphabet": "ACGT",
    }
    return TokenSet(**(values | changes))


def test_a_token_set_describes_and_divides_itself():
    found = token_set()
    assert found.describe() == {
        "name": "toy",
        "split": "test",
        "source": "synthetic",
        "count": 2,
        "shape": [3],
        "origin": "written down",
    }
    assert found.text(1) == "TTA"
    one = found.take(1)
    assert (len(one), one.labels.tolist()) == (1, [4])
    last = found.at(np.array([False, True]))
    assert (last.text(0), last.labels.tolist()) == ("TTA", [7])
    assert token_set(labels=None).take(1).labels is None
    with pytest.raises(
        ValueError, match=r"toy:test .* holds 2 sequences, so the first 3"
    ):
        found.take(3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": np.zeros((2, 3), int)}, "tokens must be a uint8 array, not int64"),
        ({"tokens": np.zeros(3, np.uint8)}, r"must be \[N, L\].*not of shape \(3,\)"),
        ({"tokens": np.zeros((0, 3), np.uint8)}, r"none of them 0.*\(0, 3\)"),
        ({"alphabet": "ACG"}, r"sequence 1 holds the token 3.*'ACG' ends at 2"),
        ({"labels": np.zeros(2)}, "labels must be an int32 array, not float64"),
        ({"labels": np.zeros(3, np.int32)}, r"\(3,\) do not go with 2 sequences"),
        ({"origin": "two\nlines"}, "origin must be one line"),
    ],
)
def test_a_token_set_refuses_other_things(changes, message):
    with pytest.raises((TypeError, ValueError), match=f"toy:test: .*{message}"):
        token_set(**changes)
