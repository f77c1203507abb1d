"""Embeddings from archives, in every layout there is."""

import json

import numpy as np
import pytest

from flowjax_ood.data.loading import load_vectors

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(6, 4)).astype(np.float32)
LABELS = np.arange(6, dtype=np.int32)


def load(spec, path):
    return load_vectors(spec, source="embeddings", path=path)


def archive(tmp_path, name="e.npz", **arrays):
    np.savez(tmp_path / name, **arrays)
    return tmp_path / name


@pytest.mark.parametrize(
    ("file", "vectors", "labels", "directory"),
    [
        ("e.npz", "a:test/embeddings", "a:test/labels", False),
        ("e.npz", "a_test", "a_test_labels", False),
        ("e.npz", "test_embeddings", "test_labels", False),
        ("e.npz", "test", "test_labels", False),
        ("a.npz", "test", "test_labels", True),
        # the layout of the paper's code
        ("a_features_test.npz", "embeddings", "labels", True),
        ("a_features_test.npz", "embeddings", "labels", False),
    ],
)
def test_every_layout_is_read(tmp_path, file, vectors, labels, directory):
    path = archive(tmp_path, file, **{vectors: VECTORS, labels: LABELS})
    found = load("a:test", tmp_path if directory else path)
    np.testing.assert_array_equal(found.vectors, VECTORS)
    np.testing.assert_array_equal(found.labels, LABELS)
    assert repr(vectors) in found.origin
    assert file in found.origin


def test_labels_are_optional_and_floats_become_float32(tmp_path):
    path = archive(tmp_path, test=VECTORS.astype(np.float64))
    found = load("a:test", path)
    assert found.labels is None
    assert found.vectors.dtype == np.float32
    np.testing.assert_array_equal(found.vectors, VECTORS)


def test_the_encoder_is_told(tmp_path):
    meta = np.array(json.dumps({"encoder": "efficientnet_lite0", "size": 224}))
    path = archive(tmp_path, **{"a:test/embeddings": VECTORS, "meta": meta})
    assert load("a:test", path).origin.endswith("; encoder efficientnet_lite0")
    broken = archive(tmp_path, "b.npz", test=VECTORS, meta=np.array("{"))
    with pytest.raises(ValueError, match=r"\['meta'\]: not JSON"):
        load("a:test", broken)


def test_a_set_that_is_not_there_is_named_with_those_that_are(tmp_path):
    path = archive(
        tmp_path,
        **{"fashion_mnist:test/embeddings": VECTORS, "meta": np.array("{}")},
    )
    with pytest.raises(ValueError) as caught:
        load("fashion_mnist:train", path)
    said = str(caught.value)
    assert "'fashion_mnist:train' is not a set in" in said
    assert "there is: fashion_mnist:test;" in said


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (b"text", ValueError, "not an .npz archive"),
        ({"test": VECTORS.astype(np.int32)}, TypeError, "floating-point, not int32"),
        ({"test": np.array([None])}, ValueError, "Object arrays cannot be loaded"),
        ({"test": VECTORS, "test_labels": VECTORS}, TypeError, "must be integers"),
        ({"test": np.full((2, 2), 1e300)}, ValueError, "NaN or infinity"),
        ({"test": VECTORS[0]}, ValueError, r"must be \[N, D\]"),
    ],
)
def test_other_contents_are_refused(tmp_path, content, error, said):
    path = tmp_path / "e.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.savez(path, **content)
    with pytest.raises(error, match=said):
        load("a:test", path)


def test_one_array_is_not_an_archive(tmp_path):
    np.save(tmp_path / "e.npy", VECTORS)
    with pytest.raises(ValueError, match="holds one array"):
        load("a:test", tmp_path / "e.npy")


def test_what_is_not_there_says_how_to_make_it(tmp_path):
    with pytest.raises(ValueError, match=r"needs path=.*experiments embed"):
        load("a:test", None)
    with pytest.raises(FileNotFoundError, match=r"no file or directory.*embed"):
        load("a:test", tmp_path / "none.npz")
    archive(tmp_path, "a_features_train.npz", embeddings=VECTORS)
    with pytest.raises(ValueError, match="there is: a_features_train"):
        load("a:test", tmp_path)
