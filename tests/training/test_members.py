"""Several classifiers as one module: the members apart, and together."""

import jax
import numpy as np
import pytest

from flowjax_ood.evaluation.accuracy import evaluate_accuracy, predict_logits
from flowjax_ood.models import LeNet
from flowjax_ood.training.members import DiverseMembers
from tests.helpers.tiny_classifier import SHAPE as FOUR
from tests.helpers.tiny_classifier import TinyClassifier
from tests.helpers.tiny_members import KEY, SHAPE, TinyTapped, ensemble, images

PIXELS = images(10) / np.float32(255)


@pytest.mark.thorough
def test_each_member_is_the_classifier_with_its_own_variables():
    module, variables = ensemble()
    together = module.apply(variables, PIXELS)
    assert together.shape == (10, 3, 4)
    parts = module.split(variables)
    for number, (own, network) in enumerate(zip(parts, module.networks(variables))):
        expected = TinyTapped().apply(own, PIXELS)
        np.testing.assert_array_equal(together[:, number], expected)
        np.testing.assert_allclose(
            network.collect(PIXELS).logits, expected, rtol=1e-5, atol=1e-5
        )
        w, b = network.head
        np.testing.assert_allclose(
            network.collect(PIXELS).features @ w + b, expected, rtol=1e-4, atol=1e-5
        )
    # of random numbers of their own
    assert np.abs(np.diff(together, axis=1)).min(0).max() > 0.01


def test_the_networks_share_programs():
    module, variables = ensemble()
    structures = {jax.tree.structure(n) for n in module.networks(variables)}
    assert len(structures) == 1


def test_members_drop_units_apart_and_only_in_training():
    module, variables = DiverseMembers(TinyTapped(0.5), 2), ensemble(2)[1]
    same = module.join([module.split(variables)[0]] * 2)
    still = module.apply(same, PIXELS)
    np.testing.assert_array_equal(still[:, 0], still[:, 1])
    dropped = module.apply(same, PIXELS, rngs={"dropout": KEY})
    assert (dropped[:, 0] != dropped[:, 1]).any()


def test_variables_are_split_and_joined():
    module = DiverseMembers(TinyClassifier(norm=True), 2)
    variables = module.init(KEY, np.zeros((2, *FOUR), np.float32))
    assert set(variables) == {"params", "batch_stats"}
    again = module.join(module.split(variables))
    assert jax.tree.structure(again) == jax.tree.structure(variables)
    jax.tree.map(np.testing.assert_array_equal, again, variables)
    with pytest.raises(ValueError, match="variables of 2 members, got 1"):
        module.join(module.split(variables)[:1])


def test_lenets_have_the_shapes_of_lenets():
    module = DiverseMembers(LeNet(), 2)
    given = jax.ShapeDtypeStruct((5, *SHAPE), np.float32)
    variables = jax.eval_shape(module.init, KEY, given)
    assert jax.eval_shape(module.apply, variables, given).shape == (5, 2, 10)
    alone = jax.eval_shape(LeNet().init, KEY, given)
    for own in module.split(variables):
        assert own == alone


def test_logits_of_a_set_are_of_every_member_and_accuracy_of_one():
    module, variables = ensemble()
    logits = predict_logits(module, variables, images(), 16)
    assert logits.shape == (60, 3, 4)
    expected = module.apply(variables, images() / np.float32(255))
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
    labels = logits[:, 1].argmax(-1)
    assert evaluate_accuracy(TinyTapped(), module.split(variables)[1], images(), labels,
                             16) == 1  # fmt: skip
    with pytest.raises(ValueError, match=r"shape \(60, 3, 4\): of several members"):
        evaluate_accuracy(module, variables, images(), labels, 16)


@pytest.mark.parametrize("members", [1, 0, 2.0])
def test_an_ensemble_has_two_members_or_more(members):
    with pytest.raises(ValueError, match=rf"members must be .*got {members}"):
        DiverseMembers(TinyTapped(), members)
