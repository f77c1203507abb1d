"""Every detector on every network: what each finds on the images tested."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ml_collections import ConfigDict

from experiments.core.data_identity import fingerprint
from experiments.core.sets import Sets
from experiments.detect import detectors, score_cache, table
from experiments.detect.score_cache import Scored
from flowjax_ood import ood
from flowjax_ood.ood.network import Network
from flowjax_ood.runtime.progress import progress

ENSEMBLE = "Deep Ensembles"


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
    """Inputs of every set that is tested, and what one forward pass leaves of them.

    `{set: [N, ...]}`; the outputs are made when a detector first asks for them, and
    `forward_ms` is what an input of them took.
    """

    def __init__(self, inputs: dict, network: Network, batch_size: int):
        self.inputs, self.network, self.batch_size = inputs, network, batch_size
        self._outputs, self.forward_ms = {}, 0.0

    def outputs(self, name: str) -> ood.Outputs:
        if name not in self._outputs:
            x = self.inputs[name]
            if not self._outputs:
                # compiled before the clock runs
                self.network.collect(x[: self.batch_size], self.batch_size)
            start = time.monotonic()
            found = self.network.collect(x, self.batch_size)
            self.forward_ms = 1e3 * (time.monotonic() - start) / len(x)
            # no detector reads the layers of what it scores
            self._outputs[name] = found._replace(pooled={})
        return self._outputs[name]

    def scores(self, fitted: ood.Fitted, names) -> dict:
        if fitted.of_outputs:
            size = self.batch_size
            return {n: fitted.score_outputs(self.outputs(n), size) for n in names}
        return {n: fitted.score(self.inputs[n], self.batch_size) for n in names}


def network_runs(
    config: ConfigDict, sets: Sets, network: Network, tests: dict, room: Path, label
) -> dict[tuple[str, str], list[Scored]]:
    """`{(detector, protocol): scores, of one OOD set each or of all}` of a network.

    `tests`: `{set: inputs}`, those of `detectors.evaluated` and corrupted ones, which
    only the detectors of `detectors.against_severity` see. Kept in `room`.
    """
    c = config.detect
    held = TestSets(tests, network, config.eval.batch_size)
    plain = [sets.test.name, *sets.ood]
    extra = [n for n in tests if n not in plain]
    followed = detectors.against_severity(config)
    known = score_cache.digest(
        network.variables,
        {n: tests[n] for n in plain},
        # whole: some are chosen by
        [fingerprint(one) for one in (sets.train, sets.test, *sets.ood.values())],
        sets.train.labels,
        [config.seed, config.eval.batch_size, c.validation, c.limit_fit],
    )
    train = cache(lambda: detectors.train_outputs(network, sets, config))
    jobs = _jobs(config, sets, network, train)
    found: dict[tuple[str, str], list[Scored]] = {}
    with progress(label, len(jobs), "detectors") as shown:
        for done, job in enumerate(jobs, 1):
            names = [n for n in plain if job.ood_name in (None, n) or n == plain[0]]
            if (job.detector.name, job.protocol) in followed:
                names += extra

            def compute(job=job, names=names):
                return _scored(job, held, names)

            corrupted = {n: tests[n] for n in names if n in extra}
            key = score_cache.digest(
                known, repr(job.detector), job.protocol, names, corrupted
            )
            run = score_cache.kept(room, job.label, key, compute)
            found.setdefault((job.detector.name, job.protocol), []).append(run)
            shown.advance(done)
    return found


def _scored(job: Job, tests: TestSets, names) -> Scored:
    # what detectors share is none's own time
    given = job.given()
    start = time.monotonic()
    fitted = job.detector.fit(tests.network, given)
    fit_seconds = time.monotonic() - start
    if fitted.of_outputs:
        for name in names:
            tests.outputs(name)
    return timed(
        fitted,
        {n: tests.inputs[n] for n in names},
        tests.batch_size,
        score=lambda: tests.scores(fitted, names),
        # one forward pass serves many detectors, and each needs it
        more_ms=tests.forward_ms if fitted.of_outputs else 0.0,
        fit_seconds=fit_seconds,
    )


def timed(
    fitted: ood.Fitted,
    tests: dict,
    batch_size: int,
    *,
    score: Callable[[], dict] | None = None,
    more_ms: float = 0.0,
    **facts,
) -> Scored:
    """Scores of `tests`, `{set: inputs}`, and milliseconds an input.

    `score` gives them where it knows more than the inputs. `facts` of `Scored` stand
    in for the detector's own.
    """
    # programs are compiled before the clock runs
    fitted.score(next(iter(tests.values()))[:batch_size], batch_size)
    start = time.monotonic()
    if score:
        scores = score()
    else:
        scores = {n: fitted.score(x, batch_size) for n, x in tests.items()}
    seconds = time.monotonic() - start
    count = sum(len(s) for s in scores.values())
    own = {
        "needs": table.needs(fitted.requires),
        "chosen": fitted.chosen,
        "fit_seconds": 0.0,
    }
    milliseconds = 1e3 * seconds / count + more_ms
    return Scored(scores, ms_per_image=milliseconds, **(own | facts))


def _jobs(
    config: ConfigDict, sets: Sets, network: Network, train: Callable
) -> list[Job]:
    names = list(sets.ood)

    def given(protocol, name):
        # made when the first detector needs it: none may, in a run that goes on
        return cache(lambda: detectors.given(sets, config, protocol, train(), name))

    free = given(detectors.LEAK_FREE, names[0])
    count = len(sets.ood[names[0]])
    jobs = [
        Job(d, detectors.NONE, None, lambda: detectors.without_outliers(free()))
        for d in detectors.plain(config, network.layers, count)
    ]
    jobs += [
        Job(d, detectors.LEAK_FREE, None, free) for d in detectors.chosen(config, count)
    ]
    for name in names:
        real = given(detectors.REPOSITORY, name)
        chosen = detectors.chosen(config, len(sets.ood[name]))
        jobs += [Job(d, detectors.REPOSITORY, name, real) for d in chosen]
    return [job for job in jobs if wanted(config, job.detector.name)]


def ensemble_runs(
    config: ConfigDict, networks: list[Network], tests: dict, room: Path
) -> dict[tuple[str, str], list[Scored]]:
    """Deep Ensembles of all networks, both definitions; none of a single network."""
    if len(networks) < 2 or not wanted(config, ENSEMBLE):
        return {}
    found, batch = {}, config.eval.batch_size
    key = score_cache.digest([n.variables for n in networks], tests, batch)
    for scoring in ("mean_max", "max_mean"):
        name = f"{ENSEMBLE} ({scoring.replace('_', ' ')})"

        def compute(scoring=scoring, name=name):
            fitted = ood.DeepEnsemble(scoring=scoring, label=name).fit(networks)
            return timed(fitted, tests, batch)

        found[name, detectors.NONE] = [score_cache.kept(room, name, key, compute)]
    return found


def wanted(config: ConfigDict, name: str) -> bool:
    """Whether a detector is among those of `detect.detectors`; () is all."""
    names = config.detect.detectors
    return not names or name in names
