"""Rebuild the shipped samples from a directory of IDX files, or check them.

    python -m flowjax_ood.data.sources.build_embedded --idx DIR           # writes them
    python -m flowjax_ood.data.sources.build_embedded --idx DIR --check   # compares

DIR holds FashionMNIST (train, t10k) and MNIST (train10k: the first 10,000 training
digits, shuffled), under any name that source `idx` knows. The parts are those of
`flowjax_ood.data.sources.embedded.PARTS`. The same input gives the same files, bit
for bit.
"""

import argparse
import hashlib
import lzma
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flowjax_ood.data.sources.embedded import DIRECTORY, PARTS, SUMS, Part, read_checked
from flowjax_ood.data.sources.idx import encode_idx, load_idx

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
    """Compress `files` into the directory `out`, with their `SHA256SUMS`."""
    out.mkdir(parents=True, exist_ok=True)
    sums = []
    for name, content in sorted(files.items()):
        # CRC64 and the preset are written out: a default might change.
        data = lzma.compress(
            content, lzma.FORMAT_XZ, check=lzma.CHECK_CRC64, preset=_PRESET
        )
        (out / name).write_bytes(data)
        sums.append(f"{hashlib.sha256(data).hexdigest()}  {name}\n")
    (out / SUMS).write_text("".join(sums))


def check(files: dict[str, bytes], out: Path) -> None:
    """Raise `ValueError` unless `out` holds exactly `files` and agrees with its sums.

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
    extra = {p.name for p in out.glob("*.xz")} - files.keys()
    faults += [f"{name}: not part of the rebuild" for name in sorted(extra)]
    if faults:
        raise ValueError("\n".join(["the shipped samples differ:", *faults]))


def main(argv: Sequence[str] | None = None, parts: Sequence[Part] = PARTS) -> None:
    """Run the command line; SystemExit with a message where something is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m flowjax_ood.data.sources.build_embedded",
        description="Rebuilds the samples shipped with flowjax_ood, or checks them.",
    )
    parser.add_argument("--idx", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, default=DIRECTORY, metavar="DIR")
    parser.add_argument(
        "--check", action="store_true", help="compare with the files of --out instead"
    )
    args = parser.parse_args(argv)
    try:
        files = rebuild(args.idx, parts)
        (check if args.check else write)(files, args.out)
    except (OSError, ValueError) as error:
        raise SystemExit(f"{parser.prog}: {error}") from error
    size = sum((args.out / name).stat().st_size for name in files)
    done = "agree with the rebuild" if args.check else "written"
    print(f"{len(files)} files, {size / 1e6:.2f} MB, {done}: {args.out}")


if __name__ == "__main__":
    main()
