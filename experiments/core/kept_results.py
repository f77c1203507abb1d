"""results.json of an evaluated flow, read again by other commands."""

from pathlib import Path

from experiments.core import json_file
from experiments.core.json_file import Each, IfThere, Items, Maybe, Shape
from flowjax_ood.interface.errors import UserError

# of a set that was trained on or scored
DESCRIBED: dict[str, Shape] = {"name": str, "split": str, "source": str, "count": int}
DESCRIBED |= {"origin": str, "shape": Items(int, 1)}
VERSIONS = {
    **{name: str for name in ("device", "platform", "flowjax_ood", "python")},
    **{name: str for name in ("jax", "flax", "optax")},
}
MEANS = Each(Maybe(float))
# 95% intervals: their lower and upper ends
ENDS = Each(Items(float, 2))
RANKING = {"auroc": Each(float), "auroc_ci95": ENDS}
RESULTS = {
    "data": {"train": DESCRIBED, "test": DESCRIBED},
    "in_distribution": str,
    **RANKING,
    "train_seconds": float,
    "images_per_second": IfThere(Maybe(float)),
    "images_seen": int,
    "steps": int,
    "params": int,
    "eval": dict,
    "versions": VERSIONS,
    "told": IfThere(Items(str)),
    "baselines": IfThere(Each({**RANKING, "fitted_on": int})),
}
# by the unit of likelihood: of images, or else of vectors
OF_IMAGES = ("bits_per_dim", "bits_per_dim_median")
OF_VECTORS = ("nats", "nats_median")


def evaluate_again(workdir: Path) -> str:
    """The remedy for a results.json that is missing or damaged."""
    return f"make it anew: python -m experiments evaluate --workdir={workdir}"


def read_results(workdir: Path, also: dict | None = None) -> dict:
    """results.json of a workdir; UserError, with the remedy, unless it is whole.

    `also`: shapes of more keys that the caller needs.
    """
    file, remedy = workdir / "results.json", evaluate_again(workdir)
    results = json_file.read(file, RESULTS | (also or {}), remedy=remedy)
    measured = OF_VECTORS if "nats" in results else OF_IMAGES
    scored = (results["in_distribution"], *results["auroc"])
    shapes: dict[str, Shape] = {
        key: {name: Maybe(float) for name in scored} for key in measured
    }
    shapes["data"] = {name: DESCRIBED for name in results["auroc"]}
    shapes |= _intervals(results)
    baselines = results.get("baselines", {}).items()
    shapes["baselines"] = IfThere({name: _intervals(of) for name, of in baselines})
    wrong = json_file.mismatch(results, shapes)
    if wrong := wrong or ("" if results["steps"] else "steps is 0"):
        raise UserError(f"{file} is damaged: {wrong}; {remedy}")
    return results


def _intervals(ranking: dict) -> dict:
    """The shape of an interval for every set that is ranked."""
    return {"auroc_ci95": {name: Items(float, 2) for name in ranking["auroc"]}}
