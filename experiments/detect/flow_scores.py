"""Rows of other scores of trained flows than likelihood, in the table of detectors."""

import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from experiments.core import score_cache
from experiments.core.evaluation import TrainedFlow
from experiments.core.flow_passes import Passes, scored_flow
from experiments.core.score_cache import Scored
from experiments.core.sets import Sets, drawn_rows
from experiments.detect import detectors
from flowjax_ood import ood
from flowjax_ood.runtime.messages import warn

# training images that scores are fitted to
FITTED = 2000


def listed(flow: ood.ScoredFlow) -> tuple[ood.FlowScore, ...]:
    """Scores of one pass of a flow, pixels alone aside."""
    return (
        ood.Typicality(),
        ood.InputComplexity(),
        ood.SITN(),
        ood.DoSE(),
        ood.Combined(ood.flow_only(flow), label="all statistics, rank-Gauss"),
    )


def flow_score_runs(
    flows: list[TrainedFlow],
    config: ConfigDict,
    sets: Sets,
    tests: dict[str, np.ndarray],
    directory: Path,
) -> dict[tuple[str, str], list[list[Scored]]]:
    """Score by every flow: `{(score, protocol): scores of each, kept in directory}`.

    Scores are fitted to training images and calibrated on the validation images, of the
    test set, that no row is tested on. One that cannot be, such as for too few images,
    has no row, and a warning says why.
    """
    runs: dict[tuple[str, str], list[list[Scored]]] = {}
    sizes = {n: len(x) for n, x in tests.items()}
    if not flows:
        return runs
    fitted = sets.inputs(sets.train, drawn_rows(len(sets.train), FITTED, config.seed))
    calibrated = detectors.validation(sets.test, sets, config)
    for number, trained in enumerate(flows):
        c, flow = trained.config, scored_flow(trained)
        of_data = score_cache.digest(
            [trained.variables, tests, fitted, calibrated],
            [c.eval.seed, c.eval.batch_size, c.train.negative],
        )
        passes = Passes(flow, c.eval.batch_size)
        given = cache(partial(_given, passes, fitted, calibrated))
        for score in listed(flow):
            name = f"flow: {score.name}"
            key = score_cache.digest(of_data, repr(score))
            own = directory / f"flow_{number}"
            compute = partial(_scored, trained, passes, score, given, tests)
            try:
                run = score_cache.kept(own, name, key, sizes, compute)
            except ValueError as error:
                warn(f"{trained.label}: no scores by {score.name}: {error}")
                continue
            runs.setdefault((name, detectors.NONE), []).append([run])
    return runs


def _given(passes: Passes, fitted: np.ndarray, calibrated: np.ndarray) -> ood.Given:
    return ood.Given(
        train=passes.outputs("fitted", fitted),
        id_validation=passes.outputs("calibrated", calibrated),
    )


def _scored(
    trained: TrainedFlow,
    passes: Passes,
    score: ood.FlowScore,
    given: Callable[[], ood.Given],
    tests: dict[str, np.ndarray],
) -> Scored:
    outputs = {name: passes.outputs(f"test {name}", x) for name, x in tests.items()}
    data, start = given(), time.monotonic()
    found = score.fit(passes.flow, data)
    fit_seconds, start = time.monotonic() - start, time.monotonic()
    scores = {name: found.score_outputs(o) for name, o in outputs.items()}
    spent = 1e3 * (time.monotonic() - start) / sum(map(len, scores.values()))
    train = trained.config.train
    return Scored(
        scores,
        ["a flow", *([f"outliers ({train.negative})"] if train.negative else [])],
        {"images_seen": trained.step * train.batch_size},
        fit_seconds,
        spent + passes.milliseconds,
    )
