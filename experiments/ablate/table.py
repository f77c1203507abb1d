"""The table of an ablation: mean and deviation of its rows over seeds, and figures."""

from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from experiments.ablate.grid import Cell
from experiments.core import text
from experiments.core.results import versions
from flowjax_ood import figures
from flowjax_ood.runtime.files import write_bytes

TITLE = "Mean ± standard deviation over seeds"
# of results.json: one value per run, and one per run and set
SCALARS = ("params", "steps", "images_seen", "train_seconds", "images_per_second")
PER_SET = ("auroc", "bits_per_dim", "bits_per_dim_median", "outlier_fraction")
# the key whose values the bottleneck figure has on its axis
BOTTLENECK = "model.latent_dim"
ST_NET = "model.st_net"
# st-networks that pass everything through `latent_dim` numbers
NARROW = ("resnet_ae", "autoencoder")


def summary(config: ConfigDict, grid: list[Cell], done: dict, failed: dict) -> dict:
    """The content of ablation.json.

    `done`: `{(row name, seed): results}` of the runs that are done; `failed`: reasons.

    A row holds lists in the order of its `seeds`, and `{measure}_mean` and
    `{measure}_std` of each set over them (the sample's, n - 1; null for one seed).
    `missing` are runs not done yet, `failed` those that diverged, with the reason.
    """
    rows, data, id_name = [], {}, None
    for cell in grid:
        seeds = [seed for seed in cell.configs if (cell.name, seed) in done]
        if not seeds:
            continue
        results = [done[cell.name, seed] for seed in seeds]
        data, id_name = results[0]["data"], results[0]["in_distribution"]
        rows.append(_row(cell, seeds, results))
    runs = [(cell.name, seed) for cell in grid for seed in cell.configs]
    known = done.keys() | failed.keys()
    base = {k: v for k, v in config.to_dict().items() if k != "ablate"}
    return {
        "in_distribution": id_name,
        "data": data,
        "rows": rows,
        "missing": [f"{n}, seed {s}" for n, s in runs if (n, s) not in known],
        "failed": {f"{n}, seed {s}": why for (n, s), why in failed.items()},
        "config": base,
        "versions": versions(),
    }


def _row(cell: Cell, seeds: list[int], results: list[dict]) -> dict:
    row = {"name": cell.name, "settings": cell.settings, "seeds": seeds}
    model = next(iter(cell.configs.values())).model
    row["latent_dim"] = _latent_dim(model)
    for key in SCALARS:
        row[key] = [r[key] for r in results]
    for key in PER_SET:
        row[key] = {name: [r[key][name] for r in results] for name in results[0][key]}
    for key in ("auroc", "bits_per_dim", "bits_per_dim_median"):
        row[f"{key}_mean"] = {n: _mean(v) for n, v in row[key].items()}
        row[f"{key}_std"] = {n: _std(v) for n, v in row[key].items()}
    row["auroc_ci95"] = {
        name: [r["auroc_ci95"][name] for r in results] for name in row["auroc"]
    }
    return row


def _latent_dim(model: ConfigDict) -> int | None:
    """Numbers that everything passes through in an st-network; None: no bottleneck."""
    narrow = model.get("st_net") in NARROW
    return model.latent_dim if narrow else None


def _mean(values: list) -> float | None:
    return None if None in values else float(np.mean(values))


def _std(values: list) -> float | None:
    if None in values or len(values) < 2:
        return None
    return float(np.std(values, ddof=1))


def columns(content: dict) -> tuple[list[str], list[list[str]]]:
    """Headers and rows of the table, as text."""
    id_name = content["in_distribution"]
    ood = list(content["rows"][0]["auroc"]) if content["rows"] else []
    headers = ["flow", "seeds", "parameters", f"bits/dim, {id_name}"]
    for name in ood:
        headers += [f"bits/dim, {name}", f"AUROC, {name}"]
    rows = []
    for row in content["rows"]:
        cells = [row["name"], str(len(row["seeds"])), f"{row['params'][0]:,}"]
        cells.append(_plus_minus(row, "bits_per_dim", id_name))
        for name in ood:
            cells.append(_plus_minus(row, "bits_per_dim", name))
            cells.append(_plus_minus(row, "auroc", name))
        rows.append(cells)
    return headers, rows


def _plus_minus(row: dict, key: str, name: str) -> str:
    return text.plus_minus(row[f"{key}_mean"][name], row[f"{key}_std"][name])


def write_markdown(content: dict, path: Path) -> None:
    """Write the table as Markdown, with what it does not hold yet."""
    lines = [text.markdown_table(*columns(content)), "", f"{TITLE}.", ""]
    lines += [f"Not done: {name}." for name in content["missing"]]
    lines += [f"Diverged: {name}." for name in content["failed"]]
    write_bytes(path, ("\n".join(lines).rstrip() + "\n").encode())


def print_rows(content: dict) -> None:
    """Print the table on the terminal."""
    text.print_table(*columns(content), title=TITLE)


def figures_of(content: dict) -> dict:
    """`{file name: figure}`: all rows, and what the bottleneck's width does."""
    id_name = content["in_distribution"]
    rows = {
        row["name"]: {"auroc": row["auroc"], "bits_per_dim": row["bits_per_dim"]}
        for row in content["rows"]
    }
    by_file = {"ablation": figures.ablation_rows(rows, id_name=id_name)}
    series = bottleneck_series(content["rows"])
    if series:
        by_file["bottleneck"] = figures.bottleneck_curves(series, id_name=id_name)
    return by_file


def bottleneck_series(rows: list[dict]) -> dict:
    """`{series: {latent_dim or None: row}}` of rows that differ in it alone.

    None is the row of the same settings without a bottleneck, where there is one. Only
    series with two widths or more, as one makes no curve.
    """
    series, open_ended = {}, {}
    for row in rows:
        own = {k: v for k, v in row["settings"].items() if k != BOTTLENECK}
        flow = {k: v for k, v in own.items() if k != ST_NET}
        if row["latent_dim"] is None:
            # another st-network would not be the same flow without its bottleneck
            if own.get(ST_NET, "resnet") == "resnet":
                open_ended.setdefault(_words(flow), row)
            continue
        entry = series.setdefault(_words(own), ({}, _words(flow)))
        entry[0][row["latent_dim"]] = row
    return {
        name: dict(sorted(widths.items()))
        | ({None: open_ended[flow]} if flow in open_ended else {})
        for name, (widths, flow) in series.items()
        if len(widths) > 1
    }


def _words(settings: dict) -> str:
    named = (f"{key.split('.')[-1]}={value}" for key, value in settings.items())
    return ", ".join(named) or "all"
