"""table.md and scores.html: the same numbers, from one document."""

from experiments.scores.alarms import ALARMS, LEVELS
from flowjax_ood.interface.document import Document
from flowjax_ood.interface.text import decimals

ABOUT = f"""\
AUROC is the probability that a test image scores higher than an outlier; 0.5 is chance.
Below it, the score prefers outliers, and no sign was turned round. Two-sided: by the
p-value of a score that may be too low or too high. Found: the share of outliers beyond
the threshold at which {ALARMS:.0%} of calibration images are, those that the score was
not fitted to; "-" where it can find none, as its least p-value is larger. False alarms:
of test images; void where they are outside the interval that p-values promise
(beta-binomial), at {" or ".join(f"{level:.0%}" for level in LEVELS)}, as of one sound
row in twenty or fewer. Cost: time an image, over that of one log p(x). Scores were
fitted to and calibrated on in-distribution images alone, of no training. Intervals are
of 95 %, over images, not over training seeds: a flow trained anew may differ by more.
Those of means are by bootstrap, test images drawn for all kinds at once; of the worst,
basic ones; of what is found, the threshold is held. Mean and worst of a score leave out
kinds that it is made of, such as turned images of contrasts of poses: below, these are
in brackets."""
BLOCKS = {
    "seen": "Kinds that scores were compared on while they were made.",
    "told": "Kinds that some scores, or what they are trained on, are made of.",
    "kept back": "Kinds that nothing was chosen by.",
}
COMPARED = """\
AUROC of a combination of scores, less that of the same combination of scores of pixels
alone, both of the same images. Where an interval lies above 0, the flow is of use;
below, it does harm. Intervals are over images, not over training seeds; thresholds are
held, so look at the false alarms beside what is found."""


def document(results: dict, picture: bytes | None) -> Document:
    """Write the content of results.json as a document."""
    rows, blocks = results["rows"], results["blocks"]
    runs = results["runs"]
    page = Document("Scores of trained flows", ", ".join(run["name"] for run in runs))
    page.text(ABOUT)
    facts = {
        "test images": results["images"]["test"],
        "images fitted to": results["images"]["fit"],
        "images calibrated on": results["images"]["calibrate"],
        "of": results["images"]["taken_from"],
        "runs": len(runs),
        "locks": results["lock"]["count"],
    }
    page.facts(facts)
    headers = ["score"]
    for block in blocks:
        headers += [f"{block}: mean", "worst", "of", "found"]
    headers += ["false alarms", "cost"]
    lines = []
    for row in rows:
        line: list[str | None] = [_name(row)]
        for block in blocks:
            measured = row["blocks"][block]
            worst = measured["worst"]
            line += [
                _short(measured["mean"], measured["mean_ci95"]),
                _short(worst["auroc"], worst["ci95"]),
                _words(worst["kind"]),
                decimals(measured["found"]) if row["least_p"] <= ALARMS else "-",
            ]
        cost = row["cost_in_passes"]
        line += [_alarms(row), None if cost is None else f"{cost:.2f}"]
        lines.append(line)
    page.section("All scores")
    align = "l" + "rrlr" * len(blocks) + "rr"
    page.table(headers, lines, "The highest worst AUROC first", align)
    if picture is not None:
        page.figure(picture, "AUROC of every kind", "a heat map of the tables below")
    for block, kinds in blocks.items():
        page.section(f"Outliers: {block}").text(BLOCKS[block])
        page.table(
            ["score", *map(_words, kinds)],
            [[_name(row), *(_area(row, k) for k in kinds)] for row in rows],
            _intervals(len(runs)),
        )
    if results["compared"]:
        _compare(page, blocks, results["compared"])
    if results["left_out"]:
        page.section("Kinds left out").facts(
            {_words(name): why for name, why in results["left_out"].items()}
        )
    if results["failed"]:
        page.section("Scores that could not be computed").facts(results["failed"])
    return page


def _compare(page: Document, blocks: dict, compared: list[dict]) -> None:
    """Differences of means over blocks, and of every kind."""
    page.section("With a flow, and without").text(COMPARED)
    headers = [c["score"] for c in compared]
    lines = []
    for block in blocks:
        own = [c["blocks"][block] for c in compared]
        lines.append([f"{block}: mean AUROC", *map(_difference, own)])
        lines.append([f"{block}: found", *(_difference(x["found"]) for x in own)])
    alarms = [_difference(c["false_alarms"]) for c in compared]
    page.table(
        ["mean over kinds", *headers],
        [*lines, ["false alarms", *alarms]],
        "Difference of means over kinds, with its paired 95 % interval",
    )
    page.table(
        ["kind", *headers],
        [
            [_words(k), *(_difference(c["kinds"][k]) for c in compared)]
            for kinds in blocks.values()
            for k in kinds
        ],
        "Difference of AUROCs, with its paired 95 % interval",
    )


def _name(row: dict) -> str:
    return row["score"] + (" (no flow)" if row["control"] else "")


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _alarms(row: dict) -> str:
    rate = decimals(row["false_alarms"])
    return rate if row["void"] is None else f"{rate} (void: {row['void']})"


def _short(value: float, ends: list[float]) -> str:
    low, high = ends
    return f"{value:.3f} [{low:.2f}, {high:.2f}]"


def _area(row: dict, name: str) -> str:
    kind = row["kinds"][name]
    low, high = kind["ci95"]
    text = f"{kind['auroc']:.3f} [{low:.3f}, {high:.3f}]"
    text = text if kind["std"] is None else f"{text} ± {kind['std']:.3f}"
    return f"({text})" if name in row["told"] else text


def _difference(kind: dict) -> str:
    low, high = kind["ci95"]
    return f"{kind['difference']:+.3f} [{low:+.3f}, {high:+.3f}]"


def _intervals(runs: int) -> str:
    text = "AUROC, with its 95 % interval over images"
    return text if runs == 1 else f"{text}; ± its standard deviation over {runs} runs"
