"""The context of an item: never the item itself; class frequencies; bad scenes."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.data import Scenes
from flowjax_ood.data.scenes import complete
from flowjax_ood.ood import ContextModel, Network
from flowjax_ood.ood import context as module
from flowjax_ood.ood.context import _ByNeighbours, _CrossEntropy

RNG = np.random.default_rng(0)
CLASSES, ITEMS = 4, 5
# an image's class is its level, of which the network is nearly sure
LEVELS = np.arange(CLASSES) * 60


def logits(_, x):
    return {}, -3e2 * (x.mean((1, 2, 3))[:, None] - LEVELS / 255) ** 2


NET = Network(logits)


def scenes_of(labels, adjacency=None) -> Scenes:
    labels = np.asarray(labels)
    items = LEVELS[labels][..., None, None, None] + np.arange(4).reshape(2, 2, 1)
    adjacency = complete(labels.shape[1]) if adjacency is None else adjacency
    return Scenes(items.astype(np.uint8), labels, adjacency)


def two_contexts(count: int, seed: int = 0) -> np.ndarray:
    """Labels of scenes with classes of {0, 1} or of {2, 3}."""
    rng = np.random.default_rng(seed)
    return 2 * rng.integers(0, 2, (count, 1)) + rng.integers(0, 2, (count, ITEMS))


@pytest.fixture(scope="module")
def context():
    return ContextModel().fit(NET, scenes_of(two_contexts(400)))


def log_probs(count=3, items=ITEMS):
    z = RNG.normal(size=(count, items, CLASSES)).astype(np.float32)
    return np.array(jax.nn.log_softmax(z))


def test_what_does_not_belong_scores_low(context):
    labels = two_contexts(200, seed=1)
    usual = context.score(scenes_of(labels))
    # of two equally likely classes
    np.testing.assert_allclose(usual.mean(), np.log(0.5), atol=0.05)
    odd = labels.copy()
    odd[:, 0] = (odd[:, 0] + 2) % CLASSES
    assert context.score(scenes_of(odd))[:, 0].max() < usual.min()
    assert context.score(scenes_of(odd))[:, 0].max() < np.log(0.02)


def test_an_item_has_no_part_in_its_own_answer(context):
    """Bit for bit, whatever it is; its neighbours' answers do change."""
    given = log_probs()
    found = context.log_prob(given, complete(ITEMS))
    np.testing.assert_allclose(np.exp(found).sum(-1), 1, atol=1e-5)
    for item in range(ITEMS):
        changed = given.copy()
        changed[:, item] = [-np.inf, 0, -np.inf, -np.inf]
        again = context.log_prob(changed, complete(ITEMS))
        np.testing.assert_array_equal(again[:, item], found[:, item])
        others = np.arange(ITEMS) != item
        assert (again[:, others] != found[:, others]).all(-1).all()


@pytest.mark.thorough
def test_its_jacobian_by_itself_is_zero(context):
    weights = complete(ITEMS).astype(np.float32)

    def answer(x):
        return context.model.apply({"params": context.params}, x[None], weights)[0]

    jacobian = jax.jacobian(answer)(jnp.exp(log_probs(1)[0]))
    for i in range(ITEMS):
        np.testing.assert_array_equal(jacobian[i, :, i], 0)
    assert np.abs(jacobian[0, :, 1]).max() > 1e-3


def test_order_components_and_items_without_neighbours(context):
    adjacency = np.zeros((6, 6), bool)
    for i, j in [(0, 1), (1, 2), (3, 4)]:
        adjacency[i, j] = adjacency[j, i] = True
    given = log_probs(items=6)
    found = context.log_prob(given, adjacency)
    order = np.array([4, 2, 5, 0, 3, 1])
    moved = context.log_prob(given[:, order], adjacency[order][:, order])
    np.testing.assert_allclose(moved, found[:, order], rtol=1e-5, atol=1e-6)
    # 0, 1 and 2 have nothing to do with 3 and 4
    changed = given.copy()
    changed[:, 3:] = log_probs(items=3)
    np.testing.assert_array_equal(
        context.log_prob(changed, adjacency)[:, :3], found[:, :3]
    )
    assert context.isolated(adjacency).tolist() == [False] * 5 + [True]
    np.testing.assert_allclose(np.exp(context.log_frequency).sum(), 1, rtol=1e-6)
    np.testing.assert_array_equal(
        found[:, 5], np.float32(context.log_frequency)[None].repeat(3, 0)
    )


def test_of_one_context_it_is_the_class_frequencies():
    rates = np.array([0.5, 0.3, 0.15, 0.05])
    labels = np.random.default_rng(5).choice(CLASSES, (400, ITEMS), p=rates)
    fitted = ContextModel(steps=400).fit(NET, scenes_of(labels))
    test = np.random.default_rng(6).choice(CLASSES, (300, ITEMS), p=rates)
    given = np.log(np.eye(CLASSES)[test] + 1e-9)
    found = np.exp(fitted.log_prob(given, complete(ITEMS))).mean((0, 1))
    counts = np.bincount(labels.ravel(), minlength=CLASSES)
    np.testing.assert_allclose(fitted.log_frequency, np.log(counts / counts.sum()))
    error = np.sqrt(rates * (1 - rates) / labels.size)
    assert (np.abs(found - rates) < 4 * error + 0.01).all()


@pytest.mark.thorough
def test_unknown_labels_are_drawn_from_the_classifier():
    """Of a classifier that is nearly sure, they are as good as known ones."""
    labels = two_contexts(400)
    unknown = scenes_of(labels)
    hidden = np.where(RNG.random(labels.shape) < 0.6, -1, labels)
    unknown = replace(unknown, labels=hidden)
    fitted = ContextModel().fit(NET, unknown)
    odd = two_contexts(100, seed=2)
    usual = fitted.score(scenes_of(odd))
    odd[:, 0] = (odd[:, 0] + 2) % CLASSES
    assert fitted.score(scenes_of(odd))[:, 0].max() < usual.min()
    # known ones are not drawn: the key changes nothing
    loss = _CrossEntropy(_ByNeighbours(4, 2))
    weights = np.broadcast_to(np.float32(complete(ITEMS)), (400, ITEMS, ITEMS))
    log_q = np.full((400, ITEMS, CLASSES), np.log(0.25), np.float32)
    rows = {"labels": labels, "log_q": log_q, "adjacency": weights}
    start = loss.model.init(jax.random.key(0), log_q, weights[0])["params"]
    losses = [float(loss(start, rows, jax.random.key(k))) for k in (0, 1)]
    assert losses[0] == losses[1]
    rows["labels"] = hidden
    drawn = [float(loss(start, rows, jax.random.key(k))) for k in (0, 1)]
    assert drawn[0] != drawn[1]


def test_a_label_that_is_known_is_kept(monkeypatch):
    """q is certain of it, and so its neighbours learn of it: without, of nothing.

    The classifier has no idea. By q alone, the context of an item without a label were
    the same for all scenes, and half of its mass on the classes of either context.
    """
    seen = []
    whole = module.minimised

    def noted(*arguments, **options):
        seen.append(np.asarray(arguments[2]["log_q"]))
        return whole(*arguments, **options)

    monkeypatch.setattr(module, "minimised", noted)
    labels = two_contexts(400)
    hidden = np.random.default_rng(1).random(labels.shape) < 0.4
    scenes = replace(scenes_of(labels), labels=np.where(hidden, -1, labels))
    ContextModel().fit(Network(lambda _, x: ({}, jnp.zeros((len(x), 4)))), scenes)
    assert len(seen) == 2
    for log_q in seen:
        np.testing.assert_array_equal(
            np.exp(log_q[~hidden]), np.eye(CLASSES)[labels[~hidden]]
        )
    np.testing.assert_allclose(np.exp(seen[0][hidden]), 0.25, rtol=1e-6)
    own = np.exp(seen[1]).reshape(*labels.shape, 2, 2).sum(-1)
    own = np.take_along_axis(own, labels[..., None] // 2, -1)[..., 0]
    assert own[hidden].mean() > 0.7


def test_without_any_link_it_is_the_class_frequency():
    labels = np.random.default_rng(3).choice(CLASSES, (50, 3), p=(0.4, 0.3, 0.2, 0.1))
    apart = np.zeros((3, 3), bool)
    fitted = ContextModel().fit(NET, scenes_of(labels, apart))
    test = scenes_of(np.arange(3)[None], apart)
    expected = np.log(np.bincount(labels.ravel()) / labels.size)[:3]
    np.testing.assert_allclose(fitted.score(test)[0], expected, rtol=1e-6)


def test_what_it_refuses(context):
    labels = two_contexts(20)
    for wrong, said in [
        (np.minimum(labels, 2), "no training scene has an item of class 3"),
        (np.where(labels > 1, -1, labels), "no training scene has .* class 2, 3"),
        (labels + 4, "label 7 is of no class of the network, which has 4: 0 ... 3"),
    ]:
        scenes = replace(scenes_of(labels), labels=wrong)
        with pytest.raises(ValueError, match=said):
            ContextModel().fit(NET, scenes)
    for wrong in ({"hidden": 0}, {"layers": 0}, {"rounds": -1}, {"seed": -1}):
        with pytest.raises(ValueError, match=f"ContextModel: {next(iter(wrong))} must"):
            ContextModel(**wrong)
    given = log_probs()
    with pytest.raises(ValueError, match=r"\[S, N, 4\], a row .* \(3, 5, 3\)"):
        context.log_prob(given[..., :3], complete(ITEMS))
    with pytest.raises(ValueError, match=r"adjacency must be boolean \[5, 5\]"):
        context.log_prob(given, complete(4))
    with pytest.raises(ValueError, match="links item 0 to itself"):
        context.log_prob(given, np.ones((ITEMS, ITEMS), bool))
    given[2, 1] = np.nan
    with pytest.raises(ValueError, match="NaN, first of item 1 in scene 2"):
        context.log_prob(given, complete(ITEMS))
