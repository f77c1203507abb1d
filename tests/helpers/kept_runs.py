"""Workdirs as `train`, `ablate` and `samples` leave them, without any training."""

import json
import re
from pathlib import Path

from experiments.core.config import load_config
from experiments.report import command as report
from flowjax_ood import figures
from tests.helpers.experiment_runs import CONFIGS

VERSIONS = {
    "flowjax_ood": "0.1.0",
    "python": "3.11.1",
    "jax": "0.10.2",
    "flax": "0.12",
    "optax": "0.2",
    "device": "1 x Some Device",
    "platform": "cpu",
}


def described(name, split="test", source="idx", count=10_000, shape=(28, 28, 1)):
    found = {"name": name, "split": split, "source": source, "count": count}
    return found | {"shape": list(shape), "origin": f"files of {name}:{split}"}


def results(area=0.1, ood="mnist", **changes) -> dict:
    """results.json of a flow on FashionMNIST."""
    found = {
        "data": {
            "train": described("fashion_mnist", "train", count=60_000),
            "test": described("fashion_mnist"),
            ood: described(ood),
        },
        "in_distribution": "fashion_mnist",
        "bits_per_dim": {"fashion_mnist": 3.0 + area, ood: 2.0 + area},
        "bits_per_dim_median": {"fashion_mnist": 2.9, ood: 1.9},
        "auroc": {ood: area},
        "auroc_ci95": {ood: [area - 0.01, area + 0.02]},
        "train_seconds": 3600.0,
        "images_per_second": 50.0,
        "images_seen": 123_000,
        "steps": 1000,
        "params": 14_707_336,
        "eval": {"batch_size": 256, "seed": 1, "draws": 1, "samples": 40},
        "versions": VERSIONS,
    }
    return found | changes


def picture() -> bytes:
    """A PNG as small as they come."""
    from matplotlib.figure import Figure

    return figures.png_bytes(Figure((0.1, 0.1)), dpi=10)


def keep(
    workdir: Path, found: dict, name="fashion_mnist_realnvp", overrides=()
) -> Path:
    """Write a run."""
    workdir.mkdir(parents=True)
    config = load_config(f"{CONFIGS / name}.py", list(overrides))
    (workdir / "config.json").write_text(json.dumps(config.to_dict()))
    (workdir / "results.json").write_text(json.dumps(found))
    lines = [{"step": s, "bits_per_dim": 9 - s / 500} for s in range(100, 1001, 100)]
    (workdir / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    (workdir / "likelihoods.png").write_bytes(picture())
    return workdir


def keep_ablation(workdir: Path) -> Path:
    """Write an ablation of two rows; the second was trained with one seed."""
    rows = []
    for name, areas in (("mask=checkerboard", [0.1, 0.3]), ("mask=cycle", [0.6])):
        bits = [2.5] * len(areas)
        row = {"name": name, "seeds": list(range(len(areas)))}
        row |= {"params": [4_321] * len(areas), "images_seen": [64_000] * len(areas)}
        row |= {"train_seconds": [60.0] * len(areas)}
        row |= {"auroc": {"mnist": areas}}
        row |= {"auroc_mean": {"mnist": sum(areas) / len(areas)}}
        row |= {"auroc_std": {"mnist": 0.141 if len(areas) > 1 else None}}
        for key in ("mean", "std"):
            value = bits[0] if key == "mean" else None
            sets = {"fashion_mnist": value, "mnist": value}
            row[f"bits_per_dim_{key}"] = sets
        rows.append(row)
    content = {
        "in_distribution": "fashion_mnist",
        "data": {"train": described("fashion_mnist", "train")},
        "rows": rows,
        "missing": ["mask=cycle, seed 1"],
        "failed": {},
        "versions": VERSIONS,
    }
    workdir.mkdir()
    (workdir / "ablation.json").write_text(json.dumps(content))
    (workdir / "ablation.png").write_bytes(picture())
    return workdir


def keep_seeds(tmp_path: Path, areas=(0.10, 0.12, 0.17)) -> list[Path]:
    """Runs alike but for their seed, and their AUROC."""
    return [
        keep(tmp_path / f"run{seed}", results(area), overrides=[f"seed={seed}"])
        for seed, area in enumerate(areas)
    ]


def write_report(tmp_path, *workdirs) -> tuple[str, str]:
    """`(report.html, report.md)` of the workdirs."""
    report.main(workdirs, tmp_path / "out")
    files = [tmp_path / "out" / name for name in ("report.html", "report.md")]
    return tuple(file.read_text() for file in files)


def cells(markdown: str, header: str) -> list[dict[str, str]]:
    """The rows of the table whose header begins so."""
    tables = re.findall(r"(?:^\|.*\n)+", markdown, re.M)
    table = next(t for t in tables if t.startswith(f"| {header} |"))
    lines = [line.strip("| ").split(" | ") for line in table.splitlines()]
    return [dict(zip(lines[0], line)) for line in lines[2:]]


def result_rows(markdown: str) -> list[dict[str, str]]:
    return cells(markdown, "trained on → scored")
