"""Rows of what was trained besides: flows, and networks exposed to outliers."""

import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments.cli import run
from experiments.core import build, training_run
from experiments.core.config import load_config
from experiments.core.evaluation import TrainedFlow
from experiments.core.flow_passes import scored_flow
from experiments.core.run_config import read_config
from experiments.core.sets import load_sets
from experiments.detect import detectors, exposure, flow_scores, networks
from experiments.detect import flows as detect_flows
from flowjax_ood import ood
from flowjax_ood.evaluation.likelihood import evaluate_likelihood
from flowjax_ood.interface.errors import UserError
from flowjax_ood.ood.network import Network
from flowjax_ood.runtime.parallel import Parallel
from tests.helpers import detect_stubs as stubs
from tests.helpers.experiment_runs import only_error


def test_what_is_not_finite_ranks_lowest():
    found = detect_flows._ranked(np.float32([1, np.nan, -np.inf, np.inf]))
    np.testing.assert_array_equal(found, [1, -np.inf, -np.inf, -np.inf])


TERMS = [(name, "none") for name in detect_flows.TERMS.values()]


# --- flows --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """Of a flow with batch norm, after two steps, on clothing of 8x8 pixels."""
    place = tmp_path_factory.mktemp("flows") / "flow"
    config = stubs.flow_config(
        *("model.norm=batch", "data.image_size=8", "data.limit_train=64"),
        *("train.num_steps=2", "train.batch_size=32", "eval.recompute_batches=2"),
    )
    training_run.train(config, place, load_sets(config), "a flow")
    return place


@pytest.fixture(scope="module")
def restored(workdir):
    """`(flows, images to score)` of a config that names that workdir."""
    limits = ("data.limit_train=40", "data.limit_test=30", "data.image_size=8")
    config = load_config(stubs.CONFIG, limits)
    config.detect.flows = (str(workdir),)
    sets = load_sets(config)
    tests = {"fashion_mnist": sets.test.images[:9], "mnist": sets.ood["mnist"].images}
    return detect_flows.trained_flows(config, sets), tests


def moved(flow, by):
    """The flow with other parameters."""
    params = jax.tree.map(lambda a: a + by, flow.run.state.params)
    state = flow.run.state.replace(params=params)
    return replace(flow, run=replace(flow.run, state=state))


@pytest.mark.thorough
def test_a_flow_scores_by_its_likelihood(workdir, restored, tmp_path, monkeypatch):
    flows, tests = restored
    found = detect_flows.flow_runs(flows, tests, tmp_path)
    assert list(found) == TERMS
    both, pz, logdet = (found[pair][0][0] for pair in TERMS)
    trained = read_config(workdir)
    variables = TrainedFlow.restore(workdir).run.state.variables()
    flow = build.flow(trained, (8, 8, 1))
    # by statistics of training images: running ones explode on rare images
    precise = TrainedFlow.restore(workdir).variables
    leaves = (variables, precise, flows[0].variables)
    before, after, used = (jax.tree.leaves(v["batch_stats"]) for v in leaves)
    assert any((a != b).any() for a, b in zip(before, after, strict=True))
    assert all((a == b).all() for a, b in zip(used, after, strict=True))
    expected = evaluate_likelihood(
        flow,
        precise,
        np.concatenate(list(tests.values())),
        key=build.random_key(trained.eval.seed),
        batch_size=trained.eval.batch_size,
        parallel=Parallel("jit"),
    )
    for scored, term in zip((both, pz, logdet), detect_flows.TERMS):
        values = np.split(getattr(expected, term), [9])
        assert list(scored.scores) == list(tests)
        for scores, value in zip(scored.scores.values(), values, strict=True):
            np.testing.assert_allclose(scores, value, rtol=1e-5, atol=1e-2)
    for name in tests:
        total = pz.scores[name].astype(np.float64) + logdet.scores[name]
        np.testing.assert_array_equal(both.scores[name], total)
    assert both.needs == ["a flow"]
    assert both.chosen == {"images_seen": 64}

    # kept, by variables and images
    monkeypatch.setattr(detect_flows, "_likelihoods", stubs.never)
    again = detect_flows.flow_runs(flows, tests, tmp_path)
    for pair in TERMS:
        for name in tests:
            same = again[pair][0][0].scores[name]
            np.testing.assert_array_equal(same, found[pair][0][0].scores[name])
    inverted = tests | {"mnist": 255 - tests["mnist"]}
    changed = [moved(flows[0], 0.01)]
    for others, x in ((changed, tests), (flows, inverted)):
        with pytest.raises(AssertionError, match="computed again"):
            detect_flows.flow_runs(others, x, tmp_path)


def test_flows_of_several_seeds_share_their_rows(restored, tmp_path):
    (first,), tests = restored
    both = [first, moved(first, 0.05)]
    found = detect_flows.flow_runs(both, tests, tmp_path)
    assert list(found) == TERMS
    for runs in found.values():
        one, other = (run.scores["mnist"] for (run,) in runs)
        assert (one != other).any()
    assert {p.name for p in tmp_path.iterdir()} == {"flow_0", "flow_1"}


@pytest.mark.thorough
def test_other_scores_of_a_flow_have_rows(workdir, tmp_path, monkeypatch, capsys):
    limits = ("data.limit_train=400", "data.limit_test=300", "data.image_size=8")
    config = load_config(stubs.CONFIG, limits)
    config.detect.flows, config.detect.validation = (str(workdir),), 220
    sets = load_sets(config)
    flows = detect_flows.trained_flows(config, sets)
    tests = {"fashion_mnist": sets.test.images[-40:], "mnist": sets.ood["mnist"].images}
    own = tmp_path / "own"
    found = flow_scores.flow_score_runs(flows, config, sets, tests, own)
    scored = scored_flow(flows[0])
    names = [f"flow: {score.name}" for score in flow_scores.listed(scored)]
    assert list(found) == [(name, "none") for name in names]
    ((run,),) = found["flow: typicality", "none"]
    usual = scored.collect(
        detectors.validation(sets.test, sets, config)
    ).log_prob.mean()
    for name, x in tests.items():
        expected = -abs(scored.collect(x).log_prob - usual)
        np.testing.assert_allclose(run.scores[name], expected, rtol=1e-5, atol=0.05)
    tested = detectors.evaluated(sets, config)["fashion_mnist"]
    known = {x.tobytes() for x in tested}
    held_out = detectors.validation(sets.test, sets, config)
    assert not known & {x.tobytes() for x in held_out}

    # kept; and too few images are no reason to stop
    monkeypatch.setattr(flow_scores, "_scored", stubs.never)
    assert list(flow_scores.flow_score_runs(flows, config, sets, tests, own)) == list(
        found
    )
    monkeypatch.undo()
    config.detect.validation = 100
    few = flow_scores.flow_score_runs(flows, config, sets, tests, tmp_path / "few")
    assert list(few) == list(found)[:-1]
    assert "no scores by" in capsys.readouterr().err
    assert flow_scores.flow_score_runs([], config, sets, tests, own) == {}


@pytest.mark.thorough
def test_flows_that_do_not_belong_are_refused_before_any_training(
    workdir, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(networks, "train_classifier", stubs.never)
    empty = shutil.copytree(workdir, tmp_path / "empty")
    shutil.rmtree(empty / "checkpoints")
    place = tmp_path / "run"

    def error(flow, *overrides):
        keys = ("data.image_size=8", f"detect.flows={flow}", *overrides)
        arguments = [f"--config={stubs.CONFIG}", f"--workdir={place}"]
        assert run(["detect", *arguments, *(f"--config.{key}" for key in keys)]) == 2
        assert not place.exists()
        return only_error(capsys.readouterr().err)

    of = "is of fashion_mnist (8, 8, 1), those here are"
    small = error(workdir, "data.image_size=9")
    assert small == f"the flow in {workdir} {of} fashion_mnist (9, 9, 1)"
    swapped = ("data.train=mnist:train", "data.test=mnist:test")
    digits = error(workdir, *swapped, "data.ood=fashion_mnist:test")
    assert digits == f"the flow in {workdir} {of} mnist (8, 8, 1)"
    assert f"{tmp_path / 'none'} holds no run" in error(tmp_path / "none")
    for flows in (empty, f"{workdir},{empty}"):
        assert f"no checkpoint in {empty / 'checkpoints'}" in error(flows)


# --- networks exposed to outliers --------------------------------------------------


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """`(config, sets, network, its logits before, exposed network, facts, place)`."""
    config = load_config(
        stubs.CONFIG,
        (
            *("train.num_steps=4", "train.batch_size=8", "exposure.num_steps=3"),
            *("data.image_size=8", "data.limit_train=48", "data.limit_test=40"),
            *("parallel=jit", "exposure.learning_rate=0.05"),
        ),
    )
    sets = load_sets(config)
    place = tmp_path_factory.mktemp("networks") / "seed_0"
    trained = networks.train_classifier(config, place, sets, "training")
    network = Network.of(trained[0], jax.device_put(trained[1]))
    before = network.collect(sets.test.images).logits
    outliers = exposure.outliers(config, sets)
    exposed = exposure.exposed_network(config, sets, place, network, outliers, "told")
    return config, sets, network, before, *exposed, place


@pytest.mark.thorough
def test_the_network_that_was_told_is_another(told):
    _, sets, network, before, exposed, facts, place = told
    # not donated to the training that went on from them
    np.testing.assert_array_equal(network.collect(sets.test.images).logits, before)
    assert (exposed.collect(sets.test.images).logits != before).any()
    assert facts["steps"] == 3
    assert (place.with_name("seed_0_exposed") / "checkpoints" / "3").is_dir()


def test_its_row_is_msp_of_that_network(told, tmp_path, monkeypatch):
    config, sets, network, _, exposed, facts, _ = told
    tests = {"fashion_mnist": sets.test.images, "mnist": sets.ood["mnist"].images}
    found = exposure.exposed_run(config, exposed, facts, tests, tmp_path)
    plain = ood.MSP().fit(network)
    for name, x in tests.items():
        expected = ood.MSP().fit(exposed).score(x)
        np.testing.assert_allclose(found.scores[name], expected, rtol=1e-5, atol=1e-6)
        assert np.abs(found.scores[name] - plain.score(x)).max() > 1e-3
    assert found.needs == ["made outliers", "more training"]
    assert found.chosen == {"weight": 0.5, "steps": 3}
    assert found.fit_seconds == facts["train_seconds"]

    stubs.forbid_detectors(monkeypatch)
    again = exposure.exposed_run(config, exposed, facts, tests, tmp_path)
    np.testing.assert_array_equal(again.scores["mnist"], found.scores["mnist"])
    assert replace(again, scores={}) == replace(found, scores={})
    for changed, x in (
        (network, tests),
        (exposed, tests | {"mnist": 255 - tests["mnist"]}),
    ):
        with pytest.raises(AssertionError, match="computed again"):
            exposure.exposed_run(config, changed, facts, x, tmp_path)


def test_a_network_told_of_others_is_refused(told):
    config, sets, network, _, _, _, place = told
    with pytest.raises(UserError, match=r"the outliers of .*seed_0_exposed were other"):
        exposure.exposed_network(
            config, sets, place, network, 255 - sets.train.images, "told"
        )
