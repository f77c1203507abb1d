"""`data.classes`: flows that are trained on labels and score images without."""

import json

import jax
import numpy as np
import pytest

from experiments.cli import run
from experiments.core import build
from experiments.core.config import load_config
from experiments.core.evaluation import TrainedFlow
from experiments.core.flow_passes import scored_flow
from experiments.core.sets import load_sets
from experiments.inspect import InspectOptions
from experiments.inspect.subject import subject
from experiments.precision import command as precision
from experiments.samples import command as samples
from flowjax_ood import data
from flowjax_ood.data.dequantize import dequantize, example_keys
from flowjax_ood.distributions import one_hot_condition
from flowjax_ood.interface.errors import UserError
from tests.helpers.experiment_runs import CONFIGS, TINY, only_error, read_results
from tests.helpers.validation_runs import assert_same_arrays, saved

CLASSES = (
    *TINY,
    "--config.data.classes=10",
    "--config.model.norm=batch",
    "--config.train.checkpoint_every=2",
    "--config.eval.samples=4",
)


def train(workdir, *more, arguments=CLASSES):
    return run(["train", *arguments, *more, f"--workdir={workdir}"])


@pytest.fixture(scope="module")
def by_base(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "base"
    assert train(workdir) == 0
    return workdir


@pytest.fixture(scope="module")
def by_couplings(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "couplings"
    assert train(workdir, "--config.data.condition=couplings") == 0
    return workdir


@pytest.fixture(params=["by_base", "by_couplings"])
def trained(request):
    return TrainedFlow.restore(request.getfixturevalue(request.param))


@pytest.mark.thorough
def test_results_are_of_the_mixture(trained):
    """Written out: `log p(x) = log mean_y p(x | y)` of each image, class by class."""
    flow, variables, images = trained.flow, trained.variables, trained.sets.test.images
    keys = example_keys(build.random_key(trained.config.eval.seed), np.arange(20))
    x = dequantize(images, keys)
    apply = jax.jit(flow.apply)
    given = [
        apply(variables, x, one_hot_condition(np.full(20, k), 10)) for k in range(10)
    ]
    given = np.stack(given, 1).astype(np.float64)
    assert np.ptp(given, 1).min() > 0
    expected = np.log(np.mean(np.exp(given - given.max(1, keepdims=True)), 1))
    expected += given.max(1)
    name = trained.sets.test.name
    found = trained.likelihoods()[name]
    np.testing.assert_allclose(found.log_prob, expected, rtol=1e-5)
    results = read_results(trained.workdir)
    mean = found.bits_per_dim.mean()
    assert results["bits_per_dim"][name] == pytest.approx(mean, rel=1e-5)
    right = np.mean(given.argmax(1) == trained.sets.test.labels)
    classified = results["classification"]
    assert classified["accuracy"] == pytest.approx(right)
    low, high = classified["accuracy_ci95"]
    assert low <= right <= high
    assert classified["condition"] == trained.config.data.condition


def test_the_loss_is_that_of_each_image_in_its_class(by_base):
    """A step takes the labels of the very images of its batch."""
    trained = TrainedFlow.restore(by_base)
    config, sets = trained.config, trained.sets
    aim = build.objective(config, sets, trained.flow)
    batch = build.batches(config, sets)(3)
    rows = sets.train.labels[batch["index"]]
    np.testing.assert_array_equal(batch["label"], rows)
    np.testing.assert_array_equal(batch["image"], sets.train.images[batch["index"]])
    _, cond = aim.inputs(batch, jax.random.key(0))
    np.testing.assert_array_equal(cond, one_hot_condition(rows, 10))


@pytest.mark.thorough
def test_classes_become_apart_and_the_conditioned_part_moves(trained):
    """Else the condition would have gone nowhere."""
    params = trained.run.state.params
    in_base = trained.config.data.condition == "base"
    assert ("base" in params) == in_base
    joint = trained.class_log_joint(trained.sets.test.images, "classes")
    assert joint.shape == (20, 10)
    assert np.ptp(joint, 1).min() > 0


@pytest.mark.thorough
def test_a_run_goes_on_with_its_labels(by_base, tmp_path, capsys):
    halves = "--config.train.num_steps=2"
    assert train(tmp_path / "run", halves) == 0
    whole = f"--config.train.num_steps={TrainedFlow.restore(by_base).step}"
    schedule = "--config.optimizer.schedule=constant"
    assert train(tmp_path / "at_once", whole, schedule) == 0
    assert train(tmp_path / "by_halves", halves, schedule) == 0
    assert train(tmp_path / "by_halves", whole, schedule) == 0
    one, other = saved(tmp_path / "at_once"), saved(tmp_path / "by_halves")
    assert_same_arrays(one[max(one)], other[max(one)])
    file = tmp_path / "run" / "data.json"
    file.write_text(file.read_text().replace(digest_of(file), "0" * 64))
    capsys.readouterr()
    assert run(["evaluate", f"--workdir={tmp_path / 'run'}"]) != 0
    assert "the labels of" in only_error(capsys.readouterr().err)


def digest_of(file) -> str:
    return json.loads(file.read_text())["labels"]["sha256"]


def test_classes_left_out_are_absent():
    config = config_of("data.leave_out=3,7")
    flow = build.flow(config, (28, 28, 1))
    assert (flow.classes, flow.absent) == (10, (3, 7))
    assert set(np.unique(load_sets(config).train.labels)) == set(range(10)) - {3, 7}


@pytest.mark.thorough
def test_vectors_too(tmp_path, capsys):
    # clusters of vectors, labelled 0 to 3
    smoke = f"--config={CONFIGS / 'hepmass.py'}:smoke"
    clusters = (
        "--config.data.train=synthetic:train",
        "--config.data.test=synthetic:test",
    )
    more = ("--config.data.ood=synthetic_ood:test", "--config.data.classes=4")
    assert train(tmp_path / "run", *clusters, *more, arguments=(smoke,)) == 0
    assert "likelihoods are of the mixture of 4 classes" in capsys.readouterr().out
    classified = read_results(tmp_path / "run")["classification"]
    assert 0 <= classified["accuracy"] <= 1


def config_of(*more):
    given = [a.removeprefix("--config.") for a in (*CLASSES[1:], *more)]
    return load_config(CLASSES[0].removeprefix("--config="), given)


def error_of(*more) -> str:
    with pytest.raises(UserError) as caught:
        load_sets(config_of(*more))
    return str(caught.value)


@pytest.mark.thorough
def test_labels_that_do_not_fit():
    """Every class has something to be trained on, or is left out by name."""
    has = "fashion_mnist:train has"
    assert f"{has} the class 9; set it to 10" in error_of("data.classes=4")
    nine = error_of("data.classes=5", "data.leave_out=9")
    assert f"{has} the class 8; set it to 10" in nine
    assert f"{has} nothing of class 10, 11" in error_of("data.classes=12")
    few = error_of("data.limit_train=3")
    assert "to train on; number the classes 0, 1, ..., take more of it" in few
    alone = ",".join(map(str, range(1, 10)))
    only = error_of(f"data.leave_out={alone}")
    assert "all of fashion_mnist:train is of class 0: a mixture is of several" in only
    # what is held back is not trained on
    assert "nothing of class" in error_of("data.limit_train=40", "data.validation=36")
    negative = error_of("train.negative=mnist:train")
    assert "is of maximum likelihood, and negatives" in negative
    for wrong, said in (("classes=-1", "at least 0"), ("condition=all", "couplings")):
        with pytest.raises(UserError, match=said):
            config_of(f"data.{wrong}")


def test_images_without_labels(tmp_path):
    from PIL import Image

    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for k, image in enumerate(
            data.load("fashion_mnist:test", source="embedded").images[:8]
        ):
            Image.fromarray(image[..., 0]).save(tmp_path / split / f"{k}.png")
    said = error_of(
        "data.source=folder",
        f"data.path={tmp_path}",
        "data.train=mine:train",
        "data.test=mine:test",
        "data.ood=mnist:test",
        "data.ood_source=embedded",
        "data.limit_train=0",
        "data.limit_test=0",
    )
    assert "needs labels, and mine:train comes without" in said


@pytest.mark.thorough
def test_commands_that_read_latents_refuse_them(by_base, by_couplings):
    base, couplings = map(TrainedFlow.restore, (by_base, by_couplings))
    with pytest.raises(UserError, match="a flow of 10 classes"):
        scored_flow(base)
    with pytest.raises(UserError, match="an image has other latents for each"):
        subject(couplings, InspectOptions())
    assert subject(base, InspectOptions(count=2)).modes
    with pytest.raises(UserError, match="`precision` looks at their round trip"):
        precision.main(couplings)
    with pytest.raises(UserError, match="here all flows are given the same noise"):
        samples.load(by_base, (), "base")
