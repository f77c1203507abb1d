"""Settings made before JAX is imported: compiled programs and freed memory are kept.

Compiling the demo's flows takes longer than training them for a minute; from the second
run on, XLA's programs are read from disk. They compute the same bits.
"""

import ctypes
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flowjax_ood.runtime.messages import warn

DIRECTORY, ENABLED = "JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE"
DEFAULTS = {
    # every program: a run's small ones cost as much as a large one together
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
# what JAX reads as false
OFF = ("0", "n", "no", "f", "false", "off")
MAX_BYTES = 2**30
# of malloc.h: blocks taken from the kernel one by one; when freed memory is given back
MMAP_MAX, TRIM_THRESHOLD = -4, -1

EPILOG = f"""\
Compiled programs are kept for the next run, under $XDG_CACHE_HOME/flowjax_ood/xla
or ~/.cache/flowjax_ood/xla, trimmed to {MAX_BYTES >> 30} GiB when a command starts.
Delete that folder if JAX reports an entry that it cannot read.
{DIRECTORY}=DIR keeps them elsewhere,
{ENABLED}=false nowhere.
`benchmark` and `peers`, which time compilation, do without."""


def jax_settings() -> list[str]:
    """`NAME=value` of what the environment sets of JAX, but for the kept programs."""
    kept = (DIRECTORY, ENABLED, *DEFAULTS)
    return [
        f"{n}={v}"
        for n, v in sorted(os.environ.items())
        if n[:4] == "JAX_" and n not in kept
    ]


def cache_directory() -> Path:
    """The default directory of compiled programs."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # the XDG rules: a path that is not absolute counts as none
    if not base.is_absolute():
        base = Path.home() / ".cache"
    return base / "flowjax_ood" / "xla"


def use_compilation_cache() -> None:
    """Keep compiled programs on disk for the next run.

    The directory is `JAX_COMPILATION_CACHE_DIR`, else `cache_directory()`; other
    settings of JAX in the environment are respected. If the directory cannot be
    written, a line on standard error says so, and the run compiles. Sets environment
    variables, so it acts on this process if JAX is not imported yet, and on processes
    that it starts.
    """
    given = os.environ.get(DIRECTORY)
    if given == "":
        os.environ[ENABLED] = "false"
    if os.environ.get(ENABLED, "").lower() in OFF:
        return
    # a bucket: JAX's own affair
    if given is None or "://" not in given:
        try:
            directory = Path(given) if given else cache_directory()
            # for its owner alone: whoever can write a program there can run code in
            # the name of whoever reads it
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=directory):
                pass
        except (OSError, RuntimeError) as error:
            os.environ[ENABLED] = "false"
            warn(
                f"compiled programs cannot be kept ({error}), so every run compiles "
                f"again; set {DIRECTORY} to a directory that can be written"
            )
            return
        if given is None:
            os.environ[DIRECTORY] = str(directory)
            _trim(directory, MAX_BYTES)
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


def use_own_canvas() -> None:
    """Leave no notebook's MPLBACKEND to matplotlib, which may not have it.

    Figures are drawn on canvases of their own, and need none.
    """
    os.environ["MPLBACKEND"] = "agg"


def keep_freed_memory() -> None:
    """Have the C library keep freed memory for the next step.

    XLA on CPU allocates a step's memory anew each time, in blocks that glibc would get
    from the kernel page by page: 7 % of a training step of the paper's RealNVP. Not
    where the environment tunes malloc, nor with a C library other than glibc.
    """
    tuned = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if tuned or sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(MMAP_MAX, 0)
    mallopt(TRIM_THRESHOLD, -1)


@contextmanager
def interrupts_end() -> Iterator[None]:
    """Let Ctrl-C end the process at once inside, without a word, as SIGTERM does.

    In the middle of an import, KeyboardInterrupt leaves a traceback, or becomes the
    ImportError of a module that is half made. Nothing can be lost there.
    """
    default = signal.default_int_handler
    # not where somebody has chosen: `nohup`, a notebook
    chosen = signal.getsignal(signal.SIGINT) is not default
    if chosen or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        # libraries may have set a handler meanwhile
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            signal.signal(signal.SIGINT, default)


def ignore_closed_loops() -> None:
    """Hide "Event loop is closed" of callbacks that come too late.

    Where a checkpoint cannot be written, orbax gives up, and Python prints a traceback
    for every array that was still on its way to the disk: a page of them, above the
    line that says what is wrong.
    """
    before = sys.unraisablehook

    def hook(unraisable):
        late = isinstance(unraisable.exc_value, RuntimeError)
        if not (late and str(unraisable.exc_value) == "Event loop is closed"):
            before(unraisable)

    sys.unraisablehook = hook


@contextmanager
def no_compilation_cache() -> Iterator[None]:
    """Compile everything anew inside, and keep nothing: for timing compilation."""
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    def switch(on: bool) -> None:
        jax.config.update("jax_enable_compilation_cache", on)
        # JAX looks once whether there is a cache, and remembers the answer
        compilation_cache.reset_cache()

    # JAX makes the names of its settings as it starts
    before = jax.config.jax_enable_compilation_cache  # type: ignore[attr-defined]
    switch(False)
    try:
        yield
    finally:
        switch(before)


def _trim(directory: Path, limit: int) -> None:
    """Delete the oldest programs until all are at most `limit` bytes together.

    JAX's own JAX_COMPILATION_CACHE_MAX_SIZE reads the age of every program, under a
    lock, whenever it stores another one: 0.16 s each with 5,000 programs on disk.
    """
    entries = []
    for path in directory.glob("*-cache"):
        with suppress(FileNotFoundError):  # another process may be trimming, too
            entries.append((path.stat().st_mtime, path.stat().st_size, path))
    excess = sum(size for _, size, _ in entries) - limit
    for _, size, path in sorted(entries):
        if excess <= 0:
            return
        path.unlink(missing_ok=True)
        excess -= size


def use_all_cores() -> None:
    """Use one JAX device per core on CPU: convolution gradients use one thread each.

    Acts on this process if JAX is not imported yet, and on processes that it starts.
    """
    if "xla_force_host_platform" in os.environ.get("XLA_FLAGS", ""):
        return
    # a batch must divide over the devices: a power of two, at most 8
    devices = min(8, 1 << (cores().bit_length() - 1))
    os.environ.setdefault("JAX_NUM_CPU_DEVICES", str(devices))


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
