"""Scores of every detector on every network, of all sets that are tested."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import jax
from ml_collections import ConfigDict

from experiments.core import score_cache
from experiments.core.data_identity import fingerprint
from experiments.core.keys import Kind
from experiments.core.score_cache import Scored
from experiments.core.sets import Sets
from experiments.detect import classes, detectors, table
from flowjax_ood import ood
from flowjax_ood.interface.errors import user_errors
from flowjax_ood.ood.detectors.ensembles import Score
from flowjax_ood.ood.network import Network
from flowjax_ood.runtime.progress import progress

ENSEMBLE = "Deep Ensembles"
COHERENCE = ood.Coherence().name
# of members' probabilities, as in the papers; and of mean logits, as peers have it
SCORINGS: tuple[Score, ...] = (
    *("mean_max", "max_mean"),
    *("msp_of_mean_logits", "max_mean_logit", "energy_of_mean_logits"),
)
# networks, and the scores of other detectors, are kept
REMEDY = (
    "run it again with more in config.detect.limit_fit, or with other "
    "config.detect.detectors"
)


@dataclass(frozen=True)
class Job:
    """A detector, fitted under a protocol, and the OOD set it is for (None is all)."""

    detector: ood.Detector
    protocol: str
    ood_name: str | None
    given: Callable[[], ood.Given]

    @property
    def label(self) -> str:
        of = f" of {self.ood_name}" if self.ood_name else ""
        return f"{self.detector.name} {self.protocol}{of}"


class TestSets:
    """Inputs `{set: [N, ...]}` that are tested, and their outputs of one forward pass.

    The outputs are made when a detector first asks for them; `forward_ms` is what an
    input of them took.
    """

    def __init__(self, inputs: dict, network: Network, batch_size: int):
        self.inputs, self.network, self.batch_size = inputs, network, batch_size
        self._outputs: dict[str, ood.Outputs] = {}
        self.forward_ms = 0.0

    def outputs(self, name: str) -> ood.Outputs:
        if name not in self._outputs:
            x = self.inputs[name]
            if not self._outputs:
                # compiled before the clock runs
                self.network.collect(x[: self.batch_size], self.batch_size)
            start = time.monotonic()
            outputs = self.network.collect(x, self.batch_size)
            self.forward_ms = 1e3 * (time.monotonic() - start) / len(x)
            # no detector reads the layers of what it scores
            self._outputs[name] = outputs._replace(pooled={})
        return self._outputs[name]


def network_runs(
    config: ConfigDict,
    sets: Sets,
    network: Network,
    tests: dict,
    directory: Path,
    label: str,
) -> dict[tuple[str, str], list[Scored]]:
    """Score by every detector: `{(detector, protocol): scores, kept in directory}`.

    The scores are of one OOD set each, or of all. `tests`: `{set: inputs}`, those of
    `detectors.evaluated` and corrupted ones, which only the detectors of
    `detectors.SEVERITY` see.
    """
    c = config.detect
    test_sets = TestSets(tests, network, config.eval.batch_size)
    plain = list(sets.scored)
    extra = [n for n in tests if n not in plain]
    common = score_cache.digest(
        network.variables,
        {n: tests[n] for n in plain},
        # whole: some are chosen by
        [fingerprint(whole) for whole in (sets.train, *sets.scored.values())],
        sets.train.labels,
        [config.seed, config.eval.batch_size, c.validation, c.limit_fit],
    )
    jobs = _jobs(config, sets, network)
    runs: dict[tuple[str, str], list[Scored]] = {}
    with progress(label, len(jobs), "detectors") as shown:
        for done, job in enumerate(jobs, 1):
            row = job.detector.name, job.protocol
            names = [n for n in plain if job.ood_name in (None, n) or n == plain[0]]
            corrupted = extra if row in detectors.SEVERITY else []
            names += corrupted
            key = score_cache.digest(
                common,
                repr(job.detector),
                job.protocol,
                names,
                {n: tests[n] for n in corrupted},
            )
            sizes = {n: len(tests[n]) for n in names}
            compute = partial(_scored, job, test_sets, names)
            run = score_cache.kept(directory, job.label, key, sizes, compute)
            runs.setdefault(row, []).append(run)
            shown.advance(done)
    key = score_cache.digest(common, {n: tests[n] for n in extra})
    sizes = {n: len(x) for n, x in tests.items()}
    labels = classes.tested_labels(sets, c.validation)
    classes.keep(directory, key, test_sets.outputs, sizes, labels)
    return runs


def _scored(job: Job, tests: TestSets, names: list[str]) -> Scored:
    """Fit a detector and score by it; UserError, naming it, where it cannot be."""
    with user_errors(f"detector {job.label}", ValueError, remedy=REMEDY):
        return _fitted_and_scored(job, tests, names)


def _fitted_and_scored(job: Job, tests: TestSets, names: list[str]) -> Scored:
    size = tests.batch_size
    fitted, fit_seconds = fit(job.detector, tests.network, job.given())
    if not fitted.of_outputs:
        inputs = {n: tests.inputs[n] for n in names}
        return timed(fitted, inputs, size, fit_seconds=fit_seconds)
    outputs = {n: tests.outputs(n) for n in names}
    # one forward pass serves many detectors, and each needs it
    return timed(
        fitted, outputs, size, more_ms=tests.forward_ms, fit_seconds=fit_seconds
    )


def fit(
    detector: ood.Detector, network: Network, given: ood.Given
) -> tuple[ood.Fitted, float]:
    """Fit a detector: it, and the seconds that this took.

    Outputs are shared by detectors and none's own time. Summaries of them are gathered
    anew for each: else the first to need them would pay for all.
    """
    given = replace(given)
    start = time.monotonic()
    fitted = detector.fit(network, given)
    return fitted, time.monotonic() - start


def timed(
    fitted: ood.Fitted,
    tests: dict,
    batch_size: int,
    *,
    more_ms: float = 0.0,
    **facts,
) -> Scored:
    """Score `tests`, `{set: inputs or outputs}`, and measure milliseconds an input.

    `more_ms` is added: what the outputs took. `facts` of `Scored` stand in for the
    detector's own.
    """
    first = next(iter(tests.values()))
    score = fitted.score_outputs if isinstance(first, ood.Outputs) else fitted.score
    # programs are compiled before the clock runs
    score(jax.tree.map(lambda a: a[:batch_size], first), batch_size)
    start = time.monotonic()
    scores = {n: score(x, batch_size) for n, x in tests.items()}
    seconds = time.monotonic() - start
    milliseconds = 1e3 * seconds / sum(map(len, scores.values())) + more_ms
    # as it is in a file, where pairs are lists
    chosen = json.loads(json.dumps(fitted.chosen))
    own = {"needs": table.needs(fitted.requires), "chosen": chosen}
    own |= {"fit_seconds": 0.0, "ms_per_image": milliseconds}
    return Scored(scores, **(own | facts))


def _jobs(config: ConfigDict, sets: Sets, network: Network) -> list[Job]:
    """List every detector and protocol that the config asks for."""
    # made when the first detector needs it: none may, in a run that goes on
    train = cache(lambda: detectors.train_outputs(network, sets, config))

    def given(protocol, name):
        return cache(lambda: detectors.given(sets, config, protocol, train(), name))

    count = len(next(iter(sets.ood.values())))
    plain = detectors.plain(config, network.layers, count)
    chosen = detectors.chosen(config, count)
    rows: list[tuple[str, str | None, list[ood.Detector]]] = [
        (detectors.NONE, None, plain),
        (detectors.LEAK_FREE, None, chosen),
    ]
    rows += [
        (detectors.REPOSITORY, name, detectors.chosen(config, len(x)))
        for name, x in sets.ood.items()
    ]
    jobs = []
    for protocol, name, listed in rows:
        data = given(protocol, name)
        jobs += [Job(d, protocol, name, data) for d in listed]
    if sets.kind is Kind.TOKENS:
        # features of an LSTM are negative as well
        jobs = [job for job in jobs if not job.detector.requires.not_negative]
    return [job for job in jobs if detectors.wanted(config, job.detector.name)]


def ensemble_runs(
    config: ConfigDict, networks: list[Network], tests: dict, directory: Path
) -> dict[tuple[str, str], list[Scored]]:
    """Score by Deep Ensembles, all of `SCORINGS`, and by Coherence.

    There are none of a single network.
    """
    listed: list[ood.Detector] = []
    if detectors.wanted(config, ENSEMBLE):
        names = {way: f"{ENSEMBLE} ({way.replace('_', ' ')})" for way in SCORINGS}
        listed += [ood.DeepEnsemble(way, label) for way, label in names.items()]
    if detectors.wanted(config, COHERENCE):
        listed.append(ood.Coherence())
    if len(networks) < 2 or not listed:
        return {}
    size = config.eval.batch_size
    key = score_cache.digest([n.variables for n in networks], tests, size)

    def scored(ensemble: ood.Detector) -> Scored:
        with user_errors(f"detector {ensemble.name}", ValueError, remedy=REMEDY):
            return timed(ensemble.fit(networks), tests, size)

    runs, sizes = {}, {n: len(x) for n, x in tests.items()}
    for ensemble in listed:
        compute = partial(scored, ensemble)
        run = score_cache.kept(directory, ensemble.name, key, sizes, compute)
        runs[ensemble.name, detectors.NONE] = [run]
    return runs
