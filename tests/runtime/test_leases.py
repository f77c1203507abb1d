"""Locks in a bucket: one holder, who is known by its signs of life."""

import subprocess
import sys
import threading
import time

import pytest

from flowjax_ood.runtime import leases
from flowjax_ood.runtime.bucket_client import BucketError
from flowjax_ood.runtime.leases import Held, Lease
from flowjax_ood.runtime.locks import hold, is_held
from flowjax_ood.runtime.paths import as_path
from tests.helpers.bucket import SENDS


@pytest.fixture
def lock(bucket, monkeypatch):
    monkeypatch.setattr(leases, "BEAT", 0.2)
    monkeypatch.setattr(leases, "LEASE", 2.0)
    return as_path(f"{bucket}/run/.lock")


def elsewhere(lease: Lease) -> Lease:
    """As if its process were one of another machine."""
    lease._record["place"] = "another"
    return lease


@pytest.mark.thorough
def test_one_holds_it_until_it_lets_go(lock):
    assert not is_held(lock)
    with hold(lock, 0.1):
        assert is_held(lock)
        with pytest.raises(Held, match=r"^process \d+ of \S+$"):
            hold(lock, 0.1)
        # longer than a dead holder would keep it
        time.sleep(2.5)
        with pytest.raises(Held):
            hold(lock, 0.1)
    assert not is_held(lock)
    began = time.monotonic()
    with hold(lock, 0.1):
        assert time.monotonic() - began < 1.5
    # the last word stays, and nothing before it
    assert [path.name for path in lock.objects()] == ["00000002"]


def test_one_of_many_gets_it(lock):
    gate, got, refused = threading.Barrier(4), [], []

    def attempt() -> None:
        lease = Lease(lock.url)
        gate.wait()
        try:
            lease.acquire()
            got.append(lease)
        except Held:
            refused.append(lease)

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert (len(got), len(refused)) == (1, 3)
    got[0].release()


@pytest.mark.thorough
def test_the_silent_lose_it_and_can_write_no_more(lock):
    """A process that was stopped for long, and goes on."""
    silent = elsewhere(Lease(lock.url))
    silent.acquire()
    silent._stop.set()
    file = lock.parent / "metrics.jsonl"
    file.write_bytes(b"1")
    time.sleep(1.5)
    # silent for less than LEASE: it asks, and holds it still
    silent._stop.clear()
    file.write_bytes(b"2")
    silent._stop.set()
    other = Lease(lock.url)
    began = time.monotonic()
    other.acquire()
    assert time.monotonic() - began > 1.0
    silent._stop.clear()
    leases._held[silent.folder] = silent
    for write in (
        lambda: file.write_bytes(b"3"),
        file.unlink,
        lambda: (lock.parent / "a" / "b").create(b""),
    ):
        with pytest.raises(BucketError, match="another run has taken the lock"):
            write()
    assert file.read_bytes() == b"2"
    # beside the run it may
    (lock.parent.parent / "other").write_bytes(b"")
    silent.release()
    assert is_held(lock)
    other.release()


@pytest.mark.thorough
def test_what_is_sent_again_is_refused_once_the_lock_is_lost(emulator, lock):
    """A write that a bucket kept failing, while another run took over."""
    first = elsewhere(Lease(lock.url))
    first.acquire()
    file = lock.parent / "metrics.jsonl"
    emulator.faults({"how": "refuse", "method": SENDS, "path": "metrics.jsonl"})
    said = []

    def write() -> None:
        try:
            file.write_bytes(b"first")
        except BucketError as error:
            said.append(str(error))

    sending = threading.Thread(target=write)
    sending.start()
    # as if it were stopped: no sign of life
    first._stop.set()
    time.sleep(2.5)
    other = Lease(lock.url)
    other.acquire()
    leases._held[first.folder] = first
    first._stop.clear()
    emulator.faults()
    sending.join(30)
    assert said
    assert "another run has taken the lock" in said[0]
    assert not file.exists()
    leases._held[other.folder] = other
    other.release()


def test_whoever_comes_late_finds_that_it_is_late(lock):
    """Two others came and went between its look and its try."""
    late = Lease(lock.url)
    look, looks = leases._newest, []

    def meanwhile(key):
        found = look(key)
        if not looks:
            looks.append(found)
            for number in (1, 2):
                Lease(lock.url).acquire() if number == 2 else one_held()
        return found

    def one_held():
        first = Lease(lock.url)
        first.acquire()
        first.release()

    leases._newest = meanwhile
    try:
        with pytest.raises(Held):
            late.acquire()
    finally:
        leases._newest = look
    assert [path.name for path in lock.objects()] == ["00000002"]
    leases._held.pop(late.folder).release()


def test_a_process_of_this_machine_that_is_gone_keeps_nothing(lock, monkeypatch):
    monkeypatch.setattr(leases, "LEASE", 1000.0)
    program = (
        "import os; from flowjax_ood.runtime.leases import Lease; "
        f"Lease({lock.url!r}).acquire(); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 9
    assert not is_held(lock)
    began = time.monotonic()
    with hold(lock, 0.1):
        assert time.monotonic() - began < 100
        assert is_held(lock)


def test_a_record_that_is_none_is_one_of_the_silent(lock):
    (lock / "00000007").write_bytes(b"[")
    (lock / "readme").write_bytes(b"")
    with hold(lock, 0.1):
        assert (lock / "00000008").exists()
