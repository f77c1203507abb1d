"""Classes that are left out of training, and values that are mutated before it."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.configs import fashion_mnist_realnvp
from experiments.core.sets import load_sets
from experiments.core.training_images import leave_out, with_mutations
from flowjax_ood.interface.errors import UserError


def config(**changes):
    """The demo's data: 10 classes of clothing, and digits."""
    made = fashion_mnist_realnvp.get_config("smoke")
    made.data.update(source="embedded", limit_train=300, limit_test=100, **changes)
    return made


@pytest.fixture(scope="module")
def whole():
    return load_sets(config())


def test_a_class_left_out_is_an_ood_set_of_test_images(whole):
    sets = load_sets(config(leave_out=(3, 7)))
    for own, all_of in ((sets.train, whole.train), (sets.test, whole.test)):
        kept = ~np.isin(all_of.labels, (3, 7))
        assert 0 < kept.sum() < len(kept)
        np.testing.assert_array_equal(own.images, all_of.images[kept])
        assert "without classes 3, 7" in own.origin
    left = sets.left_out
    assert left.name == "fashion_mnist classes 3, 7"
    out = np.isin(whole.test.labels, (3, 7))
    np.testing.assert_array_equal(left.images, whole.test.images[out])
    assert whole.left_out is None
    # it is kept back
    assert set(sets.scored) == set(whole.scored)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"leave_out": (3, 11)}, "names 11, and fashion_mnist:train has the classes 0"),
        ({"leave_out": tuple(range(10))}, "leaves no class of fashion_mnist:train"),
    ],
)
def test_classes_that_cannot_be_left_out(changes, message):
    with pytest.raises(UserError, match=message):
        load_sets(config(**changes))


def test_sets_that_cannot_be_changed(whole):
    some = config(leave_out=(3,), mutated=0.2)
    with pytest.raises(UserError, match="needs labels, and fashion_mnist:train has no"):
        leave_out(some, replace(whole.train, labels=None))
    some.data.streaming = True
    for change in (leave_out, with_mutations):
        with pytest.raises(UserError, match="streaming=False"):
            change(some, whole.train)


def test_a_share_of_the_training_values_is_replaced(whole):
    sets = load_sets(config(mutated=0.2, validation=50))
    before = load_sets(config(validation=50))
    other = sets.train.images != before.train.images
    # 4 standard errors
    assert abs(other.mean() - 0.2) < 4 * np.sqrt(0.2 * 0.8 / other.size)
    np.testing.assert_array_equal(sets.validation.images, before.validation.images)
    np.testing.assert_array_equal(sets.test.images, whole.test.images)
    again = load_sets(config(mutated=0.2, validation=50))
    np.testing.assert_array_equal(sets.train.images, again.train.images)
    assert "each value replaced with probability 0.2" in sets.train.origin
