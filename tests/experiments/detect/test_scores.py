"""Detectors on a network: every row, of the sets it is for, computed once and kept."""

import shutil
import time
from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments.core import score_cache
from experiments.detect import detectors
from experiments.detect import scores as module
from flowjax_ood import ood
from flowjax_ood.interface.errors import UserError
from flowjax_ood.ood import protocols
from flowjax_ood.ood.network import Network
from flowjax_ood.ood.summaries import Summary
from tests.helpers import detect_stubs as stubs
from tests.helpers.detect_stubs import ID_NAME, OOD_NAMES

pytestmark = pytest.mark.thorough

CORRUPTED = ("fog 1", "fog 5")
# of logits, of training outputs, of layers, and one that is chosen by a protocol
FEW = ("MSP", "KNN", "FSSD (last layer)", "ODIN")


def rows(room, config=None, sets=None, network=None, tests=None):
    config = config or stubs.config(detectors=FEW)
    sets = sets or stubs.sets()
    network = network or stubs.network()
    tests = tests or stubs.tests_of(config, sets)
    return module.network_runs(config, sets, network, tests, room, "detectors")


@pytest.fixture(scope="module", autouse=True)
def _short():
    with pytest.MonkeyPatch.context() as patch:
        stubs.shorten(patch)
        yield


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    """`(room, {(row, protocol): scores})` of all rows."""
    room = tmp_path_factory.mktemp("scores") / "seed_0"
    return room, rows(room, stubs.config())


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """The same of some."""
    room = tmp_path_factory.mktemp("scores") / "seed_0"
    return room, rows(room)


@pytest.fixture
def copied(few, tmp_path):
    """A copy of that room."""
    return shutil.copytree(few[0], tmp_path / "seed_0")


def equal(found, other):
    assert found.keys() == other.keys()
    for pair, runs in found.items():
        for one, same in zip(runs, other[pair], strict=True):
            assert list(one.scores) == list(same.scores)
            for name, scores in one.scores.items():
                np.testing.assert_array_equal(scores, same.scores[name])
            assert replace(one, scores={}) == replace(same, scores={})


def test_all_that_the_lists_say_and_no_more(every):
    config, network = stubs.config(), stubs.network()
    plain = [d.name for d in detectors.plain(config, network.layers, 48)]
    chosen = [d.name for d in detectors.chosen(config, 48)]
    for names in (plain, chosen):
        assert len(set(names)) == len(names)
    assert {d.name for d in detectors.PUBLISHED if d.grid} < set(chosen)
    both = (detectors.LEAK_FREE, detectors.REPOSITORY)
    expected = {(name, detectors.NONE) for name in plain}
    expected |= {(name, protocol) for name in chosen for protocol in both}
    assert set(every[1]) == expected


def test_a_detector_that_cannot_be_fitted_is_named(tmp_path):
    """And what others have scored is kept."""
    few = stubs.config(detectors=("MSP", "Mahalanobis"), limit_fit=1)
    with pytest.raises(
        UserError, match=r"detector Mahalanobis leak_free: .*limit_fit, or"
    ):
        rows(tmp_path, few)
    assert len(stubs.kept_files(tmp_path)) == 1


def test_each_row_scores_the_sets_that_it_is_for(every):
    for (name, protocol), runs in every[1].items():
        # one that is chosen by an OOD set says nothing of another
        apart = protocol == detectors.REPOSITORY
        sets = [[ID_NAME, n] for n in OOD_NAMES] if apart else [[ID_NAME, *OOD_NAMES]]
        if (name, protocol) in detectors.SEVERITY:
            sets = [[*of, *CORRUPTED] for of in sets]
        assert [list(run.scores) for run in runs] == sets, (name, protocol)
        for run in runs:
            for scores in run.scores.values():
                assert scores.dtype == np.float32
                assert scores.shape == (24,)
    followed = {pair for pair, (run, *_) in every[1].items() if "fog 1" in run.scores}
    assert followed == set(detectors.SEVERITY)


def test_rows_say_what_they_were_chosen_by_and_need(every):
    found = every[1]
    first, second = found["FSSD", detectors.REPOSITORY]
    (free,) = found["FSSD", detectors.LEAK_FREE]
    weights = [tuple(run.chosen["weights"].values()) for run in (first, second, free)]
    assert len(set(weights)) == 3
    assert (first.scores[ID_NAME] != second.scores[ID_NAME]).any()
    assert found["KNN", detectors.NONE][0].needs == ["training data"]
    assert found["MSP", detectors.NONE][0].needs == []
    assert found["ODIN", detectors.LEAK_FREE][0].needs == ["gradients"]


def test_scores_are_those_of_the_detector_itself(every):
    config, sets, network = stubs.config(), stubs.sets(), stubs.network()
    tests = stubs.tests_of(config, sets)
    train = network.collect(sets.train.images)
    by_grey = detectors.given(sets, config, detectors.REPOSITORY, train, "grey")
    alone = {
        ("KNN", detectors.NONE): ood.KNN(),
        **{
            (d.name, detectors.REPOSITORY): d
            for d in detectors.chosen(config, 48)
            if d.name in ("ODIN", "Mahalanobis", "ViM")
        },
    }
    for pair, detector in alone.items():
        fitted = detector.fit(network, by_grey)
        for name, scores in every[1][pair][0].scores.items():
            expected = fitted.score(tests[name], 24)
            np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


def test_a_second_call_computes_nothing(every, monkeypatch):
    room, found = every
    before = stubs.kept_files(room)
    # and the predicted and the true classes
    assert len(before) == sum(map(len, found.values())) + 2
    stubs.forbid_detectors(monkeypatch)
    equal(rows(room, stubs.config()), found)
    assert stubs.kept_files(room) == before


def test_the_classes_of_what_is_tested_are_kept(few):
    room, _ = few
    config, sets, network = stubs.config(), stubs.sets(), stubs.network()
    tests = stubs.tests_of(config, sets)
    found = score_cache.read_kept(room / "predicted_class.npz").scores
    assert list(found) == list(tests)
    for name, x in tests.items():
        logits = network.collect(x).logits
        np.testing.assert_array_equal(found[name], np.argmax(logits, 1))
    rows = protocols.split(len(sets.test), config.detect.validation).test
    np.testing.assert_array_equal(sets.test.images[rows], tests[ID_NAME])
    (true,) = score_cache.read_kept(room / "true_class.npz").scores.values()
    np.testing.assert_array_equal(true, sets.test.labels[rows])
    # the blobs are easy: neither file is of other images
    assert (true == found[ID_NAME]).mean() > 0.9


def test_the_check_that_nothing_is_computed_can_fail(tmp_path, monkeypatch):
    stubs.forbid_detectors(monkeypatch)
    with pytest.raises(AssertionError, match="computed again"):
        rows(tmp_path)


def other_labels():
    sets = stubs.sets()
    labels = np.roll(sets.train.labels, 1)
    return {"sets": sets._replace(train=replace(sets.train, labels=labels))}


def other_training_pixel():
    sets = stubs.sets()
    images = sets.train.images.copy()
    images[3, 2, 1] ^= 1
    return {"sets": sets._replace(train=replace(sets.train, images=images))}


def other_tested_pixel():
    tests = stubs.tests_of(stubs.config(), stubs.sets())
    tests["grey"] = tests["grey"].copy()
    tests["grey"][5, 2, 1] ^= 1
    return {"tests": tests}


def other_variables():
    network = stubs.network()
    variables = network.variables | {"b": network.variables["b"].at[0].add(1e-6)}
    return {"network": replace(network, variables=variables)}


def other_config(**detect):
    def changed():
        tests = stubs.tests_of(stubs.config(), stubs.sets())
        return {"config": stubs.config(detectors=FEW, **detect), "tests": tests}

    return changed


@pytest.mark.parametrize(
    "change",
    [
        other_labels,
        other_training_pixel,
        other_tested_pixel,
        other_variables,
        other_config(validation=22),
        other_config(limit_fit=30),
    ],
    ids=["labels", "training pixel", "tested pixel", "variables", "validation", "fit"],
)
def test_what_scores_follow_from_makes_all_anew(copied, change):
    before = stubs.kept_files(copied)
    rows(copied, **change())
    after = stubs.kept_files(copied)
    assert after.keys() == before.keys()
    assert all(after[name] != before[name] for name in before)


def test_other_code_makes_all_anew(copied, monkeypatch):
    before = stubs.kept_files(copied)
    monkeypatch.setattr(score_cache, "_code", lambda: b"of another version")
    rows(copied)
    after = stubs.kept_files(copied)
    assert all(after[name] != before[name] for name in before)


def test_an_option_makes_its_own_rows_anew(copied, few):
    before = stubs.kept_files(copied)
    found = rows(copied, stubs.config(detectors=FEW, fssd_noise="uniform"))
    after = stubs.kept_files(copied)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"fssd_last_layer_none.npz"}
    pair = "FSSD (last layer)", detectors.NONE
    (scored,), (other,) = found.pop(pair), few[1][pair]
    assert (scored.scores[ID_NAME] != other.scores[ID_NAME]).any()
    equal(found, {key: runs for key, runs in few[1].items() if key != pair})


def test_a_corrupted_set_is_of_the_rows_that_see_it(copied):
    before = stubs.kept_files(copied)
    tests = stubs.tests_of(stubs.config(), stubs.sets())
    tests["fog 5"] = 255 - tests["fog 5"]
    rows(copied, tests=tests)
    after = stubs.kept_files(copied)
    changed = {name for name in before if after[name] != before[name]}
    names = ("msp_none", "knn_none", "fssd_last_layer_none")
    names += ("predicted_class", "true_class")
    assert changed == {f"{name}.npz" for name in names}


def test_the_forward_pass_counts_once_and_in_every_row(tmp_path, monkeypatch):
    collect, passes = Network.collect, []

    def slow(self, x, batch_size=250):
        time.sleep(0.24)
        passes.append(len(x))
        return collect(self, x, batch_size)

    monkeypatch.setattr(Network, "collect", slow)
    names = ("MSP", "MaxLogit", "Entropy", "ODIN (fixed setting)")
    config, sets = stubs.config(detectors=names), stubs.sets()
    tests = detectors.evaluated(sets, config)
    found = rows(tmp_path, config, sets, tests=tests)
    # 240 ms for each set of 24 inputs
    for name in names[:3]:
        assert found[name, detectors.NONE][0].ms_per_image >= 10
    assert found[names[3], detectors.NONE][0].ms_per_image < 10
    # training inputs and each set once, and a batch to compile
    assert passes == [60, 24, *[24] * 3]


def test_every_fit_gathers_its_own_summaries(monkeypatch):
    """Its seconds are its own: those of the first are not for all."""
    gathered, of = [], Summary.of

    def gathers(self, outputs, labels, seed):
        gathered.append(outputs)
        return of(self, outputs, labels, seed)

    monkeypatch.setattr(Summary, "of", gathers)
    network, sets = stubs.network(), stubs.sets()
    given = ood.Given(network.collect(sets.train.images), sets.train.labels)
    first, again = (module.fit(ood.Residual(), network, given) for _ in range(2))
    assert len(gathered) == 2
    # of the same outputs, which are not copied
    assert np.shares_memory(gathered[0].features, gathered[1].features)
    x = sets.test.images[:24]
    np.testing.assert_array_equal(first[0].score(x, 24), again[0].score(x, 24))
    assert min(first[1], again[1]) > 0


# --- ensembles ----------------------------------------------------------------------


def ensemble(room, seeds=(0, 1), **detect):
    config, sets = stubs.config(**detect), stubs.sets()
    tests = detectors.evaluated(sets, config)
    networks = [stubs.network(seed) for seed in seeds]
    return module.ensemble_runs(config, networks, tests, room)


def log_odds(z):
    p = np.exp(z - np.logaddexp.reduce(z, axis=1, keepdims=True)).max(axis=1)
    return np.log(p / (1 - p))


OF_MEAN = {
    "msp of mean logits": log_odds,
    "max mean logit": lambda z: z.max(axis=1),
    "energy of mean logits": lambda z: np.logaddexp.reduce(z, axis=1),
}


def test_one_network_is_no_ensemble(tmp_path):
    assert ensemble(tmp_path, seeds=(0,)) == {}
    assert ensemble(tmp_path, seeds=(0,), detectors=("Coherence",)) == {}
    assert ensemble(tmp_path, detectors=("MSP",)) == {}
    assert list(tmp_path.iterdir()) == []


def test_an_ensemble_has_all_definitions_and_is_kept(tmp_path, monkeypatch):
    found = ensemble(tmp_path)
    ways = ("mean max", "max mean", *OF_MEAN)
    *members, coherence = found.items()
    assert [row for row, _ in members] == [
        (f"Deep Ensembles ({way})", detectors.NONE) for way in ways
    ]
    assert coherence[0] == ("Coherence", detectors.NONE)
    config, sets = stubs.config(), stubs.sets()
    tests = detectors.evaluated(sets, config)
    for (_, (run,)), way in zip([*members, coherence], (*ways, None), strict=True):
        for name, x in tests.items():
            logits = [stubs.network(seed).collect(x).logits for seed in (0, 1)]
            p = np.asarray(jax.nn.softmax(np.stack(logits), axis=-1), np.float64)
            if way is None:
                first, second = p / np.linalg.norm(p, axis=2, keepdims=True)
                cosine = (first * second).sum(1)
                np.testing.assert_allclose(1 + run.scores[name], cosine, rtol=1e-5)
                continue
            p = p.max(-1).mean(0) if way == "mean max" else p.mean(0).max(-1)
            expected = np.log(p / (1 - p))
            if way in OF_MEAN:
                expected = OF_MEAN[way](np.mean(logits, axis=0, dtype=np.float64))
            np.testing.assert_allclose(run.scores[name], expected, rtol=1e-3)
        assert run.needs == ["more training"]
    kept = stubs.kept_files(tmp_path)
    with monkeypatch.context() as patch:
        stubs.forbid_detectors(patch)
        equal(ensemble(tmp_path), found)
    assert stubs.kept_files(tmp_path) == kept
    ensemble(tmp_path, seeds=(0, 2))
    again = stubs.kept_files(tmp_path)
    assert all(again[name] != kept[name] for name in kept)
    # by its own name, alone
    alone = ensemble(tmp_path / "alone", detectors=("Coherence",))
    assert list(alone) == [coherence[0]]
    for name, scores in coherence[1][0].scores.items():
        np.testing.assert_array_equal(alone[coherence[0]][0].scores[name], scores)
