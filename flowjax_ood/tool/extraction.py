"""Vectors of many images, in chunks that survive an interruption."""

import hashlib
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flowjax_ood.data.archives import open_archive, write_archive
from flowjax_ood.novelty.features import Features
from flowjax_ood.runtime.progress import progress
from flowjax_ood.tool.reading import Examples, digest

# images between two looks at the clock, and between what is kept
CHUNK = 64
# longest side of the small pictures on the page
THUMBNAIL = 64
# at most so long, pictures are kept exactly
EXACT = 48


@dataclass(frozen=True, eq=False)
class Extracted:
    """Of the images that could be read: `vectors [M, D]`, `digests`, small pictures.

    `rows [M]`: their numbers among all; `problems`: what is wrong with the others.
    """

    rows: np.ndarray
    vectors: np.ndarray
    digests: np.ndarray  # uint8 [M, 16]
    thumbnails: list[bytes]
    problems: dict[int, str]


def extract(
    examples: Examples,
    features: Features | None,
    label: str | None,
    kept: Path | None = None,
) -> Extracted:
    """Read all images and compute their vectors; show progress.

    `features` None: the examples are vectors. `kept`: a folder for what is done, so
    that after an interruption the same call goes on there.
    """
    if features is None:
        return of_vectors(examples)
    parts = []
    with progress(label, len(examples), "images") as shown:
        for rows in _chunks(len(examples)):
            part = _kept(examples, features, rows, kept)
            parts.append(part)
            shown.advance(int(rows[-1]) + 1)
    return join(parts)


def each_chunk(examples: Examples, features: Features | None) -> Iterator[Extracted]:
    """Yield what `extract` joins, chunk by chunk."""
    if features is None:
        yield of_vectors(examples)
        return
    for rows in _chunks(len(examples)):
        yield extract_rows(examples, features, rows)


def extract_rows(examples: Examples, features: Features, rows: np.ndarray) -> Extracted:
    """Read some images and compute their vectors."""

    def make(image: np.ndarray) -> tuple[list[np.ndarray], bytes]:
        # while it is read: many large originals would not fit in memory together
        views = [brought_to(image, shape) for shape in features.shapes]
        return views, thumbnail(image)

    images, digests, thumbnails, good = [], [], [], []
    problems: dict[int, str] = {}
    for row, picture in zip(rows, examples.pictures(rows, make), strict=True):
        if picture.made is None:
            problems[int(row)] = picture.problem
            continue
        views, small = picture.made
        good.append(row)
        images.append(views)
        digests.append(np.frombuffer(picture.digest, np.uint8))
        thumbnails.append(small)
    vectors = np.zeros((0, features.dims), np.float32)
    if images:
        vectors = features.vectors([np.stack(own) for own in zip(*images, strict=True)])
    return Extracted(
        np.array(good, int),
        vectors,
        np.array(digests, np.uint8).reshape(-1, 16),
        thumbnails,
        problems,
    )


def join(parts: list[Extracted]) -> Extracted:
    """Put chunks together."""
    return Extracted(
        np.concatenate([p.rows for p in parts]),
        np.concatenate([p.vectors for p in parts]),
        np.concatenate([p.digests for p in parts]),
        [t for p in parts for t in p.thumbnails],
        {row: text for p in parts for row, text in p.problems.items()},
    )


def brought_to(image: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Bring uint8 `[H, W, C]` to a shape: all of it, squeezed, bilinear, antialiased.

    Nothing is cropped: what is strange may be at the edge. Grey from colours is
    ITU-R 601 luma.
    """
    from PIL import Image

    height, width, channels = shape
    if image.shape == shape:
        return image
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    picture = picture.convert("L" if channels == 1 else "RGB")
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture).reshape(shape)


def thumbnail(image: np.ndarray) -> bytes:
    """A small picture as the bytes of a PNG or JPEG."""
    from PIL import Image

    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    written = io.BytesIO()
    if max(picture.size) <= EXACT:
        picture.save(written, "PNG")
    else:
        picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR)
        picture.save(written, "JPEG", quality=85)
    return written.getvalue()


def packed(pictures: list[bytes]) -> dict[str, np.ndarray]:
    """Small pictures as two arrays: their bytes, and where each ends."""
    ends = np.cumsum([len(p) for p in pictures], dtype=np.int64)
    return {"bytes": np.frombuffer(b"".join(pictures), np.uint8), "ends": ends}


def unpacked(data: np.ndarray, ends: np.ndarray) -> list[bytes]:
    """The inverse of `packed`."""
    content, starts = data.tobytes(), [0, *ends[:-1].tolist()]
    return [content[a:b] for a, b in zip(starts, ends.tolist(), strict=True)]


def _chunks(count: int) -> Iterator[np.ndarray]:
    for start in range(0, count, CHUNK):
        yield np.arange(start, min(start + CHUNK, count))


def of_vectors(examples: Examples) -> Extracted:
    """What is known of vectors: no pictures, and no problems."""
    vectors = examples.vectors
    assert vectors is not None, "these are images"
    digests = [np.frombuffer(digest(v), np.uint8) for v in vectors]
    rows = np.arange(len(vectors))
    return Extracted(rows, vectors, np.array(digests), [b""] * len(rows), problems={})


def _kept(examples, features, rows, folder: Path | None) -> Extracted:
    """A chunk as it was kept, or made and kept now."""
    if folder is None:
        return extract_rows(examples, features, rows)
    file = folder / f"{_name(examples, features, rows)}.npz"
    if file.is_file():
        try:
            return _read(file)
        except (ValueError, KeyError):
            file.unlink(missing_ok=True)  # cut short
    part = extract_rows(examples, features, rows)
    write_archive(
        file,
        {
            "rows": part.rows,
            "vectors": part.vectors,
            "digests": part.digests,
            "problems": np.array(json.dumps(part.problems)),
            **packed(part.thumbnails),
        },
    )
    return part


def _read(file: Path) -> Extracted:
    with open_archive(file) as archive:
        problems = archive.read_json("problems")
        return Extracted(
            archive.read("rows"),
            archive.read("vectors"),
            archive.read("digests"),
            unpacked(archive.read("bytes"), archive.read("ends")),
            {int(row): text for row, text in problems.items()},
        )


def _name(examples: Examples, features: Features, rows: np.ndarray) -> str:
    """A name that is another one for other files, or those files changed."""
    what = hashlib.blake2b(repr(features).encode(), digest_size=12)
    for row in rows:
        if examples.images is None:
            what.update(_identity(examples.paths[row]))
        else:
            what.update(np.ascontiguousarray(examples.images[row]).tobytes())
    return what.hexdigest()


def _identity(path: Path) -> bytes:
    """Which file it is, and in which state."""
    name = os.fsencode(path.absolute())
    try:
        found = path.stat()
    except OSError:
        return name
    state = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
    return name + repr(state).encode()
