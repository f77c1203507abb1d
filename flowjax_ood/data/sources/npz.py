"""Source `npz`: NumPy archives, the hook for any data set of one's own."""

import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from flowjax_ood.data.checks import unknown
from flowjax_ood.data.sets import ImageSet, check_images


def load_npz(
    name: str, split: str, *, path: str | os.PathLike | None = None
) -> ImageSet:
    """The images and labels of `split` in `path`, or in `path/NAME.npz`.

    Keys, the first that is there: `SPLIT_images` with `SPLIT_labels`; `SPLIT` with
    `SPLIT_labels` (the paper's `train` and `test` arrays); and, for the split `test`
    alone, `images` with `labels`: serving the same array as two splits would let a
    model be tested on what it was trained on. Labels are optional.

    Images are uint8 `[N, H, W]` or `[N, H, W, C]`, never pickled. Floats and channels
    first are refused, with the conversion to write.
    """
    file = _file(name, path)
    # Opened here: NumPy leaves the file open when it turns out not to be an archive.
    with file.open("rb") as opened:
        try:
            archive = np.load(opened, allow_pickle=False)
        except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise ValueError(f"{file}: not an .npz archive ({error})") from error
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError(f"{file}: holds one array, not a set; use np.savez")
        image_key, label_key = _keys(archive.files, split, file)
        images = _image_array(_read(archive, image_key, file), f"{file}[{image_key!r}]")
        labels = None
        if label_key in archive.files:
            labels = _label_array(
                _read(archive, label_key, file), f"{file}[{label_key!r}]"
            )
    origin = f"key {image_key!r} of {file}"
    return ImageSet(name, split, images, labels, "npz", origin)


def _file(name: str, path: str | os.PathLike | None) -> Path:
    if path is None:
        raise ValueError(
            f"source 'npz' needs path=, the directory of {name}.npz or the file itself"
        )
    path = Path(path)
    if path.is_dir():
        file = path / f"{name}.npz"
        if not file.is_file():
            raise unknown(
                f"an npz data set in {path}",
                name,
                (p.stem for p in path.glob("*.npz")),
                f"make it with np.savez({str(file)!r}, train=..., test=...)",
            )
        return file
    if not path.is_file():
        raise FileNotFoundError(f"no file or directory {os.fspath(path)!r}")
    return path


def _keys(keys: list[str], split: str, file: Path) -> tuple[str, str]:
    if f"{split}_images" in keys:
        return f"{split}_images", f"{split}_labels"
    if split in keys and not split.endswith("_labels"):
        return split, f"{split}_labels"
    if split == "test" and "images" in keys:
        return "images", "labels"
    splits = {k.removesuffix("_images") for k in keys if not k.endswith("labels")}
    if "images" in splits and "test" not in splits:
        splits.add("test")
    raise unknown(
        f"a split in {file}",
        split,
        splits - {"images"},
        f"its keys are {', '.join(sorted(keys))}; name the array {split + '_images'!r}",
    )


def _read(archive: np.lib.npyio.NpzFile, key: str, file: Path) -> np.ndarray:
    try:
        return archive[key]
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        # ValueError: an object array, which only pickle could read; others: damage.
        raise ValueError(f"{file}[{key!r}]: {error}") from error


def _image_array(images: np.ndarray, what: str) -> np.ndarray:
    images = images[..., None] if images.ndim == 3 else images
    check_images(images, what)
    return images


def _label_array(labels: np.ndarray, what: str) -> np.ndarray:
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"{what}: labels must be integers, not {labels.dtype}")
    if labels.size and not -(2**31) <= labels.min() <= labels.max() < 2**31:
        raise ValueError(f"{what}: labels do not fit in int32")
    return labels.astype(np.int32)
