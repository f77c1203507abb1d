"""Rounds: plain training in the simplest case, resumed bit for bit, in any order."""

from dataclasses import replace

import flax.linen as nn
import jax
import numpy as np
import pytest

from flowjax_ood import ood
from flowjax_ood.federated import (
    Federation,
    Settings,
    VirtualOutliers,
    partition,
    rounds,
)
from flowjax_ood.training.batches import Stream
from flowjax_ood.training.classifier_objectives import CrossEntropy
from flowjax_ood.training.logs.window import NonFiniteLossError
from flowjax_ood.training.state import fine_tuning_state
from flowjax_ood.training.step import make_train_step
from tests.federated.toy import Small, blobs, same

X, LABELS = blobs(160)
PARTS = partition(LABELS, 4, 2)
KEY = jax.random.key(1)
SETTINGS = Settings(
    rounds=4,
    steps=5,
    batch_size=16,
    private=("last",),
    outliers="generated",
    begin=2,
    pool=32,
    generator_steps=10,
    generator_batch=16,
    hidden=8,
    draws=50,
)
MODULE = Small()


def trained(settings=SETTINGS, parts=PARTS, **options):
    return rounds(MODULE, parts, X, LABELS, settings, KEY, **options)


@pytest.fixture(scope="module")
def run():
    kept = []
    found = trained(kept=lambda state, metrics: kept.append(state))
    return found, kept


@pytest.mark.thorough
def test_it_goes_on_from_a_kept_state_bit_for_bit(run):
    found, kept = run
    assert [int(state.round) for state in kept] == [1, 2, 3, 4]
    for state in kept[1:3]:
        # as a checkpoint gives it back
        state = jax.tree.map(np.array, state)
        assert same(trained(start=state).state, found.state)
    assert same(trained(start=found.state).state, found.state)


def test_the_order_of_clients_changes_nothing(run):
    _, kept = run
    federation = Federation(MODULE, PARTS, X, LABELS, SETTINGS, KEY)
    turned, _ = federation.advance(kept[1], order=(3, 0, 2, 1))
    assert same(turned, kept[2])
    for order in ((0,), (0, 1, 2, 2), (0, 1, 2, 4)):
        with pytest.raises(ValueError, match="each of the 4 clients once"):
            federation.advance(kept[1], order=order)


def test_rounds_before_outliers_begin_are_those_without(run):
    _, kept = run
    plain = trained(replace(SETTINGS, outliers="none"), until=2)
    assert same(plain.state, kept[1])
    other = trained(replace(SETTINGS, outliers="none"), start=kept[1], until=3)
    assert not same(other.state.private, kept[2].private)


def test_shared_layers_are_equal_and_heads_are_not(run):
    found, _ = run
    clients = [v["params"] for v in found.clients]
    assert all(same(c["body"], clients[0]["body"]) for c in clients)
    assert not same(clients[0]["last"], clients[1]["last"])
    assert same(found.server["params"]["body"], clients[0]["body"])


def test_the_log_says_what_was_learned(run):
    found, _ = run
    assert [set(log) > {"loss", "accuracy"} for log in found.log] == [0, 0, 1, 1]
    last = found.log[-1]
    assert last["accuracy"] > 0.95
    assert last["outlier_loss"] >= np.log(2)
    assert {"outlier_norm", "generator_loss", "generator_accuracy"} < {*last}


def test_a_network_has_the_logits_of_its_own_classes(run):
    found, _ = run
    for client, part in enumerate(PARTS):
        network = found.network(client)
        outputs = network.collect(X[:30])
        own = np.unique(LABELS[part])
        whole = MODULE.apply(found.clients[client], X[:30])
        np.testing.assert_allclose(outputs.logits, whole[:, own], rtol=1e-5)
        w, b = network.head
        np.testing.assert_allclose(outputs.features @ w + b, whole[:, own], atol=1e-4)
        fitted = ood.MSP().fit(network, ood.Given())
        assert np.isfinite(fitted.score(X[:30])).all()
        mine = np.isin(LABELS, own)
        right = own[network.collect(X).logits.argmax(1)] == LABELS
        assert right[mine].mean() > 0.95


@pytest.mark.parametrize("outliers", ["own_tails", "real"])
def test_other_outliers_are_features_too(run, outliers):
    _, kept = run
    settings = replace(SETTINGS, outliers=outliers)
    found = trained(settings, start=kept[1], until=3)
    assert found.log[0]["outlier_loss"] > 0
    assert not same(found.state, kept[2])
    federation = Federation(MODULE, PARTS, X, LABELS, settings, KEY)
    params = kept[1].params(0)
    pool = federation._pool(0, params, kept[1].generator, 2)
    assert pool.shape == (32, 8)
    own = np.unique(LABELS[PARTS[0]])
    outside = ~np.isin(LABELS, own)
    taps = MODULE.apply({"params": params}, X, method="taps")[0]["body"]
    gaps = np.abs(pool[:, None] - np.asarray(taps)[None]).max(-1)
    if outliers == "real":
        # each is the feature of an image of an external class
        assert (gaps[:, outside].min(1) < 1e-5).all()
    else:
        assert (gaps.min(1) > 1e-5).all()


@pytest.mark.thorough
def test_one_client_and_one_round_is_plain_training():
    settings = Settings(rounds=1, steps=6, batch_size=16, private=(), restricted=False)
    part = [np.arange(len(X))]
    found = trained(settings, part)
    federation = Federation(MODULE, part, X, LABELS, settings, KEY)
    stream = federation._batches[0]
    assert isinstance(stream, Stream)
    optimizer = settings.recipe.optimizer()
    step = make_train_step(CrossEntropy(MODULE), optimizer)
    start = federation.start()
    state = fine_tuning_state(optimizer, {"params": start.shared})
    key = federation._of(0, 0)
    step = jax.jit(step)
    for at in range(6):
        state, _ = step(state, stream(at), key)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
        found.state.shared,
        state.params,
    )


def test_nothing_is_averaged_where_all_is_private():
    settings = replace(SETTINGS, outliers="none", private=("body", "last"))
    found = trained(settings, until=1)
    assert found.state.shared == {}
    bodies = [private["body"] for private in found.state.private]
    assert not same(bodies[0], bodies[1])


class Normed(Small):
    def setup(self):
        super().setup()
        self.norm = nn.BatchNorm(use_running_average=True)

    def taps(self, x):
        return super().taps(self.norm(x))


TWICE = [PARTS[0], PARTS[0], *PARTS[2:]]
LACKING = [part[LABELS[part] != 3] for part in partition(LABELS, 2, 3, seed=1)]


@pytest.mark.parametrize(
    ("module", "parts", "changes", "said"),
    [
        (MODULE, PARTS, {"private": ("lsat",)}, "'lsat' is not .* did you mean 'last'"),
        (MODULE, PARTS, {"batch_size": 99}, r"client 0 has \d+ examples, fewer than"),
        (MODULE, [*PARTS[:3], PARTS[3] + 150], {}, "client 3: parts must be rows 0 .*"),
        (MODULE, [p / 1 for p in PARTS], {}, "client 0: parts must be rows"),
        (MODULE, TWICE, {}, "client 1 has rows that are given twice"),
        (MODULE, [np.flatnonzero(LABELS == 2)], {}, "client 0 has fewer than two cl"),
        (MODULE, [np.arange(160)], {}, "client 0 has all 4 classes"),
        (MODULE, LACKING, {"outliers": "generated"}, "no client has class 3"),
        (
            MODULE,
            LACKING,
            {"outliers": "real"},
            "no client has class 3, and outliers='",
        ),
        (Small(classes=7), PARTS, {}, "7 logits, and labels are of 4 classes"),
        (Normed(), PARTS, {}, "batch statistics"),
    ],
)
def test_what_is_no_federation_is_refused(module, parts, changes, said):
    with pytest.raises(ValueError, match=said):
        Federation(module, parts, X, LABELS, replace(SETTINGS, **changes), KEY)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rounds": 0}, "rounds must be at least 1, got 0"),
        ({"keep": 51}, r"keep must lie in 1 ... draws \(50\), got 51"),
        ({"outliers": "some"}, "unknown outliers 'some'; known: none, generated"),
        ({"restricted": False}, "set restricted=True"),
        ({"learning_rate": -1.0}, "learning_rate must be positive"),
        ({"begin": -1}, "begin must be at least 0"),
    ],
)
def test_settings_are_checked(changes, said):
    with pytest.raises(ValueError, match=said):
        replace(SETTINGS, **changes)


def test_rounds_that_are_past_are_refused(run):
    found, _ = run
    with pytest.raises(ValueError, match="rounds 4 to 3 of 4"):
        trained(start=found.state, until=3)
    with pytest.raises(ValueError, match="rounds 0 to 5 of 4"):
        trained(until=5)


def test_a_loss_that_is_not_finite_names_client_and_round():
    x = X.copy()
    x[PARTS[2]] = np.nan
    with pytest.raises(NonFiniteLossError, match="client 2, round 0: loss is nan"):
        rounds(MODULE, PARTS, x, LABELS, SETTINGS, KEY)


@pytest.mark.thorough
def test_a_head_that_is_unsure_of_real_outliers_tells_them_apart():
    """The ceiling is above plain heads on classes that clients never saw."""
    base = replace(SETTINGS, rounds=6, begin=1, pool=64)
    plain = trained(replace(base, outliers="none"))
    told = trained(replace(base, outliers="real", objective=VirtualOutliers(1.0)))
    areas = []
    for found in (plain, told):
        of_clients = []
        for client, part in enumerate(PARTS):
            inside = np.isin(LABELS, np.unique(LABELS[part]))
            fitted = ood.MSP().fit(found.network(client), ood.Given())
            of_clients.append(
                ood.auroc(fitted.score(X[inside]), fitted.score(X[~inside])).value
            )
        areas.append(np.mean(of_clients))
    assert areas[1] > areas[0] + 0.02
