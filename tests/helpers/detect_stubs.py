"""Images, networks and a flow too small to train, for tests of `detect`."""

import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from sklearn.metrics import roc_auc_score

from experiments.core import build
from experiments.core.config import load_config
from experiments.core.evaluation import TrainedFlow
from experiments.core.sets import Sets
from experiments.detect import detectors
from flowjax_ood.data.sets import ImageSet
from flowjax_ood.ood.detector import Detector, Fitted
from flowjax_ood.ood.detectors.gram import Gram
from flowjax_ood.ood.network import Network
from flowjax_ood.training.loop import Run
from flowjax_ood.training.state import TrainState

FLOW = "experiments/configs/demo.py:smoke"
CONFIG = "experiments/configs/fashion_mnist_detect.py:smoke"
SIDE, CLASSES, UNITS = 8, 3, 12
SHAPE = (SIDE, SIDE, 1)
ID_NAME, OOD_NAMES = "blobs", ("grey", "between")
_RNG = np.random.RandomState(3)
_CENTERS = 60 + 130 * (_RNG.rand(CLASSES, *SHAPE) > 0.5)
_FIRST = (_RNG.randn(SIDE * SIDE, UNITS) / 4).astype(np.float32)


def config(**detect) -> ConfigDict:
    """Of few images: 24 to choose by, no dropout, nothing corrupted.

    All sets are of one batch: a program is compiled once.
    """
    found = load_config(CONFIG, ["eval.batch_size=24", "detect.corrupted=()"])
    found = ConfigDict(found.to_dict())
    found.detect.update({"validation": 24, "dropout_passes": 0} | detect)
    return found


def _set(name: str, split: str, x, labels=None) -> ImageSet:
    pixels = np.clip(np.rint(x), 0, 255).astype(np.uint8)
    return ImageSet(name, split, pixels, labels, "synthetic", "made for a test")


def _blobs(split: str, count: int, seed: int) -> ImageSet:
    labels = np.arange(count, dtype=np.int32) % CLASSES
    noise = 15 * np.random.RandomState(seed).randn(count, *SHAPE)
    return _set(ID_NAME, split, _CENTERS[labels] + noise, labels)


def sets(count: int = 48) -> Sets:
    """Three blobs of images; one OOD set is far from them, one between two of them."""
    noise = 15 * np.random.RandomState(4).randn(2, count, *SHAPE)
    middle = (_CENTERS[0] + _CENTERS[1]) / 2
    ood = {
        "grey": _set("grey", "test", 128 + noise[0]),
        "between": _set("between", "test", middle + noise[1]),
    }
    return Sets(_blobs("train", 60, 1), _blobs("test", count, 2), ood)


def _taps(variables, x, put=None):
    # pixels as a map of four channels
    quarters = (put or {}).get("quarters", x.reshape(len(x), SIDE, SIDE // 4, 4))
    hidden = jax.nn.relu((quarters.reshape(len(x), -1) - 0.5) @ variables["first"])
    logits = hidden @ variables["w"] + variables["b"]
    return {"quarters": quarters, "hidden": hidden, "logits": logits}, logits


def _logits(variables, x, put):
    return _taps(variables, x, put)[1]


def network(seed: int = 0) -> Network:
    """Two layers; the last answers 4 for the class of a blob, and 0 for others."""
    first = _FIRST + 0.02 * np.random.RandomState(seed).randn(*_FIRST.shape)
    x = _CENTERS.reshape(CLASSES, -1) / 255
    hidden = np.maximum((x - 0.5) @ first, 0)
    w = np.linalg.pinv(hidden) @ (4 * np.eye(CLASSES))
    values = {"first": first, "w": w, "b": np.zeros(CLASSES)}
    variables = {k: jnp.asarray(v, jnp.float32) for k, v in values.items()}
    return Network(
        _taps,
        variables,
        layers=("quarters", "hidden", "logits"),
        penultimate="hidden",
        head=(variables["w"], variables["b"]),
        mean=(0.5,),
        std=(0.3,),
        replaced=_logits,
    )


def flow_config(*overrides: str) -> ConfigDict:
    """Of two couplings of two features."""
    sizes = {"scales": 1, "couplings": 2, "width": 2, "blocks": 1}
    small = [f"model.{name}={size}" for name, size in sizes.items()]
    return load_config(FLOW, [*small, *overrides])


def flow() -> TrainedFlow:
    """Of the same images, as it was before the first step."""
    config, own = flow_config(), sets()
    x = jnp.asarray(own.train.images / 256, jnp.float32)
    made = build.flow(config, SHAPE)
    params = jax.jit(made.init)(jax.random.key(0), x)["params"]
    state = TrainState(jnp.asarray(7), params, {}, (), {})
    run = Run(state, seconds=1.0, images=1)
    return TrainedFlow(Path("runs/flow"), config, own, run, "flow")


def corrupted(tests: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """`tests` and two more sets of the in-distribution ones, named as corrupted."""
    x = tests[ID_NAME]
    return tests | {"fog 1": x // 2 + 60, "fog 5": x // 4 + 120}


def tests_of(config: ConfigDict, sets: Sets) -> dict[str, np.ndarray]:
    """All sets that are scored."""
    return corrupted(detectors.evaluated(sets, config))


def kept_files(room: Path) -> dict[str, tuple[int, int]]:
    """`{file: what changes when it is written anew}`."""
    files = (f for f in room.rglob("*") if f.is_file())
    return {
        str(f.relative_to(room)): (f.stat().st_ino, f.stat().st_mtime_ns) for f in files
    }


def kept_scores(workdir: Path, row: dict, ood_name: str) -> list[dict]:
    """`{set: scores [N]}` of each network, read from the files of a row of a table."""
    name, protocol = row["name"], row["protocol"]
    known = (name, f"{name} {protocol}", f"{name} {protocol} of {ood_name}")
    words = [text.lower().replace("+", " plus ") for text in known]
    stems = {re.sub("[^a-z0-9]+", "_", text).strip("_") for text in words}
    files = [f for f in (workdir / "scores").rglob("*.npz") if f.stem in stems]
    found = []
    for file in sorted(files):
        with np.load(file) as archive:
            names = json.loads(str(archive["record"]))["sets"]
            found.append({n: archive[f"set_{k}"] for k, n in enumerate(names)})
    return found


def check_table(workdir: Path, results: dict, id_name: str) -> None:
    """Every AUROC of a run is that of the scores in its files."""
    for row in results["rows"]:
        for ood_name, areas in row["auroc_per_network"].items():
            kept = kept_scores(workdir, row, ood_name)
            expected = []
            for scores in kept:
                own, other = scores[id_name], scores[ood_name]
                inside = np.repeat([1, 0], [len(own), len(other)])
                both = np.concatenate([own, other])
                expected.append(roc_auc_score(inside, both))
            np.testing.assert_allclose(areas, expected, atol=1e-9)
            mean = row["auroc_mean"][ood_name]
            np.testing.assert_allclose(mean, np.mean(expected), atol=1e-9)


def shorten(monkeypatch) -> None:
    """Leave of every setting that is searched two values, and of Gram two powers.

    Each compiles programs; their numbers are tested with the detectors.
    """
    short = [Gram((1, 2)) if isinstance(d, Gram) else d for d in detectors.PUBLISHED]
    monkeypatch.setattr(detectors, "PUBLISHED", tuple(short))
    for one in (*detectors.PUBLISHED, *detectors.OF_IMAGES):
        short = {name: values[:2] for name, values in one.grid.items()}
        monkeypatch.setattr(type(one), "grid", short)


def never(*args, **kwargs):
    raise AssertionError("computed again")


def forbid_detectors(monkeypatch) -> None:
    """Let every fit, every score and every pass through a network fail."""

    def all_of(one):
        return [one, *(c for sub in one.__subclasses__() for c in all_of(sub))]

    for one in all_of(Detector):
        monkeypatch.setattr(one, "fit", never)
    for name in ("score", "score_outputs"):
        monkeypatch.setattr(Fitted, name, never)
    monkeypatch.setattr(Network, "collect", never)
