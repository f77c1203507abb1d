"""Which images of `scores` are for what, and which outliers are real sets."""

from types import SimpleNamespace

import numpy as np
import pytest
from ml_collections import ConfigDict

from experiments.core.keys import Kind
from experiments.scores import images as chosen
from experiments.scores.images import check_alike, split
from flowjax_ood import data
from flowjax_ood.data.sources import emoji
from flowjax_ood.interface.errors import UserError
from tests.helpers.scored_flows import images

WHOLE = images(200, seed=3)
TEST = images(100, seed=4)


def fake(train, validation=None, *, source="idx", kind=Kind.IMAGES, bins=256, name="a"):
    def of(x):
        return None if x is None else SimpleNamespace(events=x, name="x", source=source)

    sets = SimpleNamespace(
        train=of(train),
        validation=of(validation),
        test=of(TEST),
        kind=kind,
        bins=bins,
        event_shape=(8, 8, 1),
        exposed=(),
        left_out=None,
    )
    c = ConfigDict(
        {"source": source, "streaming": False, "train": "x:train", "path": ""}
    )
    config = SimpleNamespace(data=c)
    return SimpleNamespace(sets=sets, config=config, label=name, workdir=name)


@pytest.fixture(autouse=True)
def whole(monkeypatch):
    loaded = SimpleNamespace(events=WHOLE)
    monkeypatch.setattr(chosen, "load_set", lambda *_: loaded)


def keys(x) -> set[bytes]:
    return {image.tobytes() for image in x}


def test_images_are_of_no_run():
    runs = [fake(WHOLE[:60], WHOLE[60:80]), fake(WHOLE[:100], name="b")]
    found = split(runs, 0, 40, 30, 50)
    assert [len(x) for x in found[:3]] == [40, 30, 50]
    assert not keys(found.fit) & keys(found.calibrate)
    assert keys(found.fit) | keys(found.calibrate) <= keys(WHOLE[100:])
    # drawn, as they may be sorted by class, and in their order
    places = [keys(TEST).__contains__(image.tobytes()) for image in found.test]
    assert all(places)
    assert keys(found.test) != keys(TEST[:50])
    for one, other in zip(found[:3], split(runs, 0, 40, 30, 50)):
        np.testing.assert_array_equal(one, other)
    assert keys(split(runs, 1, 40, 30, 50).fit) != keys(found.fit)
    # all of them, where more are asked for
    assert [len(x) for x in split(runs, 0, 999, 999, 999)[:3]] == [50, 50, 100]


@pytest.mark.parametrize("source", ["idx", "synthetic"])
def test_without_unseen_images_the_test_set_is_split(source):
    train = WHOLE if source == "idx" else WHOLE[:10]
    found = split([fake(train, source=source)], 0, 999, 999, 30)
    assert [len(x) for x in found[:3]] == [33, 33, 30]
    parts = [keys(x) for x in found[:3]]
    assert len(set.union(*parts)) == 96, "no image is in two parts"
    assert set.union(*parts) <= keys(TEST)
    assert "test set" in found.taken_from
    # what is not fitted to is tested on
    few = split([fake(train, source=source)], 0, 20, 999, 999)
    assert [len(x) for x in few[:3]] == [20, 33, 47]


def test_variants_of_a_picture_are_in_one_part():
    """Of people of the embedded emoji, those that differ in the tone of their skin."""
    people = data.load("emoji:people_test", source="embedded")
    run = SimpleNamespace(sets=SimpleNamespace(test=people))
    bases = dict(
        zip(map(np.ndarray.tobytes, people.images), emoji.groups(people.split))
    )
    for seed in range(3):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(chosen, "_unseen", lambda *_: None)
            found = split([run], seed, 999, 250, 999)
        parts = [{bases[x.tobytes()] for x in part} for part in found[:3]]
        assert len(set.union(*parts)) == sum(map(len, parts)) == 48
        assert all(200 < len(part) < 400 for part in found[:3])
        assert len(found.calibrate) == 250
        assert "no part has a variant" in found.taken_from


def test_too_few_images_are_refused(monkeypatch):
    monkeypatch.setattr(chosen, "LEAST_IMAGES", 30)
    with pytest.raises(UserError, match=r"has 100 test images.*at least 120"):
        split([fake(WHOLE)], 0, 10, 10, 10)


@pytest.mark.parametrize("channels", [1, 3])
def test_real_sets_of_other_images_are_among_the_outliers(channels):
    """Letters and small digits come in the size and the channels of the images."""
    own, digits, things, altered = (
        SimpleNamespace(name=name, events=images(6, n, channels))
        for n, name in enumerate(("emoji", "mnist", "emoji", "emoji dimmed"))
    )
    ood_sets = {"mnist": digits, "emoji:things": things, "emoji dimmed": altered}
    sets = SimpleNamespace(test=own, ood=ood_sets, left_out=None)
    made = chosen.battery([SimpleNamespace(sets=sets)], own.events, 0, ["seen"])
    found = made.of_block("seen")
    assert {n for n, s in made.sets.items() if not s.paired} == {
        *("digits", "glyphs", "emoji:things", "uniform", "constant")
    }
    np.testing.assert_array_equal(found["digits"], digits.events)
    np.testing.assert_array_equal(found["emoji:things"], things.events)
    letters = found["glyphs"]
    assert letters.shape == (6, 8, 8, channels)
    assert letters.std() > 30
    np.testing.assert_array_equal(letters[..., 0], letters[..., -1])
    made = chosen.battery([SimpleNamespace(sets=sets)], own.events, 0, ["kept back"])
    assert made.of_block("kept back")["sklearn_digits"].shape == letters.shape


def test_flows_of_other_events_are_refused():
    with pytest.raises(UserError, match="a flow of vectors"):
        check_alike([fake(WHOLE, kind=Kind.VECTORS)])
    with pytest.raises(UserError, match="a flow of 16 values"):
        check_alike([fake(WHOLE, bins=16)])
    other = fake(WHOLE, name="b")
    other.sets.test = SimpleNamespace(events=TEST[::-1])
    with pytest.raises(UserError, match="a and b have other test images"):
        check_alike([fake(WHOLE), other])
