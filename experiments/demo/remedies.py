"""The same flow, read by other scores, on many kinds of outliers, with controls."""

from typing import NamedTuple

import numpy as np

from experiments.core.evaluation import TrainedFlow
from experiments.core.flow_passes import scored_flow
from experiments.core.loaders import load_images
from experiments.core.other_images import other_images
from flowjax_ood import data, figures, ood
from flowjax_ood.data.outliers.battery import SEEN
from flowjax_ood.runtime.progress import progress

# images to fit and to calibrate by, and test images, of a run and of one with --fast
COUNTS = {False: (1000, 1000, 500), True: (300, 200, 60)}
# columns of the short table
SHOWN = ("digits", "glyphs", "emoji", "upside_down", "noisy")


class Remedy(NamedTuple):
    """A score of the table; controls have no flow.

    `two_sided`: high scores count as unusual, too.
    """

    score: ood.FlowScore
    two_sided: bool = False
    control: bool = False

    @property
    def name(self) -> str:
        return f"{self.score.name}, two-sided" if self.two_sided else self.score.name


def remedies(flow: ood.ScoredFlow) -> tuple[Remedy, ...]:
    """List likelihood, what else a flow knows, and what pixels alone tell."""
    return (
        Remedy(ood.LogLikelihood()),
        Remedy(ood.Typicality()),
        Remedy(ood.InputComplexity()),
        Remedy(ood.SITN()),
        Remedy(ood.DoSE()),
        Remedy(ood.Combined(ood.flow_only(flow), label="flow, all statistics")),
        Remedy(ood.Combined(ood.v1(flow), label="flow and pixels, all statistics")),
        Remedy(ood.CodeLength(), two_sided=True, control=True),
        Remedy(ood.PPCA(), control=True),
        Remedy(ood.NeighbourDistance("pixels"), control=True),
        Remedy(
            ood.Combined(ood.no_flow(flow), label="pixels, all statistics"),
            control=True,
        ),
    )


def measure(trained: TrainedFlow, fast: bool) -> dict:
    """`{"rows", "kinds", "images"}`: AUROC of every score and kind, counts of images.

    Scores are fitted to and calibrated on training images that the flow did not see.
    """
    c = trained.config.data
    fit, calibrate, test = COUNTS[fast]
    whole = load_images(trained.config, c.train, 0, c.source, c.path)
    unseen = whole.images[c.limit_train :]
    flow = scored_flow(trained)
    images = trained.sets.test.events[:test]
    sets = {"in-distribution": images, **outliers(trained, images)}
    size = trained.config.eval.batch_size
    with progress(trained.label, len(sets) + 2, "sets scored") as shown:
        given = ood.Given(
            train=flow.collect(unseen[:fit], size),
            id_validation=flow.collect(unseen[fit : fit + calibrate], size),
        )
        shown.advance(2)
        outputs = {}
        for number, (name, x) in enumerate(sets.items()):
            outputs[name] = flow.collect(x, size)
            shown.advance(number + 3)
    rows = [_row(remedy, flow, given, outputs) for remedy in remedies(flow)]
    counts = {"fit": fit, "calibrate": calibrate, "test": len(images)}
    return {"rows": rows, "kinds": list(sets)[1:], "images": counts}


def outliers(trained: TrainedFlow, images: np.ndarray) -> dict[str, np.ndarray]:
    """Make the kinds of the battery that scores were compared on, real sets first."""
    digits = next(iter(trained.sets.ood.values())).events
    others = {"digits": digits, **other_images(images.shape[1:], len(images))}
    return data.battery(images, 0, others, blocks=(SEEN,)).of_block(SEEN)


def _row(remedy: Remedy, flow, given, outputs) -> dict:
    fitted = remedy.score.fit(flow, given)
    scores = {name: fitted.score_outputs(o) for name, o in outputs.items()}
    if remedy.two_sided:
        held_out = fitted.score_outputs(given.id_validation)
        share = remedy.score.low_share
        scores = {n: ood.two_sided_p(s, held_out, share) for n, s in scores.items()}
    own = scores.pop("in-distribution")
    areas = {name: ood.auroc(own, other) for name, other in scores.items()}
    worst = min(areas, key=lambda name: areas[name].value)
    return {
        "score": remedy.name,
        "control": remedy.control,
        "auroc": {name: area.value for name, area in areas.items()},
        "auroc_ci95": {name: [a.low, a.high] for name, a in areas.items()},
        "mean": float(np.mean([area.value for area in areas.values()])),
        "worst": {"kind": worst, "auroc": areas[worst].value},
    }


def table(measured: dict) -> tuple[list[str], list[list]]:
    """Headers and lines of the table that is shown: numbers, and names in words."""
    headers = ["score", *(k.replace("_", " ") for k in SHOWN)]
    headers += [f"mean of {len(measured['kinds'])}", "worst", "of"]
    lines = []
    for row in measured["rows"]:
        name = f"{row['score']} *" if row["control"] else row["score"]
        areas = [row["auroc"][kind] for kind in SHOWN]
        worst = row["worst"]
        numbers = (*areas, row["mean"], worst["auroc"])
        lines.append(
            [name, *(f"{x:.2f}" for x in numbers), worst["kind"].replace("_", " ")]
        )
    return headers, lines


def heat_map(measured: dict):
    """Draw the AUROC of every score on every kind."""
    return figures.auroc_heat_map(
        {row["score"]: row["auroc"] for row in measured["rows"]},
        {"kinds of outliers": measured["kinds"]},
        marked=[row["score"] for row in measured["rows"] if row["control"]],
        title="AUROC of scores of one flow",
        caption="0.5 is chance, 1 perfect. Scores in italics do not look at the flow.",
    )


def conclusion(measured: dict) -> str:
    """Say what the table says of likelihood, of the best use of the flow, of none."""
    rows = {row["score"]: row for row in measured["rows"]}
    both, flow, pixels = (
        rows[f"{name}, all statistics"]
        for name in ("flow and pixels", "flow", "pixels")
    )
    first = measured["rows"][0]
    parts = [
        f"{text}: mean {row['mean']:.2f}, worst {row['worst']['auroc']:.2f} "
        f"({row['worst']['kind'].replace('_', ' ')})"
        for text, row in (
            ("by its likelihood", first),
            ("by all statistics of the same pass", flow),
            ("with those of pixels", both),
            ("by those of pixels alone, without a flow", pixels),
        )
    ]
    kinds = len(measured["kinds"])
    return f"AUROC of the same flow over {kinds} kinds of outliers, {'; '.join(parts)}."
