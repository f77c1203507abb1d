"""Trained flows as rows beside the detectors: likelihood and its two terms."""

import time
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from experiments.core import build, evaluation
from experiments.core.errors import UserError
from experiments.core.run_config import read_config
from experiments.core.sets import Sets, load_sets
from experiments.detect import score_cache
from experiments.detect.detectors import NONE
from experiments.detect.score_cache import Scored
from flowjax_ood.distributions import Flow
from flowjax_ood.evaluation.likelihood import Likelihoods, evaluate_likelihood
from flowjax_ood.runtime.parallel import Parallel

TERMS = {
    "log_prob": "flow: log p(x)",
    "log_pz": "flow: log p(z)",
    "logdet": "flow: log-determinant",
}


class TrainedFlow(NamedTuple):
    """A flow to rank beside detectors: its run's config, and its state."""

    place: Path
    config: ConfigDict
    flow: Flow
    variables: dict
    steps: int


def trained_flows(config: ConfigDict, sets: Sets) -> list[TrainedFlow]:
    """The flows in `detect.flows`, restored.

    Raises UserError for workdirs without a run, and for flows of other images.
    """
    found = []
    for workdir in config.detect.flows:
        place = Path(workdir)
        trained = read_config(place)
        if "detect" in trained:
            raise UserError(
                f"{workdir} holds a classifier; config.detect.flows takes workdirs of "
                "the command `train`"
            )
        own = load_sets(trained, place)
        if (own.train.name, own.event_shape) != (sets.train.name, sets.event_shape):
            raise UserError(
                f"the flow in {workdir} is of {own.train.name} {own.event_shape}, those"
                f" here are {sets.train.name} {sets.event_shape}"
            )
        state = evaluation.restore(trained, place, own).state
        flow, variables = build.flow(trained, own.event_shape), state.variables()
        if variables.get("batch_stats"):
            # running ones can explode on rare images
            variables = evaluation.precise_variables(
                trained, flow, variables, own, f"flow in {place.name}"
            )
        found.append(TrainedFlow(place, trained, flow, variables, int(state.step)))
    return found


def flow_runs(
    flows: list[TrainedFlow], tests: dict, room: Path
) -> dict[tuple[str, str], list[list[Scored]]]:
    """`{(term, protocol): scores of each flow}`. Kept in `room`."""
    found = {}
    for number, one in enumerate(flows):
        c = one.config
        key = score_cache.digest(
            one.variables, tests, [c.eval.seed, c.eval.batch_size, c.train.negative]
        )
        likelihoods = cache(partial(_likelihoods, one, tests))
        for term, name in TERMS.items():

            def compute(term=term, likelihoods=likelihoods, c=c, one=one):
                terms, seconds = likelihoods()
                told = [f"outliers ({c.train.negative})"] if c.train.negative else []
                return Scored(
                    {n: np.asarray(getattr(ll, term)) for n, ll in terms.items()},
                    needs=["a flow", *told],
                    chosen={"images_seen": one.steps * c.train.batch_size},
                    fit_seconds=0.0,
                    ms_per_image=1e3 * seconds / sum(len(x) for x in tests.values()),
                )

            run = score_cache.kept(room / f"flow_{number}", name, key, compute)
            found.setdefault((name, NONE), []).append([run])
    return found


def _likelihoods(one: TrainedFlow, tests: dict) -> tuple[dict, float]:
    """`({set: Likelihoods}, seconds)` of one flow, all sets in one pass."""
    start = time.monotonic()
    found = evaluate_likelihood(
        one.flow,
        one.variables,
        np.concatenate(list(tests.values())),
        key=build.random_key(one.config.eval.seed),
        batch_size=one.config.eval.batch_size,
        parallel=Parallel("jit"),
        label=f"likelihood, flow in {one.place.name}",
    )
    ends = np.cumsum([len(x) for x in tests.values()])[:-1]
    parts = zip(np.split(found.log_pz, ends), np.split(found.logdet, ends))
    split = [Likelihoods(pz, logdet, found.dims) for pz, logdet in parts]
    return dict(zip(tests, split)), time.monotonic() - start
