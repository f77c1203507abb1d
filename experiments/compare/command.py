"""`compare --scores=DIR[,DIR...] --out=DIR`: flows side by side, from results alone.

Writes results.json, table.md, compare.html and compare.png.
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from experiments.compare.page import document
from experiments.core import json_file
from experiments.core.json_file import Each, Items, Maybe
from experiments.core.options import refuse_overrides
from experiments.core.reports import leave
from experiments.core.score_names import LIKELIHOOD, REMEDIES
from experiments.core.workdir import check_writable
from flowjax_ood import figures
from flowjax_ood.interface import text
from flowjax_ood.interface.errors import UserError
from flowjax_ood.runtime.messages import warn

PICTURE = "compare.png"
RUN = {
    "name": str,
    "model": str,
    "params": int,
    "steps": int,
    "images_seen": int,
    "bits_per_dim": float,
    "test": dict,
}
BLOCK = {"mean": float, "worst": {"kind": str, "auroc": float}}
ROW = {
    "score": str,
    "control": bool,
    "kinds": Each({"auroc": float, "std": Maybe(float)}),
    "blocks": Each(BLOCK),
}
SHAPE = {"runs": Items(RUN, 1), "blocks": Each(list), "rows": Items(ROW, 1)}
AGAIN = "measure it anew by `scores`, of this version"


def run(args: Namespace, overrides: Sequence[str]) -> None:
    """Run `compare`."""
    refuse_overrides("compare", overrides, ": it reads what `scores` wrote")
    names = text.run_names(args.scores)
    if len(names) < len(args.scores):
        raise UserError("--scores names a directory more than once")
    if len(names) == 1:
        warn("--scores names one directory; more, separated by commas, are compared")
    found = {names[d]: _read(d / "results.json") for d in args.scores}
    _check_alike(found)
    flows = {name: _flow(name, results) for name, results in found.items()}
    check_writable("--out", args.out)
    blocks = next(iter(found.values()))["blocks"]
    results = {
        "test": next(iter(found.values()))["runs"][0]["test"],
        "blocks": blocks,
        "flows": dict(sorted(flows.items(), key=lambda item: item[1]["bits_per_dim"])),
        "correlations": _correlations(flows, blocks),
    }
    leave(
        *(args.out, results, "compare", PICTURE),
        *(lambda: _figure(results), document, _print_table),
    )


def _read(file: Path) -> dict:
    """Read what `scores` wrote of flows. UserError for what another command did."""
    content = json_file.read(file, remedy=AGAIN)
    if not content.keys() >= {"blocks", "rows"}:
        raise UserError(
            f"{file} was not written by `scores`; give what was its --out, not the "
            "workdir of a run"
        )
    json_file.require(content, SHAPE, file, remedy=AGAIN)
    return content


def _check_alike(found: dict[str, dict]) -> None:
    """Raise UserError unless all are of the same images, kinds and blocks."""
    (first, own), *others = found.items()
    for name, results in others:
        for what, there, here in (
            ("test images", own["runs"][0]["test"], results["runs"][0]["test"]),
            ("numbers of images", own.get("images"), results.get("images")),
            ("outliers", own["blocks"], results["blocks"]),
        ):
            if there != here:
                raise UserError(
                    f"{first} and {name} are of other {what}: measure both by `scores` "
                    "with the same arguments"
                )


def _flow(name: str, results: dict) -> dict:
    """What is kept of a flow: facts of its runs, and the rows that are compared."""
    runs, rows = results["runs"], {row["score"]: row for row in results["rows"]}
    if LIKELIHOOD not in rows:
        raise UserError(f"{name} has no row {LIKELIHOOD!r}; {AGAIN}")
    kept = {score: rows[score] for score in (LIKELIHOOD, *REMEDIES) if score in rows}
    bits = [run["bits_per_dim"] for run in runs]
    return {
        "model": runs[0]["model"],
        "params": runs[0]["params"],
        "images_seen": fmean(run["images_seen"] for run in runs),
        "runs": len(runs),
        "bits_per_dim": fmean(bits),
        "bits_per_dim_each": bits,
        "rows": {
            score: {
                "control": row["control"],
                "blocks": row["blocks"],
                "kinds": {kind: area["auroc"] for kind, area in row["kinds"].items()},
                # over runs; None of one
                "std": {kind: area["std"] for kind, area in row["kinds"].items()},
            }
            for score, row in kept.items()
        },
    }


def _correlations(flows: dict[str, dict], blocks: dict[str, list]) -> dict | None:
    """Rank correlations, over flows, of bits/dim with mean AUROC of every block.

    Above 0, a better density is a worse detector. None for fewer than four flows, of
    which any order is likely by chance.
    """
    if len(flows) < 4:
        return None
    bits = [flow["bits_per_dim"] for flow in flows.values()]
    shared = set.intersection(*(set(flow["rows"]) for flow in flows.values()))
    return {
        score: {
            block: _spearman(
                bits,
                [f["rows"][score]["blocks"][block]["mean"] for f in flows.values()],
            )
            for block in blocks
        }
        for score in (LIKELIHOOD, *REMEDIES)
        if score in shared
    }


def _spearman(a: Sequence[float], b: Sequence[float]) -> float | None:
    """None where one of the two does not differ."""
    from scipy.stats import spearmanr

    if len(set(a)) == 1 or len(set(b)) == 1:
        return None
    return float(spearmanr(a, b).statistic)


def _figure(results: dict):
    likelihood = {
        name: (flow["bits_per_dim"], flow["rows"][LIKELIHOOD]["kinds"])
        for name, flow in results["flows"].items()
    }
    block = list(results["blocks"])[-1]
    means = {
        score: {
            name: flow["rows"][score]["blocks"][block]["mean"]
            for name, flow in results["flows"].items()
            if score in flow["rows"]
        }
        for score in (LIKELIHOOD, *REMEDIES)
    }
    return figures.flow_generations(
        likelihood,
        {score: of for score, of in means.items() if of},
        marked="digits",
        block=block,
    )


def _print_table(results: dict) -> None:
    headers = ["flow", "bits/dim"]
    headers += [f"{LIKELIHOOD}, {block}" for block in results["blocks"]]
    lines = [
        [
            name,
            text.decimals(flow["bits_per_dim"]),
            *(
                text.decimals(flow["rows"][LIKELIHOOD]["blocks"][block]["mean"])
                for block in results["blocks"]
            ),
        ]
        for name, flow in results["flows"].items()
    ]
    text.print_table(headers, lines, title="mean AUROC of log p(x)", width=100)
