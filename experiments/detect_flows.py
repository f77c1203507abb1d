"""Trained flows as rows beside the detectors: likelihood and its two terms."""

import time
from pathlib import Path

from ml_collections import ConfigDict

from experiments import build, detect_table, evaluate
from experiments.config import UserError
from experiments.kept_config import read_config
from experiments.sets import Sets, load_sets
from flowjax_ood.training.likelihood import evaluate_likelihood
from flowjax_ood.training.parallel import Parallel

TERMS = {
    "log_prob": "flow, log p(x)",
    "log_pz": "flow, log p(z)",
    "logdet": "flow, log-determinant",
}


def flow_rows(config: ConfigDict, sets: Sets, tests: dict) -> list[dict]:
    """A row for each term of the flows in `detect.flows`, on the images tested.

    Flows with batch norm use the running statistics. UserError for a flow of images of
    another shape, and for workdirs without a run.
    """
    found = {term: [] for term in TERMS}
    for workdir in config.detect.flows:
        place = Path(workdir)
        trained = read_config(place)
        own = load_sets(trained, place)
        if own.event_shape != sets.event_shape:
            raise UserError(
                f"the flow in {workdir} is of images {own.event_shape}, those here are "
                f"{sets.event_shape}"
            )
        run = evaluate.restore(trained, place, own)
        flow = build.flow(trained, own.event_shape)
        start = time.monotonic()
        likelihoods = {
            name: evaluate_likelihood(
                flow,
                run.state.variables(),
                images,
                key=build.random_key(trained.eval.seed),
                batch_size=trained.eval.batch_size,
                parallel=Parallel("jit"),
                label=f"likelihood of {name}, flow in {place.name}",
            )
            for name, images in tests.items()
        }
        seconds = time.monotonic() - start
        count = sum(len(x) for x in tests.values())
        for term in TERMS:
            scores = {name: getattr(ll, term) for name, ll in likelihoods.items()}
            run_of_term = detect_table.measures(scores, sets.test.name) | {
                "chosen": {
                    "images_seen": int(run.state.step) * trained.train.batch_size
                },
                "fit_seconds": 0.0,
                "ms_per_image": 1e3 * seconds / count,
                "requires": ["a flow"],
            }
            found[term].append(run_of_term)
    return [
        detect_table.row(TERMS[term], "none", runs)
        for term, runs in found.items()
        if runs
    ]
