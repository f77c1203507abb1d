"""The monitor's verdicts: false alarms, Bonferroni by hand, and what it refuses."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from flowjax_ood.data import Scenes
from flowjax_ood.data.checks import row_digests
from flowjax_ood.data.scenes import complete
from flowjax_ood.ood import Given, Monitor, Verdict

ITEMS = 3


@dataclass
class Level:
    """Scores an image by its first value, or all alike."""

    constant: bool = False
    known: frozenset = field(default_factory=frozenset)
    name = "level"

    def score(self, x, batch_size=250):
        return np.zeros(len(x)) if self.constant else x[:, 0, 0, 0].astype(float)


@dataclass
class Neighbour:
    """Scores an item by its second value, or all alike."""

    constant: bool = False
    known: frozenset = field(default_factory=frozenset)
    name = "neighbour"

    def score(self, scenes):
        levels = scenes.items[:, :, 0, 1, 0].astype(float)
        return 0 * levels if self.constant else levels


def scenes(count: int, seed: int) -> Scenes:
    items = np.random.default_rng(seed).integers(0, 256, (count, ITEMS, 2, 2, 1))
    labels = np.zeros((count, ITEMS), int)
    return Scenes(items.astype(np.uint8), labels, complete(ITEMS))


MONITOR = Monitor(Level(), Neighbour())
CALIBRATED = MONITOR.calibrate(scenes(99, 0))


def test_the_verdict_is_bonferroni_by_hand():
    tested, known = scenes(150, 1), scenes(99, 0)
    verdict = CALIBRATED(tested)
    assert isinstance(verdict, Verdict)
    p = []
    for at in (0, 1):
        calibration = known.items[:, :, 0, at, 0].ravel()
        scores = tested.items[:, :, 0, at, 0]
        below = (calibration <= scores[..., None]).sum(-1)
        p.append((1 + below / ITEMS) / 100)
    np.testing.assert_allclose(verdict.p_first, p[0], rtol=1e-12)
    np.testing.assert_allclose(verdict.p_second, p[1], rtol=1e-12)
    joint = np.minimum(1, 2 * np.minimum(*p))
    np.testing.assert_allclose(verdict.p, joint, rtol=1e-12)
    np.testing.assert_array_equal(verdict.alarm, joint <= 0.05)
    assert 0 < verdict.alarm.mean() < 0.06
    layer = np.where(p[0] <= p[1], 1, 2) * (joint <= 0.05)
    np.testing.assert_array_equal(verdict.layer, layer)
    assert set(verdict.layer.ravel().tolist()) == {0, 1, 2}


def test_false_alarms_over_calibrations_are_at_most_alpha():
    """And of one layer, p <= t as often as t says: it is not merely cautious."""
    rng = np.random.default_rng(0)
    count, s, alpha = 2000, 39, 0.1
    # the items of a scene depend on each other: half of a score is the scene's
    draws = rng.random((count, 2, s + 1, 1)) + rng.random((count, 2, s + 1, ITEMS))
    shape = scenes(1, 0)
    alarms, firsts = np.zeros((2, count))
    for k, (first, second) in enumerate(draws):
        known = tuple(np.sort(d[:s].ravel()) for d in (first, second))
        monitor = replace(
            CALIBRATED,
            alpha=alpha,
            scores=known,
            items=ITEMS,
            adjacency=shape.adjacency,
        )
        verdict = monitor.verdict(shape, first[s:], second[s:])
        # an item drawn at random: all of them have one law
        alarms[k] = verdict.alarm[0, 0]
        firsts[k] = verdict.p_first[0, 0] <= 0.2
    error = np.sqrt(alpha * (1 - alpha) / count)
    assert alarms.mean() <= alpha + 4 * error
    assert alarms.mean() > 0.4 * alpha
    assert 0.2 - 2 / (s + 1) - 4 * error < firsts.mean() <= 0.2 + 4 * error * 1.4


def test_a_constant_layer_never_rings():
    tested = scenes(200, 2)
    silent = Monitor(Level(), Neighbour(constant=True)).calibrate(scenes(99, 0))
    verdict = silent(tested)
    np.testing.assert_array_equal(verdict.p_second, 1)
    assert set(verdict.layer[verdict.alarm].tolist()) == {1}
    both = Monitor(Level(True), Neighbour(True)).calibrate(scenes(99, 0))
    assert not both(tested).alarm.any()


def test_few_scenes_warn_and_never_ring():
    with pytest.warns(UserWarning, match=r"38 scores give no p-value.*at least 39"):
        few = MONITOR.calibrate(scenes(38, 0))
    assert not few(scenes(500, 3)).alarm.any()
    enough = MONITOR.calibrate(scenes(39, 0))
    assert enough(scenes(500, 3)).alarm.any()


def test_what_it_refuses():
    with pytest.raises(ValueError, match=r"no calibration: monitor\.calibrate"):
        MONITOR(scenes(3, 0))
    held_out = scenes(50, 4)
    known = frozenset(row_digests(held_out.items[7, 2:]))
    for layer in ("first", "second"):
        of = {"first": Level(), "second": Neighbour()}
        of[layer].known = known
        with pytest.raises(
            ValueError,
            match=f"1 of 150 items .* {layer} layer, the f.* item 2 of scene 7",
        ):
            Monitor(**of).calibrate(held_out)
    for alpha in (0, 1, 2.0):
        with pytest.raises(ValueError, match="alpha must lie strictly between 0 and 1"):
            MONITOR.calibrate(held_out, alpha=alpha)
    more = np.zeros((2, 4, 2, 2, 1), np.uint8)
    other = Scenes(more, np.zeros((2, 4), int), complete(4))
    with pytest.raises(ValueError, match="calibrated on scenes of 3 items, got 4"):
        CALIBRATED(other)
    path = complete(ITEMS)
    path[0, 2] = path[2, 0] = False
    with pytest.raises(ValueError, match="other neighbours than those of calibration"):
        CALIBRATED(replace(scenes(3, 0), adjacency=path))
    with pytest.raises(ValueError, match="second"):
        CALIBRATED.verdict(scenes(1, 0), np.ones((1, 3)), np.full((1, 3), np.nan))


def test_what_a_layer_that_keeps_nothing_was_fitted_to_is_given():
    held_out = scenes(50, 4)
    train = np.concatenate([scenes(9, 5).flat, held_out.items[7, 1:2]])
    with pytest.raises(ValueError, match=r"first layer: 1 of 150 .* number 22: calib"):
        MONITOR.calibrate(held_out, given=Given(train_inputs=train))
    others = Given(train_inputs=train[:-1])
    assert len(MONITOR.calibrate(held_out, given=others).scores[0]) == 150


def test_scores_that_are_nan_calibrate_nothing():
    """Sorted, NaN would count as most usual, and make p-values too small."""
    held_out = scenes(50, 4)
    whole = Level.score

    class Broken(Level):
        def score(self, x, batch_size=250):
            found = whole(self, x)
            found[22] = np.nan
            return found

    with pytest.raises(ValueError, match=r"of the first layer\[22\] is NaN"):
        Monitor(Broken(), Neighbour()).calibrate(held_out)
