"""Routes: what they depend on, how evenly they spread, and what they never show."""

import copy
import hashlib
import pickle
import traceback

import numpy as np
import pytest
from scipy import special, stats

from flowjax_ood.defence import Keyed, Perceptual
from flowjax_ood.ood import Network
from tests.helpers.tiny_members import TinyTapped, ensemble, images

SECRET = b"sixteen bytes or more"
MANY = images(10_000)
ROUTE = Keyed(SECRET)


def half(_, x):
    """A network of the upper half of an image alone, ten classes."""
    seen = x[:, :4].reshape(len(x), 32)
    weights = np.random.default_rng(1).normal(size=(32, 10)).astype(np.float32)
    return {}, seen @ weights


HALF = Network(half)


def test_keyed_is_the_keyed_hash_of_the_pixels():
    for members in (2, 3, 7):
        expected = [
            int(hashlib.blake2b(x.tobytes(), key=SECRET, digest_size=8).hexdigest(), 16)
            % members
            for x in MANY[:50]
        ]
        np.testing.assert_array_equal(ROUTE(MANY[:50], members), expected)
    # of another process, another day
    ramp = np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1)
    assert ROUTE(ramp, 1000).tolist() == [444]


def test_an_image_has_one_member_in_any_batch_and_order():
    expected = ROUTE(MANY[:300], 5)
    order = np.random.default_rng(2).permutation(300)
    np.testing.assert_array_equal(ROUTE(MANY[:300][order], 5), expected[order])
    one_by_one = np.concatenate([ROUTE(x[None], 5) for x in MANY[:300]])
    np.testing.assert_array_equal(one_by_one, expected)
    # however it lies in memory
    strided = np.asfortranarray(MANY[:300])
    np.testing.assert_array_equal(Keyed(SECRET)(strided, 5), expected)
    assert (Keyed(b"another secret, as long")(MANY[:300], 5) != expected).any()


@pytest.mark.parametrize("members", [2, 3, 5])
def test_keyed_members_have_equal_shares(members):
    counts = np.bincount(ROUTE(MANY, members), minlength=members)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_a_level_of_a_pixel_draws_the_member_anew():
    rng, members = np.random.default_rng(3), 3
    changed = MANY.copy()
    at = (np.arange(len(MANY)), rng.integers(8, size=len(MANY)))
    changed[*at, 0, 0] ^= 1
    assert np.abs(np.int16(changed) - MANY).sum(axis=(1, 2, 3)).max() == 1
    others = (ROUTE(changed, members) != ROUTE(MANY, members)).mean()
    expected = 1 - 1 / members
    assert abs(others - expected) < 4 * np.sqrt(expected / members / len(MANY))


def test_the_secret_is_neither_shown_nor_stored():
    assert "sixteen" not in repr(ROUTE) + str(ROUTE)
    assert not hasattr(ROUTE, "__dict__")
    held = [getattr(ROUTE, name) for name in ROUTE.__slots__]
    assert not any(isinstance(value, bytes | str) for value in held)
    for store in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match=r"is not stored.* Keyed\(secret\)"):
            store(ROUTE)
    with pytest.raises(ValueError, match=r"must have 16 to 64 bytes, got 15") as error:
        Keyed(b"fifteen letters")
    shown = "".join(traceback.format_exception_only(error.value))
    assert "fifteen" not in shown


@pytest.mark.parametrize("length", [0, 15, 65])
def test_secrets_of_other_lengths_are_refused(length):
    with pytest.raises(ValueError, match=rf"16 to 64 bytes, got {length}: secrets\."):
        Keyed(bytes(length))
    assert Keyed(bytes(16))(MANY[:2], 3).shape == (2,)


def test_what_keyed_does_not_take():
    with pytest.raises(TypeError, match="must be bytes, got str"):
        Keyed("sixteen letters and more")
    for pixels in (MANY[:3] / np.float32(255), MANY[:3].astype(int)):
        with pytest.raises(TypeError, match=rf"uint8, got {pixels.dtype}"):
            ROUTE(pixels, 3)
    with pytest.raises(TypeError, match="uint8, got list"):
        ROUTE([1, 2], 3)


# --- perceptual -----------------------------------------------------------------------


@pytest.mark.parametrize("members", [2, 3, 5])
def test_perceptual_is_its_formula(members):
    x = images(200)
    logits = np.float64(half(None, x / np.float32(255))[1])
    p = special.softmax(logits, axis=1)
    sure = np.floor(2 * (10 * p.max(1) - 1) / 9).astype(int)
    assert 20 < sure.sum() < 180
    expected = (2 * logits.argmax(1) + sure) % members
    np.testing.assert_array_equal(Perceptual(HALF)(x, members), expected)


def test_images_of_one_output_have_one_member():
    x = images(60)
    route = Perceptual(HALF)
    expected = route(x, 5)
    changed = x.copy()
    changed[:, 4:] = 255 - changed[:, 4:]
    np.testing.assert_array_equal(route(changed, 5), expected)
    assert (ROUTE(changed, 5) != ROUTE(x, 5)).mean() > 0.5
    order = np.random.default_rng(2).permutation(60)
    np.testing.assert_array_equal(route(x[order], 5), expected[order])
    np.testing.assert_array_equal(
        np.concatenate([route(row[None], 5) for row in x[:9]]), expected[:9]
    )


def test_a_certain_network_has_the_upper_of_two_numbers():
    certain = Network(lambda _, x: ({}, 1e4 * x.reshape(len(x), -1)[:, :4]))
    x = np.zeros((4, 2, 2, 1), np.uint8)
    x.reshape(4, 4)[np.arange(4), np.arange(4)] = 255
    assert Perceptual(certain)(x, 100).tolist() == [1, 3, 5, 7]
    # and an undecided one the lower
    assert Perceptual(certain)(0 * x[:1], 100).tolist() == [0]


def test_the_hash_network_is_of_other_data():
    own, target = images(20, seed=4), images(30, seed=5)
    Perceptual(HALF, trained_on=own, target_trained_on=target)
    own[7] = target[3]
    with pytest.raises(ValueError, match=r"1 of 20 training images .* is number 7:"):
        Perceptual(HALF, trained_on=own, target_trained_on=target)
    with pytest.raises(ValueError, match="give both, or none"):
        Perceptual(HALF, trained_on=own)


def test_what_perceptual_does_not_take():
    with pytest.raises(TypeError, match="takes a Network, got TinyTapped"):
        Perceptual(TinyTapped())
    network = ensemble()[0].networks(ensemble()[1])[0]
    with pytest.raises(ValueError, match=r"hash network does not take .*\(6, 6, 1\)"):
        Perceptual(network)(np.zeros((3, 6, 6, 1), np.uint8), 3)
    nan = Network(lambda _, x: ({}, x.reshape(len(x), -1)[:, :3] + np.nan))
    with pytest.raises(ValueError, match="hash network has no answer to 4 of 4"):
        Perceptual(nan)(images(4), 3)
    one = Network(lambda _, x: ({}, x.reshape(len(x), -1)[:, :1]))
    with pytest.raises(ValueError, match="needs two classes, it has 1"):
        Perceptual(one)(images(4), 3)
