"""Rows of trained flows in the table of detectors: likelihood and its two terms."""

import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from experiments.core import score_cache
from experiments.core.evaluation import TrainedFlow
from experiments.core.keys import kind
from experiments.core.run_config import read_config
from experiments.core.score_cache import Scored
from experiments.core.sets import Sets
from experiments.detect.detectors import NONE
from flowjax_ood.evaluation.likelihood import Likelihoods
from flowjax_ood.interface.errors import UserError

TERMS = {
    "log_prob": "flow: log p(x)",
    "log_pz": "flow: log p(z)",
    "logdet": "flow: log-determinant",
}


def trained_flows(config: ConfigDict, sets: Sets) -> list[TrainedFlow]:
    """Restore the flows in `detect.flows`.

    Raises UserError for workdirs without a run, and for flows of other images.
    """
    flows = []
    for workdir in map(Path, config.detect.flows):
        if kind(read_config(workdir)).classifies:
            raise UserError(
                f"{workdir} holds a classifier; config.detect.flows takes workdirs of "
                "the command `train`"
            )
        trained = TrainedFlow.restore(workdir, label=f"flow in {workdir.name}")
        own = trained.sets
        if (own.train.name, own.event_shape) != (sets.train.name, sets.event_shape):
            raise UserError(
                f"the flow in {workdir} is of {own.train.name} {own.event_shape}, those"
                f" here are {sets.train.name} {sets.event_shape}"
            )
        if own.bins != sets.bins:
            raise UserError(
                f"the flow in {workdir} is of images of {own.bins} values a pixel "
                f"(data.bins), and `detect` compares on 8-bit images, of {sets.bins}; "
                "leave it out of config.detect.flows"
            )
        c = trained.config.data
        if c.get("leave_out") or c.get("mutated"):
            raise UserError(
                f"the flow in {workdir} was trained without some classes or on mutated "
                "images (data.leave_out, data.mutated), and here it would stand for "
                "one of all images; leave it out of config.detect.flows"
            )
        trained.refuse_classes(
            "here it would stand for one without labels; leave it out of "
            "config.detect.flows"
        )
        flows.append(trained)
    return flows


def flow_runs(
    flows: list[TrainedFlow], tests: dict, directory: Path
) -> dict[tuple[str, str], list[list[Scored]]]:
    """Score by every flow: `{(term, protocol): scores of each, kept in directory}`."""
    runs: dict[tuple[str, str], list[list[Scored]]] = {}
    sizes = {n: len(x) for n, x in tests.items()}
    for number, trained in enumerate(flows):
        c = trained.config
        settings = [c.eval.seed, c.eval.batch_size, c.train.negative]
        key = score_cache.digest(trained.variables, tests, settings)
        likelihoods = cache(partial(_likelihoods, trained, tests))
        for term, name in TERMS.items():
            compute = partial(_scored, trained, term, likelihoods)
            own = directory / f"flow_{number}"
            run = score_cache.kept(own, name, key, sizes, compute)
            runs.setdefault((name, NONE), []).append([run])
    return runs


def _scored(trained: TrainedFlow, term: str, likelihoods: Callable) -> Scored:
    (terms, seconds), train = likelihoods(), trained.config.train
    scores = {n: _ranked(getattr(ll, term)) for n, ll in terms.items()}
    return Scored(
        scores,
        ["a flow", *([f"outliers ({train.negative})"] if train.negative else [])],
        {"images_seen": trained.step * train.batch_size},
        fit_seconds=0.0,
        ms_per_image=1e3 * seconds / sum(map(len, scores.values())),
    )


def _ranked(values) -> np.ndarray:
    """Values of which those that are not finite are the lowest, as in `evaluate`."""
    values = np.asarray(values)
    return np.where(np.isfinite(values), values, -np.inf)


def _likelihoods(trained: TrainedFlow, tests: dict) -> tuple[dict, float]:
    """`({set: Likelihoods}, seconds)` of a flow, all sets in one pass."""
    start = time.monotonic()
    events = np.concatenate(list(tests.values()))
    whole = trained.score(events, f"likelihood, {trained.label}")
    ends = np.cumsum([len(x) for x in tests.values()])[:-1]
    parts = zip(np.split(whole.log_pz, ends), np.split(whole.logdet, ends))
    split = [Likelihoods(pz, logdet, whole.dims) for pz, logdet in parts]
    return dict(zip(tests, split)), time.monotonic() - start
