"""A classifier's step, its state, and its accuracy: what they say they are."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flowjax_ood.evaluation.accuracy import evaluate_accuracy, predict_logits
from flowjax_ood.runtime.parallel import MODES, Parallel
from flowjax_ood.training.batches import image_batches, labelled_batches
from flowjax_ood.training.classifier_objectives import CrossEntropy, cross_entropy
from flowjax_ood.training.logs.window import NonFiniteLossError
from flowjax_ood.training.loop import Plan, fit
from flowjax_ood.training.state import create_state, fine_tuning_state
from flowjax_ood.training.step import make_train_step
from tests.helpers.other_process import found_by
from tests.helpers.tiny_classifier import TinyClassifier, batch, images, labels

KEY = jax.random.key(3, impl="threefry2x32")


def start(module=None, optimizer=None):
    """`(state, compiled step)`; not donated: tests look at the old state."""
    module, optimizer = module or TinyClassifier(), optimizer or optax.sgd(1.0)
    state = create_state(module, optimizer, jax.random.key(0), images(1))
    return state, jax.jit(make_train_step(CrossEntropy(module), optimizer))


def same(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def by_hand(params, given):
    """`(loss, accuracy, gradient)` of the linear classifier, in float64."""
    x = np.float64(given["image"]).reshape(8, -1) / 255
    dense = params["Dense_0"]
    scores = x @ np.float64(dense["kernel"]) + np.float64(dense["bias"])
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    own = np.eye(3)[given["label"]]
    error = (p - own) / 8
    loss = -np.log(p[np.arange(8), given["label"]]).mean()
    gradient = {"kernel": x.T @ error, "bias": error.sum(0)}
    return loss, (scores.argmax(1) == given["label"]).mean(), gradient


@pytest.mark.thorough
def test_a_step_is_gradient_descent_on_the_cross_entropy():
    state, step = start()
    for k in range(3):
        given = batch(range(8 * k, 8 * k + 8))
        loss, accuracy, gradient = by_hand(state.params, given)
        new, metrics = step(state, given, KEY)
        assert set(metrics) == {"loss", "accuracy", "grad_norm"}
        np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-5)
        assert metrics["accuracy"] == accuracy
        for name, g in gradient.items():
            moved = state.params["Dense_0"][name] - new.params["Dense_0"][name]
            np.testing.assert_allclose(moved, g, atol=1e-6)
        norm = np.sqrt(sum((g**2).sum() for g in gradient.values()))
        np.testing.assert_allclose(metrics["grad_norm"], norm, rtol=1e-5)
        assert int(new.step) == k + 1
        state = new


@pytest.mark.thorough
def test_same_inputs_same_outputs_and_nothing_changed():
    state, step = start(TinyClassifier(norm=True, dropout=0.5))
    before = jax.tree.map(np.array, state)
    first, second = (step(state, batch(), KEY) for _ in range(2))
    same(first, second)
    same(jax.device_get(state), before)
    # statistics move as well as parameters
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), first[0], state)
    assert all(jax.tree.leaves((moved.params["Dense_0"], moved.batch_stats)))


@pytest.mark.thorough
def test_dropout_depends_on_key_step_and_index():
    state, step = start(TinyClassifier(dropout=0.5))
    one = {name: np.repeat(value[:1], 8, 0) for name, value in batch().items()}

    def loss(key=KEY, at=0, index=0):
        given = one | {"index": np.arange(index, index + 8, dtype=np.int32)}
        now = state.replace(step=jnp.int32(at))
        return float(step(now, given, key)[1]["loss"])

    found = [loss(), loss(jax.random.fold_in(KEY, 1)), loss(at=1), loss(index=1)]
    assert len(set(found)) == 4
    assert loss() == found[0]


@pytest.mark.thorough
def test_tokens_are_taken_as_they_are():
    module, optimizer = TinyClassifier(), optax.sgd(0.1)
    x = np.random.default_rng(0).integers(0, 4, (8, 16)).astype(np.int32)
    state = create_state(module, optimizer, jax.random.key(0), x)
    given = {"x": x, "label": labels()[:8], "index": np.arange(8, dtype=np.int32)}
    step = make_train_step(CrossEntropy(module), optimizer)
    _, metrics = step(state, given, KEY)
    logits = module.apply(state.variables(), x)
    expected, _ = cross_entropy(logits, given["label"])
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-6)
    augmented = make_train_step(CrossEntropy(module, lambda x, keys: x), optimizer)
    with pytest.raises(ValueError, match='"x"'):
        augmented(state, given, KEY)


def test_augmentation_comes_before_the_division():
    """Its keys are of `(key, step, index)`, so of an image and not of its batch."""
    seen = []

    def augment(x, keys):
        seen.append(jax.random.key_data(keys))
        return 255 - x

    module, optimizer = TinyClassifier(), optax.sgd(1.0)
    state = create_state(module, optimizer, KEY, images(1))
    step = make_train_step(CrossEntropy(module, augment), optimizer)
    given = batch()
    new, metrics = step(state, given, KEY)
    plain = make_train_step(CrossEntropy(module), optimizer)
    inverted = given | {"image": 255 - given["image"]}
    same(jax.device_get((new, metrics)), plain(state, inverted, KEY))
    step(state, batch(range(7, -1, -1)), KEY)
    step(new, given, KEY)
    np.testing.assert_array_equal(seen[0], seen[1][::-1])
    assert (seen[0] != seen[2]).any(1).all()


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> dict[str, dict]:
    """`{experiment: {name: array}}` of two_devices_classifier.py."""
    output = tmp_path_factory.mktemp("two") / "found.npz"
    return found_by("two_devices_classifier", output)


@pytest.mark.thorough
@pytest.mark.multiprocess
@pytest.mark.parametrize("kind", ["plain", "norm", "outliers", "norm and outliers"])
@pytest.mark.parametrize("mode", MODES)
def test_two_devices_reach_what_one_does(two, kind, mode):
    """Augmentation and all, in every mode."""
    one, split = two[f"{kind} one"], two[f"{kind} {mode}"]
    assert one.keys() == split.keys()
    for name, value in one.items():
        np.testing.assert_allclose(
            split[name], value, rtol=1e-4, atol=1e-6, err_msg=name
        )


@pytest.mark.multiprocess
@pytest.mark.parametrize("devices", ["one", "two"])
def test_predictions_do_not_depend_on_devices(two, devices):
    found = two[f"predicted {devices}"]["logits"]
    expected = two["predicted none"]["logits"]
    assert found.shape == (13, 3)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def train(workdir, num_steps, norm=True, dropout=0.25, **changed):
    module = TinyClassifier(norm=norm, dropout=dropout)
    optimizer = optax.sgd(0.05, momentum=0.9)

    def initial():
        return create_state(module, optimizer, KEY, images(1))

    arguments = {
        "key": KEY,
        "batch_size": 8,
        "parallel": Parallel("jit", jax.devices()[:1]),
        "workdir": workdir,
    }
    step = make_train_step(CrossEntropy(module), optimizer)
    plan = Plan(num_steps, log_every=5)
    given = changed.pop("labels", labels())
    batches = labelled_batches(images(), given, 8, seed=5)
    return module, fit(initial, step, batches, plan, **arguments | changed)


@pytest.mark.thorough
def test_a_run_resumes_bit_for_bit(tmp_path, capfd):
    _, whole = train(tmp_path / "whole", 7)
    train(tmp_path / "parts", 4)
    _, parts = train(tmp_path / "parts", 7)
    same(jax.device_get(parts.state), jax.device_get(whole.state))
    assert whole.state.batch_stats
    # what is shown is what a classifier is about
    assert "accuracy" in capfd.readouterr().err


def test_training_learns(tmp_path):
    module, run = train(tmp_path, 300, dropout=0.0)
    variables = jax.device_get(run.state.variables())
    accuracy = evaluate_accuracy(module, variables, images(), labels(), 16)
    assert accuracy >= 0.95


def test_a_label_of_no_class_ends_training(tmp_path):
    wrong = labels()
    wrong[3] = 3
    with pytest.raises(NonFiniteLossError):
        train(tmp_path, 6, norm=False, labels=wrong)


@pytest.mark.thorough
def test_fine_tuning_goes_on_from_what_is_given():
    state, step = start(TinyClassifier(norm=True))
    state, _ = step(state, batch(), KEY)
    optimizer = optax.adam(1e-3)
    again = fine_tuning_state(optimizer, state.variables())
    same(jax.device_get(again.variables()), jax.device_get(state.variables()))
    assert int(again.step) == 0
    same(again.opt_state, optimizer.init(state.params))
    # a step may take the memory of its state
    for leaf in jax.tree.leaves((again.params, again.batch_stats)):
        leaf.delete()
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(state.variables()))


@pytest.mark.thorough
@pytest.mark.parametrize("batch_size", [1, 7, 40, 64])
def test_every_image_is_scored_once_and_in_order(batch_size):
    module = TinyClassifier(norm=True, dropout=0.5)
    state, _ = start(module)
    variables = state.variables()
    expected = module.apply(variables, images() / np.float32(255))
    found = predict_logits(module, variables, images(), batch_size)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    right = np.argmax(expected, 1) == labels()
    accuracy = evaluate_accuracy(module, variables, images(), labels(), batch_size)
    assert accuracy == right.mean()


def test_labelled_batches_follow_the_images():
    plain = image_batches(images(), 7, seed=3)
    for given in (images(), np.float32(images())):
        labelled = labelled_batches(given, labels().astype(np.int64), 7, seed=3)
        for step in (0, 4, 9):
            found, index = labelled(step), plain(step)["index"]
            kind = "image" if given.dtype == np.uint8 else "x"
            assert set(found) == {kind, "label", "index"}
            np.testing.assert_array_equal(found["index"], index)
            np.testing.assert_array_equal(found[kind], given[index])
            np.testing.assert_array_equal(found["label"], labels()[index])
            assert found["label"].dtype == np.int32


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "no labels"),
        (labels()[:-1], r"\(40,\).*\(39,\)"),
        (np.float32(labels()), "float32"),
        (labels() - 1, "got -1"),
    ],
)
def test_bad_labels_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        labelled_batches(images(), given, 8, seed=0)
    state, _ = start()
    with pytest.raises(ValueError, match=message):
        evaluate_accuracy(TinyClassifier(), state.variables(), images(), given, 8)
