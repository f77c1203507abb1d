"""A fitted detector as a directory: a manifest in JSON, arrays, checksums; no pickles.

    manifest.json        settings, parts, counts, versions, names and SHA-256 of:
    detector-SHA.npz     arrays of the model, ranks and calibration scores
    NAME-SHA.npz         what a command adds

Nothing in it is executed when it is read. The manifest is replaced last, in one step:
whatever happens before, the detector that was there is still there. One of another
format is refused.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from flowjax_ood import __version__
from flowjax_ood.data.archives import open_archive, write_archive
from flowjax_ood.novelty.calibration import NormalScores
from flowjax_ood.novelty.combination import RankGauss
from flowjax_ood.novelty.density import Density, FlowSettings
from flowjax_ood.novelty.detector import (
    NoveltyDetector,
    NoveltyModel,
    NoveltySettings,
    View,
)
from flowjax_ood.novelty.parts import (
    Band,
    Clusters,
    Neighbours,
    Part,
    Projection,
    Residual,
)
from flowjax_ood.ood.mahalanobis import Mahalanobis
from flowjax_ood.runtime.files import write_bytes

FORMAT, VERSION = "flowjax_ood novelty detector", 1
# of any number that shapes a network: more is no detector of ours
LARGEST = 10_000
MANIFEST, ARRAYS = "manifest.json", "detector"
KINDS = {
    "band": Band,
    "residual": Residual,
    "neighbours": Neighbours,
    "clusters": Clusters,
    "flow": Density,
}


class DetectorError(ValueError):
    """A directory is no detector, is damaged, or is of a format that is not read."""


def save(
    path: Path,
    detector: NoveltyDetector,
    facts: Mapping[str, Any],
    arrays: Mapping[str, Mapping[str, np.ndarray]] | None = None,
) -> None:
    """Write a detector to a directory, which may hold an older one.

    `facts`: JSON values for the manifest; `arrays`: other archives, by the name of
    their file without suffix.
    """
    path.mkdir(parents=True, exist_ok=True)
    own, described = _to_arrays(detector)
    files = {}
    for name, content in {ARRAYS: own, **(arrays or {})}.items():
        written = path / f"{name}-new.npz"
        write_archive(written, content)
        sha256 = _sha256(written)
        file = f"{name}-{sha256[:8]}.npz"
        written.replace(path / file)
        files[name] = {"file": file, "sha256": sha256}
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "flowjax_ood": __version__,
        "detector": described,
        "facts": dict(facts),
        "files": files,
    }
    manifest["sha256"] = _of_content(manifest)
    text = json.dumps(manifest, indent=2, allow_nan=False) + "\n"
    write_bytes(path / MANIFEST, text.encode())
    current = {of["file"] for of in files.values()}
    for name in files:
        for old in path.glob(f"{name}-????????.npz"):
            if old.name not in current:
                old.unlink()


def is_detector(path: Path) -> bool:
    """Whether a directory holds a detector, damaged or of any version."""
    file = path / MANIFEST
    return file.is_file() and FORMAT in file.read_text("utf-8", "replace")


def is_archive(name: str) -> bool:
    """Whether a file is called as the archives of a detector are."""
    return re.fullmatch(r"\.?\w+-(new|[0-9a-f]{8})\.npz.*", name) is not None


def read_manifest(path: Path) -> dict[str, Any]:
    """Read and check the manifest of a detector.

    Raises DetectorError for what is no detector, is damaged or of another format.
    """
    file = path / MANIFEST
    if not file.is_file():
        raise DetectorError(
            f"{path} is no detector: there is no {MANIFEST}; make one by `fit`"
        )
    try:
        manifest = json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise DetectorError(f"{file} is damaged ({error}): fit it again") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DetectorError(f"{file} is of something else than a detector")
    if manifest.get("version") != VERSION:
        raise DetectorError(
            f"{path} was written in version {manifest.get('version')} of the format, "
            f"by flowjax_ood {manifest.get('flowjax_ood')}; this is flowjax_ood "
            f"{__version__}, which reads version {VERSION}: fit it again, or use that "
            "release"
        )
    if manifest.pop("sha256", None) != _of_content(manifest):
        raise DetectorError(
            f"{file} was changed: its content has another SHA-256 than it says; copy "
            "it again, or fit again"
        )
    return manifest


def _of_content(manifest: Mapping[str, Any]) -> str:
    """The SHA-256 of a manifest without its own."""
    text = json.dumps(manifest, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def load(path: Path) -> tuple[NoveltyDetector, dict[str, Any]]:
    """Read a detector and the facts of its manifest; checksums are verified.

    Raises DetectorError as `read_manifest`, and for files that are missing or changed.
    """
    manifest = read_manifest(path)
    try:
        for name in manifest["files"]:
            _file(path, manifest, name, check=True)
        with open_archive(_file(path, manifest, ARRAYS)) as archive:
            arrays = {key: archive.read(key) for key in archive.keys}
        detector = _of_arrays(arrays, manifest["detector"])
        _check(detector)
        return detector, manifest["facts"]
    except DetectorError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DetectorError(
            f"{path} is damaged: {type(error).__name__} {error}; fit it again"
        ) from error


def _check(detector: NoveltyDetector) -> None:
    """Raise ValueError unless all arrays fit together; nothing is computed."""
    for view in detector.model.views:
        for part in view.parts:
            numbers = vars(part.settings) if isinstance(part, Density) else vars(part)
            for name, value in numbers.items():
                if isinstance(value, int) and not 0 <= value <= LARGEST:
                    raise ValueError(f"{name} is {value}, not in 0 ... {LARGEST}")
    x = jax.ShapeDtypeStruct((2, detector.dims), np.float32)
    _, values = jax.eval_shape(detector.model.both, x)
    count = values.shape[1]
    if detector.ranked.ndim != 2 or detector.ranked.shape[1] != count:
        raise ValueError(f"ranks have shape {detector.ranked.shape}, not [m, {count}]")


def _file(path: Path, manifest: dict, name: str, check: bool = False) -> Path:
    """The file of an archive, its checksum verified if asked for."""
    entry = manifest["files"][name]
    file = path / entry["file"]
    if Path(entry["file"]).name != entry["file"] or not file.is_file():
        raise DetectorError(f"{path}: {entry['file']} is missing; fit it again")
    if check and _sha256(file) != entry["sha256"]:
        raise DetectorError(
            f"{file} is damaged: its SHA-256 is not the one in {MANIFEST}; copy it "
            "again, or fit again"
        )
    return file


def read_arrays(path: Path, name: str) -> dict[str, np.ndarray]:
    """Read another archive of a detector that `load` has read.

    Raises DetectorError where there is none of that name.
    """
    manifest = read_manifest(path)
    if name not in manifest["files"]:
        raise DetectorError(f"{path} has no archive called {name}; fit it again")
    with open_archive(_file(path, manifest, name)) as archive:
        return {key: archive.read(key) for key in archive.keys}


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _to_arrays(detector: NoveltyDetector) -> tuple[dict[str, np.ndarray], dict]:
    model = detector.model
    arrays = {
        "ranked": detector.ranked,
        "references": detector.references,
        "calibration": detector.calibration.scores,
        "repeated": detector.calibration.repeated,
    }
    arrays |= _fields("combination", model.combination)
    views = []
    for v, view in enumerate(model.views):
        arrays |= _fields(f"view/{v}/projection", view.projection)
        parts = []
        for k, (name, part) in enumerate(zip(view.names, view.parts, strict=True)):
            own, plain = _of_part(f"view/{v}/part/{k}", part)
            arrays |= own
            kind = next(kind for kind, of in KINDS.items() if isinstance(part, of))
            parts.append({"name": name, "kind": kind, **plain})
        views.append(
            {
                "settings": asdict(detector.settings[v]),
                "columns": [view.low, view.high],
                "near": view.projection.near,
                "whiten": view.projection.whiten,
                "parts": parts,
            }
        )
    described = {
        "views": views,
        "kept": list(model.kept),
        "fitted": detector.fitted,
    }
    return arrays, described


def _of_part(where: str, part: Part) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays of a part, and its numbers for the manifest."""
    if isinstance(part, Clusters):
        return _fields(where, part.gaussians), {}
    if isinstance(part, Density):
        flat = flatten_dict(part.variables, sep="/")
        arrays = {f"{where}/{key}": np.asarray(a) for key, a in flat.items()}
        return arrays, {"settings": asdict(part.settings), "dims": part.dims}
    plain = {k: value for k, value in vars(part).items() if isinstance(value, int)}
    return _fields(where, part), plain


def _fields(where: str, of: Any) -> dict[str, np.ndarray]:
    """The arrays among the fields of a dataclass."""
    return {
        f"{where}/{name}": np.asarray(value)
        for name, value in vars(of).items()
        if isinstance(value, jax.Array | np.ndarray)
    }


def _of_arrays(arrays: Mapping[str, np.ndarray], described: dict) -> NoveltyDetector:
    def of(where: str) -> dict[str, jax.Array]:
        prefix = where + "/"
        return {
            key.removeprefix(prefix): jnp.asarray(value)
            for key, value in arrays.items()
            if key.startswith(prefix)
        }

    views, settings = [], []
    for v, view in enumerate(described["views"]):
        projection = Projection(
            **of(f"view/{v}/projection"), near=view["near"], whiten=view["whiten"]
        )
        parts = enumerate(view["parts"])
        low, high = view["columns"]
        views.append(
            View(
                low,
                high,
                projection,
                tuple(part["name"] for part in view["parts"]),
                tuple(_part(part, of(f"view/{v}/part/{k}")) for k, part in parts),
            )
        )
        own = dict(view["settings"])
        flow, columns = own.pop("flow"), own.pop("columns")
        settings.append(
            NoveltySettings(
                **own,
                flow=flow and FlowSettings(**flow),
                columns=columns and tuple(columns),
            )
        )
    return NoveltyDetector(
        tuple(settings),
        NoveltyModel(
            tuple(views), tuple(described["kept"]), RankGauss(**of("combination"))
        ),
        arrays["ranked"],
        arrays["references"],
        NormalScores(arrays["calibration"], arrays["repeated"]),
        described["fitted"],
    )


def _part(described: dict, arrays: dict[str, jax.Array]) -> Part:
    kind = KINDS[described["kind"]]
    plain = {k: v for k, v in described.items() if k not in ("name", "kind")}
    if kind is Clusters:
        return Clusters(Mahalanobis(**arrays, background=None))
    if kind is Density:
        settings = FlowSettings(**plain["settings"])
        return Density(unflatten_dict(arrays, sep="/"), settings, plain["dims"])
    return kind(**arrays, **plain)
