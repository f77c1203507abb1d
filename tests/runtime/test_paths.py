"""Paths in a bucket do what those of a disk do, and what is written is whole."""

import threading
import time
from contextlib import suppress
from pathlib import Path, PurePosixPath

import pytest

from flowjax_ood.runtime import bucket_client, files
from flowjax_ood.runtime.bucket_client import BucketError
from flowjax_ood.runtime.paths import BucketPath, as_path, is_url
from tests.helpers.bucket import SENDS


@pytest.fixture
def root(bucket) -> BucketPath:
    return as_path(f"{bucket}/runs/a")


def fill(place) -> None:
    for name in ("b.json", "c/d.txt", "c/e/f.txt", "g.json"):
        files.write_bytes(place / name, name.encode())


def test_what_is_there_is_told_as_on_a_disk(place):
    assert not place.exists()
    with pytest.raises(FileNotFoundError):
        list(place.iterdir())
    assert files.folders_and_files(place) == ([], [])
    fill(place)
    assert sorted(p.name for p in place.iterdir()) == ["b.json", "c", "g.json"]
    assert files.folders_and_files(place) == (["c"], ["b.json", "g.json"])
    assert [(place / n).is_dir() for n in ("", "c", "b.json", "x")] == [1, 1, 0, 0]
    assert [(place / n).is_file() for n in ("c", "b.json", "x")] == [0, 1, 0]
    assert [(place / n).exists() for n in ("c", "b.json", "b", "x")] == [1, 1, 0, 0]
    assert sorted(p.name for p in place.glob("*.json")) == ["b.json", "g.json"]
    assert [str(p.relative_to(place)) for p in place.glob("*/*.txt")] == ["c/d.txt"]
    assert sorted(p.name for p in place.glob("c/*")) == ["d.txt", "e"]
    assert sorted(p.name for p in place.rglob("*.txt")) == ["d.txt", "f.txt"]
    assert (place / "c" / "d.txt").stat().st_size == 7
    assert abs((place / "b.json").stat().st_mtime - time.time()) < 60
    with pytest.raises(FileNotFoundError):
        (place / "x").stat()


def test_what_is_written_is_read(place):
    fill(place)
    file = place / "b.json"
    assert (file.read_bytes(), file.read_text()) == (b"b.json", "b.json")
    with file.open("rb") as opened:
        assert opened.read() == b"b.json"
    with files.replacing(file) as temporary:
        temporary.write_bytes(b"new")
        assert file.read_bytes() == b"b.json"
    assert file.read_bytes() == b"new"
    with suppress(RuntimeError), files.replacing(file) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert file.read_bytes() == b"new"
    file.unlink()
    file.unlink(missing_ok=True)
    assert not file.exists()
    with pytest.raises(FileNotFoundError) as missing:
        file.read_bytes()
    assert missing.value.filename == str(file)
    files.remove_folder(place / "c")
    assert files.folders_and_files(place) == ([], ["g.json"])
    files.try_writing(place)
    assert files.folders_and_files(place) == ([], ["g.json"])


def test_names_are_taken_apart():
    path = as_path("s3://bucket/a//b/c.tar.gz")
    assert str(path) == path.url == "s3://bucket/a/b/c.tar.gz"
    assert (path.name, path.stem, path.suffix) == ("c.tar.gz", "c.tar", ".gz")
    assert path.parts == ("s3://bucket", "a", "b", "c.tar.gz")
    assert str(path.parent.parent.parent.parent) == "s3://bucket"
    assert path.relative_to(as_path("s3://bucket/a/")) == PurePosixPath("b/c.tar.gz")
    assert len({path, as_path(str(path))}) == 1
    assert str(path.with_stem("x")) == "s3://bucket/a/b/x.gz"
    # never a file on the disk of that name
    with pytest.raises(TypeError):
        Path(path)


def test_a_disk_has_its_own_paths():
    assert [is_url(p) for p in ("a/b", "/a", "a:b", Path("s3:/b"), "://a")] == [0] * 5
    assert as_path("a/b") == Path("a/b")
    apart = files.names_apart([Path("/r/x/a"), Path("/r/y")])
    assert apart == ["x/a", "y"]
    assert files.names_apart([Path("/r/x/a")]) == ["a"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("az://bucket/run", "az:// is not served"),
        ("s3://", "give s3://BUCKET/DIR"),
        ("gs:///", "give gs://BUCKET/DIR"),
        ("s3://bucket/a/../b", "without .."),
    ],
)
def test_other_storage_is_refused(url, said):
    with pytest.raises(ValueError, match="^" + url.replace(".", r"\.")) as refused:
        as_path(url)
    assert said in str(refused.value)


def test_one_of_many_creates(root):
    created, gate = [], threading.Barrier(6)

    def attempt(number: int) -> None:
        gate.wait()
        try:
            (root / "one").create(b"%d" % number)
        except FileExistsError:
            return
        created.append(b"%d" % number)

    threads = [threading.Thread(target=attempt, args=(n,)) for n in range(6)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert created == [(root / "one").read_bytes()]


# --- a bucket that fails ------------------------------------------------------------


def test_errors_pass(emulator, root):
    emulator.faults({"how": "refuse", "count": 3}, {"wait": 0.2, "count": 2})
    (root / "a").write_bytes(b"1")
    assert (root / "a").read_bytes() == b"1"
    assert len(emulator.seen()) >= 5


def test_an_answer_that_is_lost_is_no_other_writer(emulator, root):
    emulator.faults({"how": "lose", "method": SENDS, "count": 1})
    (root / "a").create(b"mine")
    emulator.faults({"how": "lose", "method": SENDS, "count": 1})
    with pytest.raises(FileExistsError):
        (root / "a").create(b"another's")
    assert (root / "a").read_bytes() == b"mine"


def test_failing_ends_in_time_and_says_how(emulator, root, monkeypatch):
    monkeypatch.setenv(bucket_client.PATIENCE, "0.5")
    (root / "a").write_bytes(b"1")
    emulator.faults({"how": "refuse", "method": SENDS})
    began = time.monotonic()
    with pytest.raises(
        BucketError, match=r"failed for 0.5 s .*(SlowDown|503)"
    ) as failed:
        (root / "a").write_bytes(b"2")
    assert time.monotonic() - began < 5
    assert failed.value.filename == str(root / "a")
    assert bucket_client.PATIENCE in str(failed.value)
    assert (root / "a").read_bytes() == b"1"


@pytest.mark.thorough
def test_no_answer_is_a_failure(emulator, root, monkeypatch):
    monkeypatch.setattr(bucket_client, "ANSWER", 1.5)
    emulator.faults({"how": "hang", "count": 1})
    (root / "a").write_bytes(b"1")
    monkeypatch.setenv(bucket_client.PATIENCE, "0.5")
    emulator.faults({"how": "hang"})
    with pytest.raises(BucketError, match=r"failed for .*[Tt]ime"):
        (root / "a").write_bytes(b"2")
    emulator.faults()
    assert (root / "a").read_bytes() == b"1"


def test_what_no_time_mends_is_said_at_once(emulator, root):
    denied = {"how": "refuse", "status": "403 Forbidden", "code": "AccessDenied"}
    emulator.faults(denied)
    with pytest.raises(PermissionError) as refused:
        (root / "a").write_bytes(b"1")
    assert refused.value.filename == str(root / "a")
    assert sum(f"{root.name}/a" in request for request in emulator.seen()) == 1
    emulator.faults()
    nowhere = as_path(f"{emulator.kind}://nobody-made-it/a")
    with pytest.raises(FileNotFoundError, match="nobody-made-it"):
        nowhere.write_bytes(b"1")


@pytest.mark.parametrize(
    ("status", "code"),
    [("403 Forbidden", "AccessDenied"), ("429 Too Many Requests", "SlowDown")],
)
def test_what_a_server_says_is_one_line(emulator, root, monkeypatch, status, code):
    monkeypatch.setenv(bucket_client.PATIENCE, "0.3")
    (root / "a").write_bytes(b"1")
    emulator.faults({"how": "refuse", "status": status, "code": code})
    for ask in (lambda: (root / "a").write_bytes(b"2"), (root / "a").read_bytes):
        with pytest.raises(OSError, match=r".") as failed:
            ask()
        assert isinstance(failed.value, PermissionError) == (status[:3] == "403")
        assert "\n" not in str(failed.value)
        if emulator.kind == "gs":
            assert f"{status[:3]}: {code}, it says" in str(failed.value)


def test_a_name_that_no_bucket_has_is_refused_at_once(emulators):
    emulators("gs")
    began = time.monotonic()
    with pytest.raises(BucketError, match="_bad"):
        as_path("gs://_bad/a").read_bytes()
    assert time.monotonic() - began < 5


def test_missing_credentials_say_what_is_missing(emulators, monkeypatch):
    emulators("gs")
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    bucket_client.store.cache_clear()
    with pytest.raises(BucketError, match=r"nowhere.*GOOGLE_APPLICATION") as failed:
        as_path("gs://bucket/a").read_bytes()
    assert "no credentials" in str(failed.value)
    bucket_client.store.cache_clear()


@pytest.mark.thorough
def test_large_objects_go_in_parts(emulator, root, tmp_path):
    content = bytes(range(256)) * (10 << 12)
    (tmp_path / "file").write_bytes(content)
    emulator.faults()
    (root / "large").upload(tmp_path / "file")
    sent = [r for r in emulator.seen() if r.split()[0] in SENDS.split("|")]
    # of s3, from 50 MB on
    assert len(sent) > 1 or emulator.kind == "s3"
    (root / "large").copy(root / "copy")
    (root / "copy").download(tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content


def test_nothing_is_copied_to_another_kind_of_bucket(root):
    other = {"s3": "gs", "gs": "s3"}[root.url[:2]]
    (root / "a").write_bytes(b"1")
    with pytest.raises(ValueError, match="another kind of storage"):
        (root / "a").copy(as_path(f"{other}://bucket/a"))


def test_patience_is_a_number(monkeypatch):
    monkeypatch.setenv(bucket_client.PATIENCE, "soon")
    with pytest.raises(ValueError, match="SECONDS=soon: give seconds"):
        as_path("s3://bucket/run")
