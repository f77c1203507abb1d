"""Runs pooled over seeds, and the rows of the report's tables."""

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.core import text
from experiments.core.keys import among, flatten, names
from experiments.report.published import NOT_AVAILABLE, Published, published
from experiments.report.runs import KeptRun
from experiments.report.words import (
    recipe_share,
    set_words,
    short_setting,
    size_words,
)

UNIT_WORDS = {"bits_per_dim": "bits/dim", "nats": "nats"}
# what is shown of a set: of vectors the median, as single ones may be millions out
SHOWN = {"bits_per_dim": "bits_per_dim", "nats": "nats_median"}


class Row(NamedTuple):
    """A pair of sets under a flow, over the seeds that were scored on it."""

    flow: str  # a key of `pooled`
    runs: list[KeptRun]
    ood: str
    published: Published | None

    @property
    def areas(self) -> list[float]:
        return [run.results["auroc"][self.ood] for run in self.runs]

    @property
    def unit(self) -> str:
        return "nats" if "nats" in self.runs[0].results else "bits_per_dim"


def pooled(runs: Sequence[KeptRun]) -> dict[str, list[KeptRun]]:
    """`{key: runs that differ in their seed alone}`, by seed, in the order given.

    Two runs of one seed are not pooled: they are not two samples of what a seed does.
    """
    flows: dict[str, list[KeptRun]] = {}
    for run in runs:
        same, copy = _identity(run), 0
        while run.seed in (r.seed for r in flows.get(f"{same}#{copy}", ())):
            copy += 1
        flows.setdefault(f"{same}#{copy}", []).append(run)
    return {key: sorted(runs, key=lambda r: r.seed) for key, runs in flows.items()}


def _identity(run: KeptRun) -> str:
    """The config, length and sets of a run, without its seed and its OOD sets."""
    # results.json holds the `eval` that its numbers come from: `evaluate` may set it
    said = flatten({"eval": run.results["eval"]})
    config = {k: v for k, v in run.config.items() if not among(k, ("eval",))} | said
    free = names("pooled", config)
    config = {k: v for k, v in config.items() if not among(k, free)}
    sets = {k: _described(run, k) for k in ("train", "test")}
    # a validation set stops every seed at a step of its own
    stopped = "validation" in run.results
    steps = None if stopped else run.results["steps"]
    parts = (config, steps, sets)
    return json.dumps(parts, sort_keys=True, default=str)


def _described(run: KeptRun, name: str) -> list:
    described = run.results["data"][name]
    return [described[key] for key in ("name", "split", "source", "count")]


def rows_of(flows: dict[str, list[KeptRun]]) -> list[Row]:
    """Make a row for every flow and OOD set, of all runs that scored the same set."""
    rows = []
    for key, runs in flows.items():
        alike: dict[tuple, list[KeptRun]] = {}
        for run in runs:
            for ood in run.results["auroc"]:
                alike.setdefault((ood, *_described(run, ood)), []).append(run)
        for (ood, *_), scored in alike.items():
            data = scored[0].results["data"]
            known = published(_model(scored[0]), data, ood)
            rows.append(Row(key, scored, ood, known))
    return rows


def _model(run: KeptRun) -> dict:
    return {k.partition(".")[2]: v for k, v in run.config.items() if "model." in k}


def table(rows: Sequence[Row], titles: dict[str, str], unit: str) -> tuple:
    """`(headers, rows, align)` of all rows of one unit, a key of results.json."""
    words, shown = UNIT_WORDS[unit], SHOWN[unit]
    headers = ["trained on → scored", "flow", "AUROC"]
    headers += [f"{words}, own", f"{words}, other", "setting", "published"]
    lines = []
    for row in rows:
        if row.unit != unit:
            continue
        run = row.runs[0]
        id_name = run.results["in_distribution"]
        lines.append(
            [
                pair_words(row),
                titles[row.flow],
                area_text(row),
                mean_text([r.results[shown][id_name] for r in row.runs], digits=2),
                mean_text([r.results[shown][row.ood] for r in row.runs], digits=2),
                short_setting(run),
                row.published.text() if row.published else NOT_AVAILABLE,
            ]
        )
        lines += _baseline_lines(row)
    return headers, lines, "llrrrll"


def pair_words(row: Row) -> str:
    """`FashionMNIST → MNIST`; the latter marked if the flow was trained against it."""
    results = row.runs[0].results
    train = set_words(results["data"]["train"], split=False)
    return f"{train} → {scored_words(row)}"


def scored_words(row: Row) -> str:
    """The OOD set's name, marked if the flow was trained against it."""
    results = row.runs[0].results
    mark = ", told of" if row.ood in results.get("told", ()) else ""
    return f"{set_words(results['data'][row.ood])}{mark}"


def area_text(row: Row) -> str:
    """`mean ± deviation (n = seeds)`, or one run's value with its interval."""
    return _over_seeds([run.results for run in row.runs], row.ood)


def _over_seeds(rankings: Sequence[dict], ood: str) -> str:
    if len(rankings) == 1:
        return interval_text(rankings[0], ood)
    return f"{mean_text([r['auroc'][ood] for r in rankings])} (n = {len(rankings)})"


def interval_text(ranking: dict, ood: str) -> str:
    """An AUROC with the 95% interval of its images."""
    return text.interval(ranking["auroc"][ood], *ranking["auroc_ci95"][ood])


def mean_text(values: Sequence[float | None], digits: int = 3) -> str:
    """Mean ± sample standard deviation; None stands for a mean that is not finite."""
    if None in values:
        return text.NOT_FINITE
    deviation = np.std(values, ddof=1) if len(values) > 1 else None
    return text.plus_minus(np.mean(values), deviation, digits)


def _baseline_lines(row: Row) -> list[list[str]]:
    """Detectors without a flow, on the vectors of the row above."""
    lines = []
    for name in row.runs[0].results.get("baselines", {}):
        rankings = [r.results["baselines"].get(name) for r in row.runs]
        if not all(r and row.ood in r["auroc"] for r in rankings):
            continue
        area = _over_seeds(rankings, row.ood)
        fitted = f"fitted on {rankings[0]['fitted_on']:,} vectors"
        words = name.replace("_", " ")
        lines.append([pair_words(row), words, area, None, None, fitted, NOT_AVAILABLE])
    return lines


def single_runs(rows: Sequence[Row], names: dict) -> tuple:
    """`(headers, rows, align)`: every run and set, with the interval of its images."""
    headers = ["run", "seed", "trained on → scored", "AUROC [95% CI]"]
    headers += ["mean", "median", "unit", "scored"]
    lines = []
    for row in rows:
        for run in row.runs:
            results = run.results
            mean, median = (results[row.unit + end][row.ood] for end in ("", "_median"))
            lines.append(
                [
                    names[run.workdir],
                    str(run.seed),
                    pair_words(row),
                    interval_text(results, row.ood),
                    mean_text([mean]),
                    mean_text([median]),
                    UNIT_WORDS[row.unit],
                    results["data"][row.ood]["count"],
                ]
            )
    return headers, lines, "lllrrrlr"


def settings(flows: dict[str, list[KeptRun]], titles: dict[str, str]) -> tuple:
    """`(headers, rows, align)`: how large every flow is, how long it was trained."""
    headers = ["flow", "trained on", "seeds", "size", "parameters", "seen"]
    headers += ["of recipe", "time"]
    lines = []
    for key, runs in flows.items():
        results = runs[0].results
        train, seen = results["data"]["train"], results["images_seen"]
        lines.append(
            [
                titles[key],
                f"{set_words(train, split=False)}, {train['count']:,}",
                ", ".join(str(r.seed) for r in runs),
                size_words(runs[0]),
                results["params"],
                seen,
                recipe_share(runs[0]) or NOT_AVAILABLE,
                text.duration(np.mean([r.results["train_seconds"] for r in runs])),
            ]
        )
    return headers, lines, "llllrrrr"
