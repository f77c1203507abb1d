"""Where checkpoints are kept: a directory that all processes see, or a bucket.

orbax writes and reads a directory of a disk, `work`. Where checkpoints are kept in a
bucket, that is a temporary one of each process: orbax does not speak to all kinds. A
checkpoint goes up when it is whole, its manifest last, and is one as soon as that is
there; it comes down as its manifest says, every length and checksum compared.
"""

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from flowjax_ood.runtime.files import remove_folder
from flowjax_ood.runtime.paths import AnyPath, BucketPath
from flowjax_ood.runtime.processes import everyones, fetch, is_lead, on_all, on_lead
from flowjax_ood.training.checkpoints import manifest

T = TypeVar("T")
P = TypeVar("P", Path, BucketPath)

# where damaged checkpoints are put, next to the directory of the good ones
ASIDE = "damaged_checkpoints"
# files that travel at a time
AT_ONCE = 8


def place_of(directory: AnyPath, keep: int) -> "Directory | Bucket":
    """The place of the newest `keep` checkpoints in `directory`."""
    if isinstance(directory, BucketPath):
        return Bucket(directory, keep)
    return Directory(directory.absolute(), keep)


class Directory:
    """A directory on storage that all processes share, which orbax works in."""

    directory: AnyPath
    work: Path

    def __init__(self, directory: Path, keep: int):
        self.directory = self.work = directory
        # of orbax's manager
        self.options: dict[str, Any] = {"max_to_keep": keep}

    def steps(self, manager) -> list[int]:
        return sorted(on_lead(lambda: list(manager.all_steps())))

    def prepare(self, state: Any) -> Any:
        """The arrays as orbax takes them: whole, or the shards of one process each."""
        return jax.tree.map(_to_write, state)

    def saves(self) -> bool:
        """Whether this process writes, with orbax's help."""
        return True

    def together(self, action: Callable[[], T]) -> T:
        """Do what ends a save; orbax tells all processes where one of them fails."""
        return action()

    def seal(self, step: int, path: Path) -> None:
        """Make the files below `path`, on process 0, a checkpoint."""
        manifest.write(path)

    def damage(self, step: int) -> str:
        """Say what is wrong with a checkpoint; empty if it can be read in `work`."""
        return on_lead(lambda: manifest.damage(self.work / str(step)))

    def whole(self, step: int) -> bool:
        """Whether a checkpoint is whole, without asking other processes."""
        return not manifest.damage(self.work / str(step))

    def sealed(self, step: int) -> bool:
        return on_lead((self.work / str(step) / manifest.NAME).exists)

    def clean(self) -> None:
        def remove() -> None:
            for path in self.work.glob("*.orbax-checkpoint-tmp*"):
                remove_folder(path)

        on_lead(remove)

    def delete(self, manager, step: int) -> None:
        manager.delete(step)

    def set_aside(self, step: int) -> str:
        path = _free_name(self.work, step)
        path.parent.mkdir(exist_ok=True)
        (self.work / str(step)).rename(path)
        return str(path)

    def close(self) -> None:
        pass


class Bucket(Directory):
    """A folder of a bucket, and a temporary directory of each process."""

    directory: BucketPath

    def __init__(self, directory: BucketPath, keep: int):
        from orbax.checkpoint.options import MultiprocessingOptions

        self.directory, self.keep = directory, keep
        self._temporary = tempfile.TemporaryDirectory(prefix="flowjax_ood_")
        self.work = Path(self._temporary.name)
        me = jax.process_index()
        alone = MultiprocessingOptions(
            primary_host=me,
            active_processes={me},
            barrier_sync_key_prefix=f"process_{me}",
        )
        self.options = {"max_to_keep": 1, "multiprocessing_options": alone}
        if jax.process_count() == 1:
            del self.options["multiprocessing_options"]

    def steps(self, manager) -> list[int]:
        return sorted(on_lead(self._sealed))

    def prepare(self, state: Any) -> Any:
        return jax.tree.map(_to_write, fetch(state))

    def saves(self) -> bool:
        return is_lead()

    def together(self, action: Callable[[], T]) -> T:
        return on_all(action)

    def seal(self, step: int, path: Path) -> None:
        manifest.write(path)
        files = sorted(p for p in path.rglob("*") if p.is_file())
        last, to = path / manifest.NAME, self.directory / str(step)

        def send(file: Path) -> None:
            (to / file.relative_to(path).as_posix()).upload(file)

        _all(send, [file for file in files if file != last])
        send(last)
        for old in sorted(self._sealed())[: -self.keep]:
            self._remove(old)

    def damage(self, step: int) -> str:
        found = everyones(on_all(lambda: self._bring(step)))
        return next(filter(None, found), "")

    def whole(self, step: int) -> bool:
        folder = self.directory / str(step)
        sizes = {str(p.relative_to(folder)): p.stat().st_size for p in folder.objects()}
        recorded = _recorded(folder)
        return bool(recorded) and all(
            sizes.get(name) == size for name, (size, _) in recorded.items()
        )

    def sealed(self, step: int) -> bool:
        return True

    def clean(self) -> None:
        def remove() -> None:
            sealed = set(map(str, self._sealed()))
            for path in self.directory.objects():
                name = path.relative_to(self.directory).parts[0]
                if name.isdecimal() and name not in sealed:
                    path.unlink()

        on_lead(remove)

    def delete(self, manager, step: int) -> None:
        on_lead(lambda: self._remove(step))
        remove_folder(self.work / str(step))

    def set_aside(self, step: int) -> str:
        folder, to = self.directory / str(step), _free_name(self.directory, step)
        # copies are whole before anything is removed
        for path in folder.objects():
            path.copy(to / path.relative_to(folder))
        self._remove(step)
        return str(to)

    def close(self) -> None:
        self._temporary.cleanup()

    def _sealed(self) -> list[int]:
        names = (p.relative_to(self.directory).parts for p in self.directory.objects())
        found = [n[0] for n in names if n[1:] == (manifest.NAME,)]
        return [int(n) for n in found if n.isdecimal() and n.isascii()]

    def _remove(self, step: int) -> None:
        """Remove a checkpoint, which is none from the first moment on."""
        folder = self.directory / str(step)
        (folder / manifest.NAME).unlink()
        remove_folder(folder)

    def _bring(self, step: int) -> str:
        """Copy a checkpoint into `work`; says what is wrong with it, or nothing."""
        folder, to = self.directory / str(step), self.work / str(step)
        if (to / manifest.NAME).exists() and not manifest.damage(to):
            return ""
        remove_folder(to)
        files = _recorded(folder)
        if not files:
            return f"{manifest.NAME} is unreadable"
        temporary = to.with_name(f"{to.name}.orbax-checkpoint-tmp")
        remove_folder(temporary)

        def receive(name: str) -> None:
            file = temporary / name
            file.parent.mkdir(parents=True, exist_ok=True)
            (folder / name).download(file)

        try:
            _all(receive, [*files, manifest.NAME])
        except FileNotFoundError as error:
            name = str(error.filename).removeprefix(f"{folder}/")
            return f"{name} is missing"
        if damage := manifest.damage(temporary):
            return damage
        temporary.rename(to)
        return ""


def _free_name(directory: P, step: int) -> P:
    """Where a damaged checkpoint can be put."""
    path = directory.parent / ASIDE / f"{step}"
    while path.exists():
        path = path.with_name(path.name + "+")
    return path


def _recorded(folder: BucketPath) -> dict[str, tuple[int, int]]:
    """What a manifest records; empty where it is unreadable."""
    try:
        return manifest.recorded((folder / manifest.NAME).read_text())
    except (FileNotFoundError, ValueError):
        return {}


def _all(action: Callable, items: list) -> None:
    """`action` of every item, some at a time; the first error of theirs."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(action, item) for item in items]:
            done.result()


def _to_write(leaf) -> Any:
    """An array as orbax takes it: whole, or the shards of one of several processes."""
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return leaf
    # a copy: what is written in the background must not change, and what NumPy sees
    # of a CPU's own buffer would keep it from being donated
    return np.array(jax.device_get(leaf))
