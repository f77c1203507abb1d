"""Files shipped inside the package, and their sums."""

import hashlib
from pathlib import Path

DIRECTORY = Path(__file__).parent / "embedded"
SUMS = "SHA256SUMS"


def read_sums(directory: Path) -> dict[str, str]:
    """Read the directory's `SHA256SUMS` as `{file name: SHA-256}`."""
    file = directory / SUMS
    if not file.is_file():
        raise FileNotFoundError(f"no {file}; reinstall flowjax_ood")
    pairs = (line.split(maxsplit=1) for line in file.read_text().splitlines())
    return {name: digest for digest, name in pairs}


def read_checked(directory: Path, name: str) -> bytes:
    """Read a shipped file as it is stored; ValueError unless its SHA-256 agrees."""
    file = directory / name
    if not file.is_file():
        raise FileNotFoundError(f"no {file}; reinstall flowjax_ood")
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() != read_sums(directory).get(name):
        raise ValueError(
            f"{file} ({len(data)} bytes) does not agree with {SUMS}: it is damaged or "
            "cut short; reinstall flowjax_ood"
        )
    return data
