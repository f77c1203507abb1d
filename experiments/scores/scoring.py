"""Scores of one trained flow, of all images, kept in files row by row."""

import time
import warnings
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np

from experiments.core import score_cache
from experiments.core.evaluation import TrainedFlow
from experiments.core.flow_passes import Passes, scored_flow
from experiments.core.score_cache import Scored
from experiments.scores.images import Images
from experiments.scores.rows import Row
from flowjax_ood import ood
from flowjax_ood.ood.flows.combined import TIE
from flowjax_ood.ood.flows.score import FittedScore
from flowjax_ood.runtime.messages import say, warn
from flowjax_ood.runtime.progress import progress

# sets of in-distribution images
ID, CALIBRATION = "test", "calibration"
ID_BLOCK = "in-distribution"
# seconds that the cost of a score is measured for
AT_LEAST = 0.5


def run_scores(
    trained: TrainedFlow,
    rows: Sequence[Row],
    images: Images,
    blocks: Mapping[str, Mapping[str, np.ndarray]],
    directory: Path,
) -> tuple[dict[str, list[Scored]], dict[str, str]]:
    """Score `{block: {set: images}}` by every row.

    Returns `{row: scores of each block}`, and why other rows have none. Test and
    calibration images are a block of their own, the first.
    """
    flow = scored_flow(trained)
    size = trained.config.eval.batch_size
    passes = Passes(flow, size)
    own = {ID: images.test, CALIBRATION: images.calibrate}
    blocks = {ID_BLOCK: own, **blocks}
    common = score_cache.digest(
        trained.variables, images.fit, images.calibrate, [flow.seed, size]
    )

    new = 0
    said: set[str] = set()
    costs: dict[str, float] = {}

    @cache
    def given() -> ood.Given:
        return ood.Given(
            train=passes.outputs("fit", images.fit),
            id_validation=passes.outputs(CALIBRATION, images.calibrate),
        )

    @cache
    def fitted(score: ood.FlowScore):
        start = time.monotonic()
        with warnings.catch_warnings(record=True) as caught:
            # others stay what they are elsewhere
            warnings.simplefilter("always", UserWarning)
            found = score.fit_once(flow, given())
        for warning in caught:
            if issubclass(warning.category, UserWarning):
                said.add(str(warning.message))
            else:
                warnings.warn_explicit(
                    warning.message,
                    warning.category,
                    warning.filename,
                    warning.lineno,
                )
        return found, time.monotonic() - start

    def compute(row: Row, sets: Mapping[str, np.ndarray]) -> Scored:
        nonlocal new
        outputs = {name: passes.outputs(name, x) for name, x in sets.items()}
        score, fit_seconds = fitted(row.score)
        if row.name not in costs:
            costs[row.name] = _cost(score, next(iter(outputs.values())), size)
        scores = {n: score.score_once(o) for n, o in outputs.items()}
        spent = costs[row.name] + (0.0 if row.control else passes.milliseconds)
        facts = {"pass_ms": passes.milliseconds}
        new += 1
        return Scored(scores, [], facts, fit_seconds, spent)

    found: dict[str, list[Scored]] = {row.name: [] for row in rows}
    failed: dict[str, str] = {}
    done = 0
    with progress(trained.label, len(blocks) * len(rows), "scores") as shown:
        for block, sets in blocks.items():
            of_block = score_cache.digest(common, dict(sets))
            sizes = {name: len(x) for name, x in sets.items()}
            for row in rows:
                done += 1
                if row.name in failed:
                    continue
                key = score_cache.digest(of_block, repr(row.score), row.read)
                where = directory / block.replace(" ", "_")
                try:
                    scored = score_cache.kept(
                        where, row.name, key, sizes, partial(compute, row, sets)
                    )
                except ValueError as error:
                    failed[row.name] = str(error)
                    warn(f"{trained.label}: no scores by {row.name}: {error}")
                    continue
                found[row.name].append(scored)
                shown.advance(done, block=block)
            passes.forget(set(sets) - {CALIBRATION})
    for text in sorted(said):
        # that no image can be found is said of all rows at once (`warn_of`)
        if TIE not in text:
            warn(f"{trained.label}: {text}")
    total = sum(map(len, found.values()))
    if total > new:
        kept = f"{total - new} of {total}"
        say(f"{trained.label}: {kept} results were found in {directory}")
    return {n: s for n, s in found.items() if n not in failed}, failed


def _cost(score: FittedScore, outputs: ood.FlowOutputs, size: int) -> float:
    """Milliseconds an image, of outputs that nothing is remembered of.

    The least of all batches in half a second; programs are compiled before.
    """

    def once() -> float:
        few = outputs.rows(slice(size))
        start = time.monotonic()
        score.score_outputs(few, size)
        return 1e3 * (time.monotonic() - start) / len(few)

    once()
    end = time.monotonic() + AT_LEAST
    least = once()
    while time.monotonic() < end:
        least = min(least, once())
    return least
