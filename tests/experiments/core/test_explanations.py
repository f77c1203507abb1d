"""Errors that the machine makes are one line; defects keep their traceback."""

import errno
import os
import signal

import pytest

from experiments import cli
from experiments.core.explanations import explanation
from experiments.core.workdir import check_writable
from experiments.status import command as status
from flowjax_ood.interface.environment import interrupts_end, jax_settings
from flowjax_ood.interface.errors import UserError
from flowjax_ood.runtime.files import replacing
from tests.helpers.experiment_runs import only_error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/runs/a/x.json"),
            "/runs/a/x.json: No space left on device; free space there",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "a/config.json"),
            "a/config.json: Permission denied; change its owner or mode, or name "
            "another",
        ),
        (
            OSError(errno.ENAMETOOLONG, "File name too long", "aaa"),
            "aaa: File name too long; give a shorter name",
        ),
        (OSError("of a library, in words"), "of a library, in words"),
        (
            MemoryError("Unable to allocate 7 TiB"),
            "out of memory: Unable to allocate 7 TiB; ask for less, such as a smaller "
            "batch, image or data.limit_train",
        ),
    ],
)
def test_errors_of_the_machine_are_one_line(monkeypatch, capsys, error, said):
    def fail(*_):
        raise error

    monkeypatch.setattr(status, "run", fail)
    assert cli.run(["status", "--workdir=w"]) == 2
    assert only_error(capsys.readouterr().err) == said


def test_deep_nesting_is_located(monkeypatch, capsys):
    def deeper(*_):
        return deeper()

    monkeypatch.setattr(status, "run", deeper)
    assert cli.run(["status", "--workdir=w"]) == 2
    message = only_error(capsys.readouterr().err)
    assert "maximum recursion depth exceeded, at " in message
    assert f"{__file__}:" in message


def raised(source: str, file: str) -> Exception:
    """What `source`, as the code of `file`, raises."""
    try:
        exec(compile(source, file, "exec"), {})
    except Exception as error:
        return error


@pytest.mark.parametrize(
    ("source", "file", "said"),
    [
        ("assert False", "xla_bridge.py", "AssertionError"),
        ("raise RuntimeError('no backend foo')", "xla_bridge.py", "no backend foo"),
        ("int('abc')", "config.py", "invalid literal for int()"),
    ],
)
def test_jax_that_cannot_start_names_the_environment(monkeypatch, source, file, said):
    for name in [n for n in os.environ if n.startswith("JAX_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("JAX_PLATFORMS", "foo")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/kept")
    assert jax_settings() == ["JAX_PLATFORMS=foo"]
    message, exit_status = explanation(raised(source, f"/lib/jax/_src/{file}"))
    assert exit_status == 2
    assert message.startswith(f"error: JAX cannot start: {said}")
    assert message.endswith("in the environment (JAX_PLATFORMS=foo)")


def test_defects_keep_their_traceback(monkeypatch):
    def fail(*_):
        raise KeyError("ours")

    monkeypatch.setattr(status, "run", fail)
    with pytest.raises(KeyError, match="ours"):
        cli.run(["status", "--workdir=w"])


# --- writing ------------------------------------------------------------------------


def test_what_cannot_be_written_is_said_before_the_work(tmp_path, monkeypatch):
    check_writable("--out", tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").write_text("mine")
    message = r"^cannot write in --out .*/file: .*/file: File exists$"
    with pytest.raises(UserError, match=message):
        check_writable("--out", tmp_path / "file")

    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def write(self, data):
            assert data
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", lambda dir: Full())
    message = r"^cannot write in --out .*/new: No space left .*; free space there$"
    with pytest.raises(UserError, match=message):
        check_writable("--out", tmp_path / "new")


def test_a_file_that_cannot_be_replaced_is_named_and_stays(tmp_path):
    file = tmp_path / "a.json"
    file.write_text("old")

    def write():
        with replacing(file) as temporary:
            temporary.write_text("half")
            # as `file.write` raises it
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"No space left .*/a\.json'$"):
        write()
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


# --- Ctrl-C -------------------------------------------------------------------------


def test_an_interrupt_of_imports_ends_without_a_word():
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with interrupts_end():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        # of `nohup`
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with interrupts_end():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
