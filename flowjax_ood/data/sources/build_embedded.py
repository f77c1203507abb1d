"""Rebuild the shipped samples from a directory of IDX files and a font, or check them.

    python -m flowjax_ood.data.sources.build_embedded --idx DIR           # writes them
    python -m flowjax_ood.data.sources.build_embedded --font FILE         # and emoji
    python -m flowjax_ood.data.sources.build_embedded --idx DIR --check   # compares

DIR holds FashionMNIST (train, t10k) and MNIST (train10k: the first 10,000 training
digits, shuffled), under any name that source `idx` knows; FILE is NotoColorEmoji.ttf
2.042 (Debian's package fonts-noto-color-emoji). The parts are those of
`flowjax_ood.data.sources.embedded.PARTS` and `emoji.PARTS`; what is not given is left
as it is. The same input gives the same files, bit for bit; of the font, with one
version of Pillow.
"""

import argparse
import hashlib
import lzma
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flowjax_ood.data.sources import build_emoji
from flowjax_ood.data.sources.embedded import PARTS, Part
from flowjax_ood.data.sources.idx import encode_idx, load_idx
from flowjax_ood.data.sources.shipped import DIRECTORY, SUMS, read_checked, read_sums

_PRESET = 9 | lzma.PRESET_EXTREME


def rebuild(idx: Path, parts: Sequence[Part] = PARTS) -> dict[str, bytes]:
    """Return `{file name: uncompressed IDX bytes}` of all parts, read from `idx`."""
    files = {}
    for part in parts:
        whole = load_idx(part.name, part.taken_from, path=idx)
        end = part.start + part.count
        if len(whole) < end or whole.labels is None:
            raise ValueError(
                f"{part.name}:{part.split} takes images {part.start} to {end - 1} and "
                f"their labels, but there are {len(whole)} images "
                f"{'with' if whole.labels is not None else 'without'} labels: "
                f"{whole.origin}"
            )
        rows = slice(part.start, end)
        files[part.file("images")] = encode_idx(whole.images[rows, :, :, 0])
        files[part.file("labels")] = encode_idx(whole.labels[rows].astype(np.uint8))
    return files


def write(files: dict[str, bytes], out: Path) -> None:
    """Compress `files` into the directory `out`, and add them to its `SHA256SUMS`."""
    out.mkdir(parents=True, exist_ok=True)
    sums = read_sums(out) if (out / SUMS).exists() else {}
    for name, content in sorted(files.items()):
        # CRC64 and the preset are written out: a default might change.
        data = lzma.compress(
            content, lzma.FORMAT_XZ, check=lzma.CHECK_CRC64, preset=_PRESET
        )
        (out / name).write_bytes(data)
        sums[name] = hashlib.sha256(data).hexdigest()
    lines = [f"{digest}  {name}\n" for name, digest in sorted(sums.items())]
    (out / SUMS).write_text("".join(lines))


def check(files: dict[str, bytes], out: Path) -> None:
    """Raise `ValueError` unless `out` holds `files` and agrees with its sums.

    And nothing that its sums do not name.
    Contents are compared uncompressed: the sums pin the compressed bytes, and another
    version of liblzma may compress the same content otherwise.
    """
    faults = []
    for name, content in files.items():
        try:
            if lzma.decompress(read_checked(out, name)) != content:
                faults.append(f"{name}: differs from the rebuild")
        except (OSError, ValueError, lzma.LZMAError) as error:
            faults.append(f"{name}: {error}")
    known = read_sums(out).keys() if (out / SUMS).exists() else set()
    extra = {p.name for p in out.glob("*.xz")} - files.keys() - known
    faults += [f"{name}: not part of the rebuild" for name in sorted(extra)]
    if faults:
        raise ValueError("\n".join(["the shipped samples differ:", *faults]))


def main(argv: Sequence[str] | None = None, parts: Sequence[Part] = PARTS) -> None:
    """Run the command line; SystemExit with a message where something is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m flowjax_ood.data.sources.build_embedded",
        description="Rebuilds the samples shipped with flowjax_ood, or checks them.",
    )
    parser.add_argument("--idx", type=Path, metavar="DIR")
    parser.add_argument("--font", type=Path, metavar="FILE")
    parser.add_argument("--out", type=Path, default=DIRECTORY, metavar="DIR")
    parser.add_argument(
        "--check", action="store_true", help="compare with the files of --out instead"
    )
    args = parser.parse_args(argv)
    if args.idx is None and args.font is None:
        parser.error("give --idx or --font")
    try:
        files = {} if args.idx is None else rebuild(args.idx, parts)
        files |= {} if args.font is None else build_emoji.rebuild(args.font)
        (check if args.check else write)(files, args.out)
    except (OSError, ValueError) as error:
        raise SystemExit(f"{parser.prog}: {error}") from error
    size = sum((args.out / name).stat().st_size for name in files)
    done = "agree with the rebuild" if args.check else "written"
    print(f"{len(files)} files, {size / 1e6:.2f} MB, {done}: {args.out}")


if __name__ == "__main__":
    main()
