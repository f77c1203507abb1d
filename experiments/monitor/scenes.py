"""The scenes of a run: to learn from, to calibrate by, and to test."""

from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from experiments.core.data_identity import of_sets
from experiments.core.set_names import ood_names
from experiments.core.systems import images, labels_of
from flowjax_ood.data import Scenes, exchanged, outfit_scenes
from flowjax_ood.data.corruptions import corrupt
from flowjax_ood.data.random import permutation
from flowjax_ood.data.scenes import OUTFITS, STRAY
from flowjax_ood.data.sets import ImageSet
from flowjax_ood.interface.errors import UserError, user_errors
from flowjax_ood.ood.p_values import ROUNDING

# scenes that are drawn, each with a seed of its own: contexts and classes are functions
# of the seed, whatever the images
ROLES = ("train", "calibrate", "test")


class RunScenes(NamedTuple):
    """Images to train on, the scenes of a run, and items to put in place of items 0.

    * `outliers`: `{set: uint8 [S, H, W, C]}`, one for each scene of `test`;
    * `others`: those that are of other sets, not made of the items they replace;
    * `before`, `after`: scenes whose items 0 were exchanged.
    """

    train: ImageSet
    learn: Scenes
    calibrate: Scenes
    test: Scenes
    outliers: dict[str, np.ndarray]
    others: tuple[str, ...]
    before: Scenes
    after: Scenes

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """What a run goes on with besides its training images, by what it is."""
        return {"test scenes": self.test.items, **of_sets(self.outliers)}


def run_scenes(config: ConfigDict) -> RunScenes:
    """Load the sets of a config and draw its scenes.

    Classifier, density and context see the first training images, calibration scenes
    are of the last, and those tested of the test images. Contexts and classes of each
    are drawn apart from those of the others. Raises UserError for sets that are too
    small.
    """
    c, d = config.scenes, config.data
    every = images(config, d.train, d.limit_train)
    tested = images(config, d.test, d.limit_test)
    _check(config, every)
    others = {}
    for name, spec in zip(ood_names(d.test, d.ood), d.ood, strict=True):
        pool = images(config, spec).images
        if len(pool) < c.test:
            raise UserError(
                f"{spec} has {len(pool)} images, and there are {c.test} scenes to put "
                "one in: set config.scenes.test to less"
            )
        rows = permutation(len(pool), config.seed, "outliers", name)[: c.test]
        others[name] = pool[rows]
    cut = len(every) - c.held_back
    train, held_out = every.at(slice(cut)), every.at(slice(cut, None))
    with user_errors("config.scenes", ValueError):
        learn, calibrate, test = (
            outfit_scenes(
                of,
                items=c.per_scene,
                count=c[role],
                seed=len(ROLES) * config.seed + number,
            )
            for number, (role, of) in enumerate(
                zip(ROLES, (train, held_out, tested), strict=True)
            )
        )
        before, after = exchanged(test)
        made = {
            kind: corrupt(test.items[:, 0], kind, c.severity, config.seed)
            for kind in c.corrupted
        }
    _check_learning(config, train, learn)
    outliers, names = others | made, tuple(others)
    return RunScenes(train, learn, calibrate, test, outliers, names, before, after)


def _check(config: ConfigDict, train: ImageSet) -> None:
    """Raise UserError for settings that would fail once a classifier is trained."""
    c = config.scenes
    if c.held_back >= len(train):
        raise UserError(
            f"config.scenes.held_back={c.held_back} of {len(train)} training images "
            "leaves none to train on: give less"
        )
    height, width, _ = train.images.shape[1:]
    if height % c.explanation_grid or width % c.explanation_grid:
        raise UserError(
            f"config.scenes.explanation_grid={c.explanation_grid} does not divide "
            f"images of {height} x {width} pixels: give a divisor of both sides"
        )
    if 2 / (c.calibrate + 1) > c.alpha * (1 + ROUNDING):
        raise UserError(
            f"config.scenes.calibrate={c.calibrate} scenes give no p-value as small as "
            f"alpha={c.alpha:g} of two layers: the monitor would never ring"
        )


def _check_learning(config: ConfigDict, train: ImageSet, learn: Scenes) -> None:
    """The same, of what the joint density and the context are learned from."""
    c, pixels = config.scenes, int(np.prod(train.images.shape[1:]))
    if c.inputs > pixels:
        raise UserError(
            f"config.scenes.inputs={c.inputs} principal components of images of "
            f"{pixels} pixels: give at most {pixels}"
        )
    classes = int(labels_of(train).max()) + 1
    if (numbers := c.inputs + classes + c.explanation_grid**2) >= len(train):
        raise UserError(
            f"config.scenes.inputs={c.inputs}, {classes} classes and "
            f"explanation_grid={c.explanation_grid} squared are {numbers} numbers of "
            "an image, and a density "
            f"of them needs more than the {len(train)} images there are to train on: "
            "give less inputs, or less held_back"
        )
    if absent := sorted({*range(classes)} - {*learn.labels.ravel().tolist()}):
        raise UserError(
            f"none of config.scenes.train={c.train} scenes has an item of class "
            f"{', '.join(map(str, absent))}: give more"
        )


def exact_log_prob(scenes: Scenes) -> np.ndarray:
    """`log p(class of item 0 | true classes of the others)`, float64 `[S]`.

    By the law that outfits are drawn from: what a context could know at best.
    """
    classes = np.unique(np.concatenate(OUTFITS))
    weights = np.array([np.where(np.isin(classes, o), 1.0, STRAY) for o in OUTFITS])
    log_rates = np.log(weights / weights.sum(1, keepdims=True))
    log_rates = log_rates[:, np.searchsorted(classes, scenes.labels)]  # [C, S, N]
    log_context = log_rates[..., 1:].sum(-1)
    log_context -= np.logaddexp.reduce(log_context, axis=0)
    return np.logaddexp.reduce(log_context + log_rates[..., 0], axis=0)
