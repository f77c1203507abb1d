"""The sets of an experiment: loaded, checked against each other, or refused."""

import logging
import re

import numpy as np
import pytest
from PIL import Image

from experiments.core.config import load_config
from experiments.core.set_names import ood_names, ood_origins
from experiments.core.sets import load_sets
from flowjax_ood.data.sets import VectorSet
from flowjax_ood.data.sources.embeddings import write_embeddings
from flowjax_ood.interface.errors import UserError
from tests.helpers.experiment_runs import CONFIGS

DEMO = f"{CONFIGS / 'demo.py'}:smoke"
RGB = f"{CONFIGS / 'cifar10_realnvp.py'}:smoke"


def load(*overrides, config=DEMO):
    return load_config(config, overrides)


@pytest.fixture(scope="module")
def sets():
    return load_sets(load())


def sets_error(*overrides, config=DEMO) -> str:
    with pytest.raises(UserError) as caught:
        load_sets(load(*overrides, config=config))
    return str(caught.value)


def test_sets_are_those_of_the_config(sets):
    assert (sets.train.split, len(sets.train)) == ("train", 256)
    assert (sets.test.name, sets.test.split, len(sets.test)) == (
        "fashion_mnist",
        "test",
        64,
    )
    assert list(sets.ood) == ["mnist"]
    assert sets.ood["mnist"].images.shape == (64, 28, 28, 1)
    assert {s.source for s in (sets.train, sets.test, *sets.ood.values())} == {
        "embedded"
    }


def test_no_limit_takes_all():
    sets = load_sets(load("data.limit_train=0", "data.limit_test=0"))
    assert (len(sets.train), len(sets.test)) == (10_000, 2_000)


@pytest.mark.parametrize(
    ("test", "ood", "names"),
    [
        ("a:test", ("b:test", "c:test"), ["b", "c"]),
        ("a:test", ("b",), ["b"]),
        # one set in two splits
        ("a:test", ("b:train", "b:test", "c:test"), ["b:train", "b:test", "c"]),
        ("a:test", ("b:train", "b"), ["b:train", "b:test"]),
        # another split of the ID set must not take its place
        ("a:test", ("a:train", "b:test"), ["a:train", "b"]),
        ("a", ("a:train",), ["a:train"]),
        # names of roles in results.json
        ("a:test", ("train:test", "test:x"), ["train:test", "test:x"]),
        ("a:test", ("validation:v", "negative:n"), ["validation:v", "negative:n"]),
    ],
)
def test_ood_sets_are_reported_under_different_names(test, ood, names):
    assert ood_names(test, ood) == names


@pytest.mark.parametrize(
    ("ood", "said"),
    [
        ((), "names no set; give at least one, such as --config.data.ood=mnist:test"),
        (("mnist", "mnist:test"), "holds 'mnist' more than once"),
        (("mnist", "fashion_mnist"), "holds the test set itself, 'fashion_mnist'"),
        (("mnist:",), "'mnist:'"),
    ],
)
def test_ood_sets_that_say_nothing_are_refused(ood, said):
    assert said in sets_error(f"data.ood={ood!r}")


def test_another_split_of_the_id_set_is_an_ood_set():
    sets = load_sets(load("data.ood=fashion_mnist:train,mnist:test"))
    assert list(sets.ood) == ["fashion_mnist:train", "mnist"]
    assert (sets.ood["fashion_mnist:train"].images[:9] == sets.train.images[:9]).all()


def test_grey_against_rgb_is_refused():
    message = sets_error("data.source=synthetic", "data.ood=cifar10:test")
    assert "cifar10:test has images of shape (32, 32, 3)" in message
    assert "(28, 28, 1)" in message
    assert "config.data.channels" in message


def test_channels_make_grey_and_rgb_comparable():
    overrides = ("data.source=synthetic", "data.ood=cifar10:test", "data.image_size=28")
    grey = load_sets(load(*overrides, "data.channels=1"))
    assert grey.ood["cifar10"].images.shape == (64, 28, 28, 1)
    assert "made grey" in grey.ood["cifar10"].origin
    assert "made grey" not in grey.train.origin
    message = sets_error("data.channels=2")
    assert "channels must be 1 (grey), 3 (RGB) or None, not 2" in message


@pytest.fixture
def letters(tmp_path):
    """A folder of images, as notMNIST_small."""
    for letter in "AB":
        (tmp_path / letter).mkdir()
        for index in range(40):
            pixels = np.full((28, 28), 6 * index, np.uint8)
            Image.fromarray(pixels).save(tmp_path / letter / f"{index}.png")
    return tmp_path


def test_an_ood_set_from_another_source(letters):
    sets = load_sets(
        load(
            "data.ood=mnist:test,notmnist",
            "data.ood_source=-,folder",
            f"data.ood_path=-,{letters}",
        )
    )
    described = {name: s.describe() for name, s in sets.ood.items()}
    assert [d["source"] for d in described.values()] == ["embedded", "folder"]
    assert str(letters) in described["notmnist"]["origin"]
    assert described["notmnist"]["count"] == 64


def test_one_archive_does_not_serve_two_names(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    path = tmp_path / "one.npz"
    np.savez(path, train=images[:20], test=images[20:])
    npz = ("data.source=npz", f"data.path={path}", "data.image_size=8")
    limits = ("data.limit_train=0", "data.limit_test=0")
    message = sets_error(*npz, *limits)
    assert "mnist:test is the same as fashion_mnist:test (key 'test' of" in message
    sets = load_sets(load(*npz, *limits, "data.ood=fashion_mnist:train"))
    # another split of one set is asked for by name
    assert [len(found) for found in sets.ood.values()] == [20]


PLACES = [
    # none given: as for training
    ((), (), [("idx", "/train"), ("idx", "/train")]),
    (("-",), ("-", "-"), [("idx", "/train"), ("idx", "/train")]),
    # one for all; another source has no path of its own
    (("embedded",), (), [("embedded", ""), ("embedded", "")]),
    ((), ("/ood",), [("idx", "/ood"), ("idx", "/ood")]),
    (("npz",), ("/ood",), [("npz", "/ood"), ("npz", "/ood")]),
    # one a set
    (("-", "folder"), ("-", "/ood"), [("idx", "/train"), ("folder", "/ood")]),
    (("tfds", "folder"), ("-", "/ood"), [("tfds", ""), ("folder", "/ood")]),
    (("idx", "npz"), (), [("idx", "/train"), ("npz", "")]),
]


@pytest.mark.parametrize(("sources", "paths", "places"), PLACES)
def test_where_ood_sets_come_from(sources, paths, places):
    config = load(
        "data.source=idx",
        "data.path=/train",
        "data.ood=a,b",
        f"data.ood_source={sources!r}",
        f"data.ood_path={paths!r}",
    )
    assert ood_origins(config.data) == places


@pytest.mark.parametrize("key", ["ood_source", "ood_path"])
def test_entries_that_do_not_go_with_the_ood_sets(key):
    message = sets_error("data.ood=mnist:test,mnist:train,a", f"data.{key}=x,y")
    assert message == (
        f"config.data.{key} has 2 entries (x, y) for 3 OOD sets (mnist:test, "
        "mnist:train, a); give one entry for all, or one a set, with '-' where it is "
        "as for training"
    )


def test_sizes_that_differ_are_mended_by_image_size():
    overrides = ("data.source=synthetic", "data.ood=cifar10:test", "data.image_size=16")
    assert "(16, 16, 3)" in sets_error(*overrides)
    same = load_sets(load("data.ood=svhn:test", "data.image_size=16", config=RGB))
    assert same.train.images.shape[1:] == same.ood["svhn"].images.shape[1:]
    assert same.train.images.shape[1:] == (16, 16, 3)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("data.source=idx", "data.path=/no/such"), "no directory '/no/such'"),
        (("data.source=npz", "data.path=/no/such"), "no file or directory"),
        (("data.source=npz",), "needs path="),
        (("data.path=/somewhere",), "'embedded' reads no path"),
        (("data.source=disk",), "'disk' is not a data source"),
        (("data.ood_source=disk",), "'disk' is not a data source"),
        (("data.ood_source=folder",), "source 'folder' needs path="),
        (("data.ood_path=/x",), "'embedded' reads no path"),
        (("data.train=fashion_mist:train",), "did you mean 'fashion_mnist'?"),
        (("data.ood=kmnist:test",), "other sets come from source 'idx'"),
        (("data.limit_test=5000",), "the first 5000 cannot be taken"),
        (("data.limit_train=-1",), "config.data.limit_train must be at least 0"),
    ],
)
def test_data_that_is_not_there_is_an_error_with_the_remedy(overrides, said):
    assert said in sets_error(*overrides)


def test_an_ood_set_too_far_out_is_refused_before_training(tmp_path):
    near = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    near[:, 1] *= 1e-40
    sets = {spec: near + 0 for spec in ("a:train", "a:test", "b:test")}
    sets["a:test"] += near.std(0)
    sets["b:test"][7, 1] = 1.0
    made = {
        spec: VectorSet(*spec.split(":"), vectors, None, "embeddings", "made here")
        for spec, vectors in sets.items()
    }
    write_embeddings(tmp_path / "e.npz", made, {"encoder": "some"})
    vectors = f"{CONFIGS / 'fashion_mnist_embeddings.py'}:smoke"
    names = ("data.train=a:train", "data.test=a:test", "data.ood=b:test")
    where = ("data.source=embeddings", f"data.path={tmp_path / 'e.npz'}", "data.pca=0")
    limits = ("data.limit_train=0", "data.limit_test=0")
    with pytest.raises(UserError, match=r"^b:test: feature 1 lies .* too far for"):
        load_sets(load_config(vectors, [*names, *where, *limits]))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow_datasets")
def test_a_set_not_prepared_for_tfds_says_how_to_prepare_it(tmp_path):
    logging.getLogger("absl").setLevel(logging.ERROR)
    message = sets_error("data.source=tfds", f"data.path={tmp_path}")
    assert "tfds 'fashion_mnist' is not prepared" in message
    assert "`tfds build fashion_mnist" in message
    assert f"--data_dir={tmp_path}" in message


@pytest.fixture(scope="module")
def sixteen_bits(tmp_path_factory):
    """An archive of 16-bit images, which serves every name."""
    file = tmp_path_factory.mktemp("data") / "deep.npz"
    pixels = np.random.default_rng(0).integers(0, 2**12, (64, 28, 28), np.uint16)
    np.savez(file, train=pixels, test=pixels[::-1])
    return f"data.path={file}"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("data.bins=32",), r"has the value 255, and config.data.bins=32 .*0 to 31; "),
        (("data.bins=1024",), r"uint8 images, and config.data.bins is 1024 values"),
        (("data.bins=100",), r"must be a power of two, got 100; set it to 128"),
        (("data.bins=131072",), r"config.data.bins must be at most 65536"),
        (("data.bins=1",), r"config.data.bins must be at least 2"),
        (("data.bins=32", "data.streaming=True"), r"set config.data.streaming=False"),
    ],
)
def test_images_of_another_depth_are_refused(overrides, said):
    assert re.search(said, sets_error(*overrides))


def test_sixteen_bit_images_need_their_bins(sixteen_bits):
    own = (sixteen_bits, "data.source=npz", "data.limit_train=64")
    assert "uint16 images, and config.data.bins is 256" in sets_error(*own)
    said = sets_error(*own, "data.bins=1024")
    assert re.search(r"has the value \d+, and config.data.bins=1024", said)
    classifiers = f"{CONFIGS / 'fashion_mnist_detect.py'}:smoke"
    said = sets_error(*own, config=classifiers)
    assert "classifiers take no more: (x >> 8).astype(np.uint8)" in said
