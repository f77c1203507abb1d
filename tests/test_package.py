"""What `python -m build` makes, and that it works by itself."""

import email
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from flowjax_ood import __version__

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = f"flowjax_ood-{__version__}"
SOURCES = {"flowjax_ood", "setup.py", "pyproject.toml", "MANIFEST.in"}
SOURCES |= {"README.md", "CHANGELOG.md", "CITATION.cff", "LICENSE"}
MIB = 2**20
BUILD = "import sys; from setuptools import build_meta as b; b.build_{}(sys.argv[1])"


def run(*words, cwd, **variables) -> str:
    """The output of Python, which nothing measures and which sees no clone."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env={**kept, "PYTHONPATH": "", **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    """The folder that the source distribution unpacks to; built beside tests."""
    clone = tmp_path_factory.mktemp("clone")
    for name in SOURCES | {"tests"}:
        (clone / name).symlink_to(ROOT / name)
    run("-c", BUILD.format("sdist"), "dist", cwd=clone)
    (file,) = (clone / "dist").iterdir()
    with tarfile.open(file) as archive:
        archive.extractall(clone / "unpacked", filter="data")
    return clone / "unpacked" / PACKAGE


@pytest.fixture(scope="module")
def wheel(sdist) -> Path:
    """Built from what the source distribution holds, as an index would."""
    run("-c", BUILD.format("wheel"), "dist", cwd=sdist)
    (file,) = (sdist / "dist").iterdir()
    return file


def library(folder: Path) -> set[str]:
    """The files of the library below a folder."""
    paths = (folder / "flowjax_ood").rglob("*")
    files = {p.relative_to(folder).as_posix() for p in paths if p.is_file()}
    return {name for name in files if "__pycache__" not in name}


def test_the_source_distribution_holds_the_library_and_no_tests(sdist):
    made = {"PKG-INFO", "setup.cfg", "flowjax_ood.egg-info", "dist", "build"}
    assert {p.name for p in sdist.iterdir()} - made == SOURCES
    assert library(sdist) == library(ROOT)


def test_the_wheel_holds_code_types_data_and_licences(wheel):
    assert wheel.stat().st_size < 15 * MIB
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {n for n in names if n.startswith("flowjax_ood/")} == library(ROOT)
    licences = {"LICENSE"} | {n for n in library(ROOT) if "LICENSE" in n}
    assert len(licences) == 4
    assert {f"{PACKAGE}.dist-info/licenses/{n}" for n in licences} <= names


def test_the_metadata_is_that_of_the_citation(wheel):
    citation = (ROOT / "CITATION.cff").read_text()
    with zipfile.ZipFile(wheel) as archive:
        about = email.message_from_bytes(archive.read(f"{PACKAGE}.dist-info/METADATA"))
    assert f'authors:\n  - name: "{about["Author"]}"' in citation
    words = "".join(f"\n  - {word}" for word in about["Keywords"].split(","))
    assert f"keywords:{words}\n" in citation
    assert about["License-Expression"].startswith("Apache-2.0 AND ")
    assert about["Version"] == __version__
    assert about.get_payload().strip() == (ROOT / "README.md").read_text().strip()


def test_the_wheel_works_where_no_clone_is(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
        entry = archive.read(f"{PACKAGE}.dist-info/entry_points.txt").decode()
    assert entry.split() == [
        "[console_scripts]",
        *("flowjax-ood", "=", "flowjax_ood.tool.cli:main"),
    ]
    program = """
import flowjax_ood
from flowjax_ood import data
import flowjax_ood.interface.document
print(flowjax_ood.__file__)
print(len(data.load("mnist:test", source="embedded").images))
"""
    there = {"cwd": tmp_path.parent, "PYTHONPATH": str(tmp_path)}
    file, count = run("-c", program, **there).split()
    assert tmp_path in Path(file).parents
    assert int(count) > 0
    assert run("-m", "flowjax_ood", "--version", **there).split()[-1] == __version__
