"""table.md and compare.html: flows side by side."""

from experiments.core.score_names import LIKELIHOOD, REMEDIES
from flowjax_ood.interface.document import Document
from flowjax_ood.interface.text import decimals, number, plus_minus

ABOUT = """\
Each flow was trained on the same images, and its scores fitted to, calibrated on and
tested on the same others. AUROC is the probability that a test image scores higher than
an outlier: below 0.5, outliers are preferred. bits/dim are of the images tested, fewer
for a better density; of several seeds, means, and ± the standard deviation. Rows marked
* have no flow: what differs among them is chance, or nothing."""


def document(results: dict, picture: bytes | None) -> Document:
    """Write the content of results.json as a document."""
    flows, blocks = results["flows"], results["blocks"]
    page = Document("Flows compared", results["test"]["name"])
    page.text(ABOUT)
    if picture is not None:
        alt = "AUROC of log p(x) against bits/dim, and means of every score"
        page.figure(picture, "A better density, and what it detects", alt)
    headers = ["flow", "seeds", "parameters", "images seen", "bits/dim"]
    marked = [kind for kinds in blocks.values() for kind in kinds if kind == "digits"]
    headers += marked + [h for block in blocks for h in (f"{block}: mean", "worst")]
    lines = []
    for name, flow in flows.items():
        row = flow["rows"][LIKELIHOOD]
        line = [name, str(flow["runs"]), number(flow["params"])]
        line += [number(flow["images_seen"]), _bits(flow)]
        line += [plus_minus(row["kinds"][kind], row["std"][kind]) for kind in marked]
        for block in blocks:
            measured = row["blocks"][block]
            worst = measured["worst"]
            line.append(decimals(measured["mean"]))
            line.append(f"{decimals(worst['auroc'])}, {_words(worst['kind'])}")
        lines.append(line)
    page.section("Likelihood").table(headers, lines, "AUROC of log p(x)")
    for block in blocks:
        page.section(f"Every score, outliers: {block}")
        lines = []
        for score in (LIKELIHOOD, *REMEDIES):
            own = [flow["rows"].get(score) for flow in flows.values()]
            if not any(own):
                continue
            control = next(row for row in own if row)["control"]
            cells = [_cell(row["blocks"][block]) if row else None for row in own]
            lines.append([f"{score} *" if control else score, *cells])
        page.table(["score", *flows], lines, "Mean AUROC over kinds, and the worst")
    if results["correlations"]:
        page.section("Is a better density a better detector?").text(
            "Rank correlation, over flows, of bits/dim with mean AUROC. Above 0, the "
            f"better density is the worse detector. Of {len(flows)} flows: a few of "
            "them decide it."
        )
        page.table(
            ["score", *blocks],
            [
                [score, *(_sign(by[block]) for block in blocks)]
                for score, by in results["correlations"].items()
            ],
            "Spearman's",
        )
    return page


def _bits(flow: dict) -> str:
    each = flow["bits_per_dim_each"]
    text = decimals(flow["bits_per_dim"])
    return text if len(each) == 1 else f"{text} ({min(each):.3f} to {max(each):.3f})"


def _cell(measured: dict) -> str:
    return f"{measured['mean']:.3f}, {measured['worst']['auroc']:.2f}"


def _sign(value: float | None) -> str | None:
    return None if value is None else f"{value:+.2f}"


def _words(kind: str) -> str:
    return kind.replace("_", " ")
