"""Source `npz`: NumPy archives, the hook for any data set of one's own."""

import os

from flowjax_ood.data.archives import find_archive, open_archive
from flowjax_ood.data.checks import unknown
from flowjax_ood.data.sets import ImageSet, check_images
from flowjax_ood.runtime.paths import AnyPath


def load_npz(
    name: str, split: str, *, path: str | os.PathLike | None = None
) -> ImageSet:
    """Read the images and labels of `split` in `path`, or in `path/NAME.npz`.

    Keys, the first that is there: `SPLIT_images` with `SPLIT_labels`; `SPLIT` with
    `SPLIT_labels` (the paper's `train` and `test` arrays); and, for the split `test`
    alone, `images` with `labels`: serving the same array as two splits would let a
    model be tested on what it was trained on. Labels are optional.

    Images are uint8 `[N, H, W]` or `[N, H, W, C]` of any C, or uint16 of more than 256
    values, never pickled. Floats and channels first are refused, with the conversion to
    write.
    """
    remedy = f"make it with np.savez('{name}.npz', train=..., test=...)"
    file = find_archive("npz", path, [name], remedy)
    with open_archive(file) as archive:
        image_key, label_key = _keys(archive.keys, split, file)
        images = archive.read(image_key)
        images = images[..., None] if images.ndim == 3 else images
        check_images(images, f"{file}[{image_key!r}]", deep=True)
        labels = archive.labels(label_key)
    origin = f"key {image_key!r} of {file}"
    return ImageSet(name, split, images, labels, "npz", origin)


def _keys(keys: list[str], split: str, file: AnyPath) -> tuple[str, str]:
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
