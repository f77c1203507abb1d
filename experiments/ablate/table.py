"""The table of an ablation: mean and deviation of its rows over seeds, and figures."""

from functools import partial
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from experiments.ablate.grid import Cell, words
from experiments.core.results import mean_std, versions
from flowjax_ood import figures
from flowjax_ood.interface import text
from flowjax_ood.runtime.files import write_bytes

# the figures, without .png: the second where rows differ in the width of a bottleneck
FIGURES = ("ablation", "bottleneck")
TITLE = "Mean ± standard deviation over seeds"
# of results.json: one value per run, and one per run and set
SCALARS = ("params", "steps", "images_seen", "train_seconds", "images_per_second")
SPREAD = ("auroc", "bits_per_dim", "bits_per_dim_median")
PER_SET = (*SPREAD, "outlier_fraction", "auroc_ci95")
# the key whose values the bottleneck figure has on its axis, and the st-networks that
# pass everything through so many numbers
BOTTLENECK = "model.latent_dim"
ST_NET = "model.st_net"
NARROW = ("resnet_ae", "autoencoder")


def summary(config: ConfigDict, grid: list[Cell], done: dict, failed: dict) -> dict:
    """The content of ablation.json.

    `done`: `{run: results}` of the runs that are done; `failed`: reasons.

    A row holds lists in the order of its `seeds`, and `{measure}_mean` and
    `{measure}_std` of each set over them (the sample's, n - 1; null for one seed).
    `missing` are runs not done yet, `failed` those that diverged, with the reason.
    """
    rows, data, id_name = [], {}, None
    for cell in grid:
        seeds = [seed for seed in cell.configs if cell.run(seed) in done]
        if seeds:
            results = [done[cell.run(seed)] for seed in seeds]
            data, id_name = results[0]["data"], results[0]["in_distribution"]
            rows.append(_row(cell, seeds, results))
    runs = [cell.run(seed) for cell in grid for seed in cell.configs]
    return {
        "in_distribution": id_name,
        "data": data,
        "rows": rows,
        "missing": [run for run in runs if run not in done | failed],
        "failed": failed,
        "config": {k: v for k, v in config.to_dict().items() if k != "ablate"},
        "versions": versions(),
    }


def _row(cell: Cell, seeds: list[int], results: list[dict]) -> dict:
    model = cell.configs[seeds[0]].model
    narrow = model.get("st_net") in NARROW
    row: dict[str, Any] = {
        "name": cell.name,
        "settings": cell.settings,
        "seeds": seeds,
        "latent_dim": model.latent_dim if narrow else None,
    }
    row |= {key: [r[key] for r in results] for key in SCALARS}
    for key in PER_SET:
        # `evaluate` may have scored one of them on other sets meanwhile
        scored = [n for n in results[0][key] if all(n in r[key] for r in results)]
        row[key] = {name: [r[key][name] for r in results] for name in scored}
    for key in SPREAD:
        spread = {name: mean_std(values) for name, values in row[key].items()}
        row[f"{key}_mean"] = {name: mean for name, (mean, _) in spread.items()}
        row[f"{key}_std"] = {name: std for name, (_, std) in spread.items()}
    return row


def columns(content: dict) -> tuple[list[str], list[list[str]]]:
    """Headers and rows of the table, as text."""
    id_name = content["in_distribution"]
    ood = list(content["rows"][0]["auroc"]) if content["rows"] else []
    measures = {f"bits/dim, {id_name}": ("bits_per_dim", id_name)}
    for name in ood:
        measures[f"bits/dim, {name}"] = ("bits_per_dim", name)
        measures[f"AUROC, {name}"] = ("auroc", name)
    rows = []
    for row in content["rows"]:
        cells = [row["name"], str(len(row["seeds"])), f"{row['params'][0]:,}"]
        for key, name in measures.values():
            mean, std = row[f"{key}_mean"][name], row[f"{key}_std"][name]
            cells.append(text.plus_minus(mean, std))
        rows.append(cells)
    return ["flow", "seeds", "parameters", *measures], rows


def write_markdown(content: dict, path: Path) -> None:
    """Write the table as Markdown, with what it does not hold yet."""
    lines = [text.markdown_table(*columns(content)), "", f"{TITLE}.", ""]
    lines += [f"Not done: {text.inline(name)}." for name in content["missing"]]
    lines += [f"Diverged: {text.inline(name)}." for name in content["failed"]]
    write_bytes(path, ("\n".join(lines).rstrip() + "\n").encode())


def figures_of(content: dict) -> dict:
    """`{file name: what draws it}`: all rows, and what the bottleneck's width does."""
    own = {"id_name": content["in_distribution"]}
    rows = {row["name"]: row for row in content["rows"]}
    rows_file, curves_file = FIGURES
    by_file = {rows_file: partial(figures.ablation_rows, rows, **own)}
    if series := bottleneck_series(content["rows"]):
        by_file[curves_file] = partial(figures.bottleneck_curves, series, **own)
    return by_file


def bottleneck_series(rows: list[dict]) -> dict:
    """`{series: {latent_dim or None: row}}` of rows that differ in it alone.

    None is the row of the same settings without a bottleneck, where there is one. Only
    series with two widths or more, as one makes no curve.
    """
    series: dict[tuple[str, str], dict[int, dict]] = {}
    open_ended: dict[str, dict] = {}
    for row in rows:
        own = {k: v for k, v in row["settings"].items() if k != BOTTLENECK}
        flow = words({k: v for k, v in own.items() if k != ST_NET})
        if row["latent_dim"] is not None:
            widths = series.setdefault((words(own) or "all", flow), {})
            widths[row["latent_dim"]] = row
        # another st-network would not be the same flow without its bottleneck
        elif own.get(ST_NET, "resnet") == "resnet":
            open_ended.setdefault(flow, row)
    return {
        name: dict(sorted(widths.items()))
        | ({None: open_ended[flow]} if flow in open_ended else {})
        for (name, flow), widths in series.items()
        if len(widths) > 1
    }
