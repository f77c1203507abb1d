"""Means over seeds, pairs of them, and whether expectations held: by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiments.core.config import load_config
from experiments.core.keys import Kind
from experiments.core.pixel_gaussian import NAME as PCA
from experiments.steal import detection, images
from experiments.steal.attacks import ATTACKS, DIGITS, SOFT
from experiments.steal.command import summary
from experiments.steal.page import document, expectations, figure
from experiments.steal.targets import KEYED, MEMBERS, ONE, PLAIN, TOLD
from tests.helpers.experiment_runs import CONFIGS

CONFIG = f"{CONFIGS / 'fashion_mnist_steal.py'}:smoke"
SETS = (images.DIGITS, images.UPPER, "fog", images.HELD_OUT, images.MADE_OF_TEST)
CLONES = {ONE: (0.6, 0.7), KEYED: (0.4, 0.3)}
ROWS = [PCA, f"{ONE}: MSP", detection.EXPOSED]
ROWS += [detection.row_name(t, d) for t in MEMBERS for d in detection.DETECTORS]


def results(agreed=0.2, averaged=0.1, own=0.8):
    """Of two seeds; clones of averaged answers are better by `averaged`."""
    clones = {
        a.name: [
            {
                "target": own if a.target == KEYED else 0.8,
                "clone": CLONES.get(a.target, (0.5, 0.5))[k] + averaged * a.adaptive,
                "relative": 0.5,
                "agreement": 0.4,
                "loss": 0.1,
                "queries": 80,
            }
            for k in range(2)
        ]
        for a in ATTACKS
    }
    coherent = {images.CLOTHING: 0.95} | dict.fromkeys(SETS, agreed)
    areas = {n: {s: 0.9 if n == PCA else 0.8 for s in SETS} for n in ROWS}
    areas[detection.row_name(KEYED, "coherence")]["fog"] = 0.95
    by_members = dict.fromkeys(MEMBERS.values(), coherent)
    # half of these digits were told
    by_members[MEMBERS[TOLD]] = coherent | {images.DIGITS: None}
    detected = [{"auroc": areas, "coherence": by_members}] * 2
    loaded = SimpleNamespace(
        train=np.zeros(9),
        similar=np.zeros(3),
        queries=np.zeros(8),
        hashed=np.zeros(7),
        sets={images.CLOTHING: np.zeros(5)} | {n: np.zeros(4) for n in SETS},
        origin={"clothing": "drawn"},
    )
    config = load_config(CONFIG, ["served.seeds=2"], Kind.SERVED)
    return summary(config, loaded, clones, detected)


def attack(found, name, averaged=False):
    (row,) = [
        a
        for a in found["attacks"]
        if (a["name"], a["queries"], a["output"], a["averaged"])
        == (name, DIGITS, SOFT, averaged)
    ]
    return row


def test_seeds_are_averaged_and_paired():
    found = results()
    row = attack(found, KEYED)
    assert row["clone"]["mean"] == pytest.approx(0.35)
    assert row["clone"]["std"] == pytest.approx(np.std([0.4, 0.3], ddof=1))
    less = row["clone_less_than_one_network"]
    np.testing.assert_allclose(less["per_seed"], [0.2, 0.4])
    # once asked is what averaged answers are compared with
    less = attack(found, KEYED, averaged=True)["clone_less_than_one_network"]
    np.testing.assert_allclose(less["per_seed"], [0.1, 0.3])
    assert attack(found, ONE)["clone_less_than_one_network"]["per_seed"] == [0, 0]
    assert found["seeds"] == [0, 1]


@pytest.mark.parametrize(
    ("changes", "held"),
    [
        ({}, [True, True, True, True, True]),
        ({"own": 0.78}, [False, True, True, True, True]),
        ({"agreed": 0.4}, [True, True, True, True, False]),
        ({"averaged": -0.1}, [True, True, False, True, True]),
    ],
)
def test_expectations_are_what_the_numbers_say(changes, held):
    lines = expectations(results(**changes))
    assert [said == "yes" for *_, said in lines[:5]] == held
    measured = [line[1] for line in lines]
    # 0.35 of 0.65
    assert measured[1] == "46 % below"
    # fog alone, of four sets; made outliers do not count
    assert measured[5:] == ["on 1 of 4", "on 1 of 4"]
    assert [said for *_, said in lines[5:]] == ["no", "no"]


def test_the_page_and_the_figure_have_all_rows():
    found = results()
    text = document(found, None).markdown()
    for name in ROWS:
        assert f"| {name} |" in text
    assert f"| {PLAIN} | 80.0 ± 0.0 | 50.0 ± 0.0 |" in text
    # the first is of test images
    assert f"| {MEMBERS[TOLD]} | 0.950 | – | 0.200 |" in text
    clones, areas, coherence = figure(found).axes
    assert len(clones.get_yticks()) == len(ATTACKS)
    assert len(areas.get_yticks()) == len(SETS)
    assert len(coherence.get_yticks()) == len(SETS) + 1
