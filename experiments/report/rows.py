"""Runs pooled over seeds, and the rows of the report's tables."""

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.core.keys import among, flatten, names
from experiments.core.results import UNITS, intervals, mean_std, unit_of
from experiments.report.published import NOT_AVAILABLE, Published, published
from experiments.report.runs import KeptRun
from experiments.report.words import (
    distinct_titles,
    recipe_share,
    set_words,
    short_setting,
    size_words,
    train_words,
)
from flowjax_ood.interface import text


class Flow(NamedTuple):
    """Runs that differ in their seed alone, by seed, under one title."""

    title: str
    runs: list[KeptRun]


class Row(NamedTuple):
    """A pair of sets under a flow, over the seeds that were scored on it."""

    title: str  # of the flow
    runs: list[KeptRun]
    ood: str
    published: Published | None

    @property
    def unit(self) -> str:
        return unit_of(self.runs[0].results)


def pooled(runs: Sequence[KeptRun]) -> list[Flow]:
    """Pool the runs that differ in their seed alone, in the order given.

    Two runs of one seed are not pooled: they are not two samples of what a seed does.
    """
    flows: dict[tuple[str, int], list[KeptRun]] = {}
    for run in runs:
        same, copy = _identity(run), 0
        while run.seed in (r.seed for r in flows.get((same, copy), ())):
            copy += 1
        flows.setdefault((same, copy), []).append(run)
    by_seed = [sorted(alike, key=lambda r: r.seed) for alike in flows.values()]
    titles = distinct_titles([alike[0] for alike in by_seed])
    return list(map(Flow, titles, by_seed))


def _identity(run: KeptRun) -> str:
    """The config, length and sets of a run, without its seed and its OOD sets."""
    # results.json holds the `eval` that its numbers come from: `evaluate` may set it
    config = {k: v for k, v in run.config.items() if not among(k, ("eval",))}
    config |= flatten({"eval": run.results["eval"]})
    free = names("pooled", config)
    config = {k: v for k, v in config.items() if not among(k, free)}
    # a validation set stops every seed at a step of its own
    steps = None if "validation" in run.results else run.results["steps"]
    sets = [_described(run, name) for name in ("train", "test")]
    return json.dumps((config, steps, sets), sort_keys=True, default=str)


def _described(run: KeptRun, name: str) -> list:
    described = run.results["data"][name]
    return [described[key] for key in ("name", "split", "source", "count")]


def rows_of(flows: Sequence[Flow]) -> list[Row]:
    """Make a row for every flow and OOD set, of all runs that scored the same set."""
    rows = []
    for title, runs in flows:
        alike: dict[tuple, list[KeptRun]] = {}
        for run in runs:
            for ood in run.results["auroc"]:
                alike.setdefault((ood, *_described(run, ood)), []).append(run)
        for (ood, *_), scored in alike.items():
            config = scored[0].config
            model = {k[6:]: v for k, v in config.items() if k.startswith("model.")}
            known = published(model, scored[0].results["data"], ood)
            rows.append(Row(title, scored, ood, known))
    return rows


def pair_words(row: Row) -> str:
    """`FashionMNIST → MNIST`; the latter marked if the flow was trained against it."""
    results = row.runs[0].results
    mark = ", exposed" if row.ood in results.get("told", ()) else ""
    return f"{train_words(row.runs[0])} → {set_words(results['data'][row.ood])}{mark}"


# --- tables: rows `{header: cell}` ---------------------------------------------------


def comparison(rows: Sequence[Row], unit: str) -> list[dict]:
    """All rows of one unit of likelihood, each with the detectors without a flow."""
    # of vectors the median, as single ones may be millions out
    key = "nats_median" if unit == "nats" else UNITS[unit]
    lines = []
    for row in (r for r in rows if r.unit == unit):
        results = [run.results for run in row.runs]
        id_name = results[0]["in_distribution"]
        area = row.published and f"about {row.published.auroc:.2f} (read off a plot)"
        line = {
            "trained on → scored": pair_words(row),
            "flow": row.title,
            "AUROC": _area_text(results, row.ood),
            f"{unit}, own": text.plus_minus(
                *mean_std([r[key][id_name] for r in results]), digits=2
            ),
            f"{unit}, other": text.plus_minus(
                *mean_std([r[key][row.ood] for r in results]), digits=2
            ),
            "setting": short_setting(row.runs[0]),
            "published": area or NOT_AVAILABLE,
        }
        lines.append(line)
        for name in results[0].get("baselines", {}):
            rankings = [r["baselines"].get(name) for r in results]
            if all(r and row.ood in r["auroc"] for r in rankings):
                own = {
                    "trained on → scored": line["trained on → scored"],
                    "flow": name.replace("_", " "),
                    "AUROC": _area_text(rankings, row.ood),
                    "setting": f"fitted on {rankings[0]['fitted_on']:,} vectors",
                    "published": NOT_AVAILABLE,
                }
                lines.append(dict.fromkeys(line) | own)
    return lines


def _area_text(rankings: Sequence[dict], ood: str) -> str:
    """`mean ± deviation (n = seeds)`, or one run's value, with its images' interval."""
    if len(rankings) == 1:
        return text.interval(*intervals(rankings[0])[ood])
    areas = [ranking["auroc"][ood] for ranking in rankings]
    return f"{text.plus_minus(*mean_std(areas))} (n = {len(areas)})"


def single_runs(rows: Sequence[Row], names: dict) -> list[dict]:
    """Every run and set, with the interval of its images."""
    return [
        {
            "run": names[run.workdir],
            "seed": str(run.seed),
            "trained on → scored": pair_words(row),
            "AUROC [95% CI]": _area_text([run.results], row.ood),
            "mean": text.plus_minus(run.results[UNITS[row.unit]][row.ood]),
            "median": text.plus_minus(
                run.results[f"{UNITS[row.unit]}_median"][row.ood]
            ),
            "unit": row.unit,
            "scored": run.results["data"][row.ood]["count"],
        }
        for row in rows
        for run in row.runs
    ]


def settings(flows: Sequence[Flow]) -> list[dict]:
    """How large every flow is, and how long it was trained."""
    lines = []
    for title, runs in flows:
        results = runs[0].results
        count = results["data"]["train"]["count"]
        seconds = np.mean([r.results["train_seconds"] for r in runs])
        lines.append(
            {
                "flow": title,
                "trained on": f"{train_words(runs[0])}, {count:,}",
                "seeds": ", ".join(str(r.seed) for r in runs),
                "size": size_words(runs[0]),
                "parameters": results["params"],
                "seen": round(np.mean([r.results["images_seen"] for r in runs])),
                "of recipe": recipe_share(runs[0]) or NOT_AVAILABLE,
                "time": text.duration(seconds),
            }
        )
    return lines
