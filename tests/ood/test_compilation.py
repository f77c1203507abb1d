"""Programs are shared: a second network of an architecture compiles nothing."""

from dataclasses import replace

import flax.linen as nn
import jax
import numpy as np
import pytest

from flowjax_ood import ood
from flowjax_ood.ood import FSSD, ODIN, Given, MahalanobisLayers, MCDropout, Network

SHAPE, LABELS = (4, 4, 1), np.arange(64) % 3
MAGNITUDES = (0.05, 0.0)
EVERY = [
    *(ood.MSP(), ood.MaxLogit(), ood.Energy(), ood.Entropy(), ood.GEN()),
    *(ood.KLMatching(), ood.ReAct(), ood.ASH("p"), ood.ASH("b"), ood.ASH("s")),
    *(ood.SCALE(), ood.DICE(), ood.KNN(5), ood.MahalanobisFeatures()),
    *(ood.RelativeMahalanobis(), ood.ViM(), ood.SHE(), ood.FDBD(), ood.GradNorm()),
    *(ood.NNGuide(), FSSD(), FSSD("validation", "conv", (0.1,))),
    FSSD(weights="logistic", magnitudes=MAGNITUDES, form="zscore_sample"),
    FSSD.repository(magnitudes=MAGNITUDES, batch_size=32),
    *(ODIN(MAGNITUDES, (1.0, 10.0)), ODIN((0.01,), (10.0,))),
    *(MahalanobisLayers("uniform", (0.01,)), MahalanobisLayers("logistic", MAGNITUDES)),
    *(MCDropout(3), MCDropout(3, "var")),
    *(ood.WeiPer(repeats=3, bins=9), ood.NACUE(images=9), ood.Gram((1, 3))),
    *(ood.NACUE(("conv",)), ood.RankFeat(), ood.AdaSCALE("a"), ood.AdaSCALE("l")),
    *(ood.IODIN(), ood.NECO(), ood.OpenMax(), ood.GrOOD("mean")),
]


class Tiny(nn.Module):
    """A classifier as LeNet is one, small enough to compile fast."""

    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.4,)

    layers = ("conv", "units", "logits")
    penultimate = "units"

    def setup(self):
        self.conv, self.units = nn.Conv(2, (3, 3)), nn.Dense(12)
        self.drop, self.last = nn.Dropout(0.5), nn.Dense(3)

    def __call__(self, x):
        return self.taps(x)[1]

    def taps(self, x, replaced=None):
        conv = nn.relu(self.conv((x - self.mean[0]) / self.std[0]))
        conv = (replaced or {}).get("conv", conv)
        units = nn.relu(self.units(conv.reshape(len(x), -1)))
        dropped = self.drop(units, deterministic=not self.has_rng("dropout"))
        logits = self.last(dropped)
        return {"conv": conv, "units": units, "logits": logits}, logits

    @nn.nowrap
    def head(self, variables):
        last = variables["params"]["last"]
        return last["kernel"], last["bias"]


INITIAL = jax.jit(Tiny().init)


def tiny(seed: int) -> Network:
    """Of a module of its own, equal to the others; with dead features for odd seeds."""
    variables = INITIAL(jax.random.key(seed), np.zeros((1, *SHAPE), np.float32))
    variables = jax.tree.map(np.array, variables)
    variables["params"]["units"]["bias"][: 2 * (seed % 2)] = -99
    return Network.of(Tiny(), variables)


NETWORKS = [tiny(seed) for seed in range(4)]


def images(count, seed):
    return np.random.RandomState(seed).rand(count, *SHAPE).astype(np.float32)


def fit_and_score(detector, network, seed):
    """Fitted to numbers by the seed, of the same shapes; scores of the same inputs."""
    inside, outside = images(64, seed), images(64, seed + 1) ** 2
    x = images(64, seed + 2)
    train = network.collect(x)
    given = Given(train, LABELS, inside, outside, seed, train_inputs=x)
    return detector.fit(network, given).score(images(32, 99))


class Compilations:
    count = 0

    def heard(self, event, seconds, **_):
        self.count += event == "/jax/core/compile/backend_compile_duration"


@pytest.fixture(scope="module")
def compilations():
    found = Compilations()
    jax.monitoring.register_event_duration_secs_listener(found.heard)
    return found


@pytest.mark.parametrize("detector", EVERY, ids=repr)
def test_a_second_network_compiles_nothing(detector, compilations):
    first = fit_and_score(detector, NETWORKS[0], 0)
    compilations.count = 0
    second = fit_and_score(detector, NETWORKS[1], 10)
    assert compilations.count == 0
    assert not np.array_equal(first, second)


def test_a_second_ensemble_compiles_nothing(compilations):
    first = ood.DeepEnsemble().fit(NETWORKS[:2]).score(images(32, 99))
    compilations.count = 0
    second = ood.DeepEnsemble().fit(NETWORKS[2:]).score(images(32, 99))
    assert compilations.count == 0
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    "detector",
    [ood.ViM(), FSSD(magnitudes=(0.1,)), ODIN((0.01,), (10.0,)), MCDropout(3)],
    ids=lambda d: d.name,
)
def test_shared_programs_keep_no_numbers(detector, compilations):
    """The same scores by programs of its own, which are compiled: the count hears."""
    shared = [fit_and_score(detector, network, 5) for network in NETWORKS[:2]][1]
    of = NETWORKS[1]
    alone = replace(
        of,
        apply=lambda variables, x: of.apply(variables, x),
        sample=lambda variables, x, key: of.sample(variables, x, key),
    )
    compilations.count = 0
    own = fit_and_score(detector, alone, 5)
    assert compilations.count > 0
    np.testing.assert_allclose(shared, own, rtol=1e-4, atol=1e-4)


def test_fssds_of_other_settings_share_their_programs(compilations):
    """Noise, weights, the step's sign and magnitude, and the form but for itself."""
    fit_and_score(FSSD(magnitudes=(0.1,)), NETWORKS[0], 0)
    fit_and_score(FSSD(magnitudes=(0.1,), form="zscore_sample"), NETWORKS[0], 0)
    compilations.count = 0
    for changes in (
        {"noise": "repository", "sign": -1},
        {"form": "zscore_sample", "weights": "units", "magnitudes": (0.3,)},
        {"weights": "logistic", "magnitudes": (0.3, 0.2, 0.1), "noise": "validation"},
    ):
        fit_and_score(FSSD(**({"magnitudes": (0.1,)} | changes)), NETWORKS[1], 7)
    assert compilations.count == 0


def test_networks_of_unlike_modules_differ():
    """No program of one serves the other."""
    other = Tiny(mean=(0.1,))
    network = Network.of(other, NETWORKS[0].variables)
    assert network.apply != NETWORKS[0].apply
    assert network.apply != network.sample
    x = images(32, 3)
    found, expected = (n.collect(x).logits for n in (network, NETWORKS[0]))
    assert not np.allclose(found, expected)
    np.testing.assert_allclose(
        found, other.apply(NETWORKS[0].variables, x), rtol=1e-4, atol=1e-5
    )


def test_modules_with_lists_are_networks(compilations):
    """Which have no hash; equal ones share programs all the same."""
    x = images(32, 3)
    variables = NETWORKS[0].variables
    one, other = (Network.of(Tiny(mean=[0.5]), variables) for _ in range(2))
    assert hash(one.apply) == hash(other.apply)
    one.collect(x)
    compilations.count = 0
    found = other.collect(x).logits
    assert compilations.count == 0
    np.testing.assert_allclose(found, NETWORKS[0].collect(x).logits, rtol=1e-6)
