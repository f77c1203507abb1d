"""Workdirs as `detect` leaves them, of made-up scores and without any network."""

import json
from pathlib import Path

import numpy as np

from experiments.core import score_cache
from experiments.core.score_cache import PREDICTED, TRUE, Scored

CLOTHING, DIGITS, TRAINING = "clothing", "digits", "clothing:train"


def keep(folder: Path, name: str, scores: dict) -> None:
    """Keep arrays as `detect` does, under a key that nobody knows."""
    sizes = {n: len(s) for n, s in scores.items()}
    scored = Scored({n: np.float32(s) for n, s in scores.items()}, [], {}, 0.0, 0.0)
    score_cache.kept(folder, name, "of other code", sizes, lambda: scored)


def finish(workdir: Path, rows, sets: dict[str, int], training: str = "") -> None:
    """Write results.json: of rows `(name, protocol)`, and of sets."""
    data = {n: {"name": n, "split": "test"} for n in sets}
    data["train"] = {"name": CLOTHING, "split": "train"}
    if training:
        data[training] = dict(data["train"])
    listed = [{"name": name, "protocol": protocol} for name, protocol in rows]
    content = {"evaluated": sets, "rows": listed, "data": data}
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / "results.json").write_text(json.dumps(content))


def detect_run(
    workdir: Path, detectors: dict[str, dict], *, labels=None, predicted=None
) -> Path:
    """A run of one network, `seed_0`; all detectors choose nothing."""
    folder = workdir / "scores" / "seed_0"
    for name, scores in detectors.items():
        keep(folder, f"{name} none", scores)
    sets: dict[str, int] = {}
    for scores in detectors.values():
        sets |= {n: len(s) for n, s in scores.items() if not n.startswith("fog")}
    if labels is not None:
        keep(folder, TRUE, {CLOTHING: labels})
    if predicted is not None:
        keep(folder, PREDICTED, predicted)
    training = TRAINING if TRAINING in sets else ""
    finish(workdir, [(name, "none") for name in detectors], sets, training)
    return workdir
