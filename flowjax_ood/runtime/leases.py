"""Locks in a bucket: create-if-absent decides who holds one, and signs of life keep it.

A lock is a folder of numbered objects, and its holder is the highest number. Whoever
wants it creates the next one, which a bucket grants to one alone. The holder writes its
object again every `BEAT` seconds. It gives the lock up by a last word there; a holder
without a sign of life for `LEASE` seconds is dead, and at once where it was a process
of this machine that is gone.

A holder that was stopped for longer than that finds a higher number, and every write
below the folder that it had locked is refused from then on (`check`). What it had sent
just before may still arrive: a lease cannot call back what is on its way.
"""

import errno
import json
import os
import platform
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path

from flowjax_ood.runtime import bucket_client as client
from flowjax_ood.runtime.bucket_client import BucketError

# seconds between signs of life; without one, when a holder is taken for dead
BEAT, LEASE = 10.0, 60.0
# seconds for which giving a lock up may take where the bucket fails
GOODBYE = 10.0
# leases of this process, by the folder that they lock
_held: dict[str, "Lease"] = {}


class Held(Exception):
    """Another process holds the lock; the message says which."""


class Lease:
    """The lock at `url` (`s3://bucket/run/.lock`), held from `acquire` to `release`."""

    def __init__(self, url: str):
        self.url, self.folder = url, url.rpartition("/")[0]
        self._number = 0
        self._record = _myself() | {"token": uuid.uuid4().hex, "beat": 0}
        self._last, self._lost = 0.0, False
        self._one = threading.Lock()
        self._stop = threading.Event()

    def acquire(self) -> None:
        """Take the lock; Held where somebody else has it.

        That is known when its next sign of life is seen, or after `LEASE` seconds
        without one.
        """
        number, holder = _newest(self.url)
        if holder and _lives(self.url, number, holder):
            raise Held(_who(holder))
        self._number = number + 1
        try:
            client.create(self._object(self._number), self._bytes())
        except FileExistsError:
            raise Held(_who(_newest(self.url)[1])) from None
        newest, holder = _newest(self.url)
        if newest != self._number:
            # two others came and went since we looked
            client.delete(self._object(self._number))
            raise Held(_who(holder))
        for entry in client.below(self.url):
            if _number(entry.url) < self._number:
                client.delete(entry.url)
        self._last = time.monotonic()
        _held[self.folder] = self
        threading.Thread(target=self._beat, daemon=True, name="lease").start()

    def release(self) -> None:
        """Say that the lock is free; where the bucket fails, that shows by silence."""
        self._stop.set()
        _held.pop(self.folder, None)
        with self._one, suppress(OSError):
            if not self._lost:
                self._record["released"] = True
                client.write(self._object(self._number), self._bytes(), GOODBYE)

    def check(self) -> None:
        """Raise BucketError where another process has taken the lock."""
        if time.monotonic() - self._last > LEASE / 2:
            self._renew()
        if self._lost:
            raise BucketError(
                errno.ESTALE,
                "another run has taken the lock since this one was silent; what it "
                "would write is refused",
                self.folder,
            )

    def _beat(self) -> None:
        while not self._stop.wait(BEAT) and not self._lost:
            # what fails is tried again by the next, and by who writes
            with suppress(OSError):
                self._renew()

    def _renew(self) -> None:
        with self._one:
            if self._lost or self._stop.is_set():
                return
            began = time.monotonic()
            self._lost = _newest(self.url)[0] != self._number
            if not self._lost:
                self._record["beat"] += 1
                client.write(self._object(self._number), self._bytes())
                self._last = began

    def _object(self, number: int) -> str:
        return f"{self.url}/{number:08d}"

    def _bytes(self) -> bytes:
        return json.dumps(self._record).encode()


def check(url: str) -> None:
    """Raise BucketError for an object whose folder this process has lost the lock of.

    Folders that it never locked are not its affair.
    """
    for folder, lease in list(_held.items()):
        if url.startswith(f"{folder}/") and not url.startswith(f"{lease.url}/"):
            lease.check()


def is_held(url: str) -> bool:
    """Whether somebody holds the lock, by the time of its last sign of life."""
    _, holder = _newest(url)
    if not holder or holder.get("released") or _gone(holder):
        return False
    written = max(entry.written for entry in client.below(url))
    return time.time() - written < LEASE


def _newest(url: str) -> tuple[int, dict]:
    """`(number, record)` of the lock's highest object; `(0, {})` where there is none.

    A record that is no JSON is empty.
    """
    while True:
        numbers = [_number(entry.url) for entry in client.below(url)]
        if not (number := max(numbers, default=0)):
            return 0, {}
        try:
            record = json.loads(client.read(f"{url}/{number:08d}"))
        except FileNotFoundError:
            continue  # a later one came
        except ValueError:
            record = {}
        return number, record if isinstance(record, dict) else {}


def _number(url: str) -> int:
    name = url.rpartition("/")[2]
    return int(name) if name.isdecimal() and name.isascii() else 0


def _lives(url: str, number: int, holder: dict) -> bool:
    """Whether the holder gives a sign of life within `LEASE` seconds.

    By this machine's clock alone, as those of others may differ.
    """
    until = time.monotonic() + LEASE
    while not (holder.get("released") or _gone(holder)):
        if time.monotonic() > until:
            return False
        time.sleep(BEAT / 10)
        now, record = _newest(url)
        if (now, record.get("beat")) != (number, holder.get("beat")):
            # also a last word: the next one asks anew
            return not record.get("released")
    return False


def _myself() -> dict:
    """Tell this process from all others, of this machine and elsewhere."""
    pid = os.getpid()
    return {"host": platform.node(), "pid": pid, "place": _place(), "born": _born(pid)}


def _place() -> str:
    """The machine since it started, and its table of processes; empty if unknown."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    return ""


def _born(pid: int) -> str:
    """When a process began, as the kernel counts; empty if unknown or gone."""
    with suppress(OSError, IndexError):
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if stat[0] in "ZX" else stat[19]
    return ""


def _gone(holder: dict) -> bool:
    """Whether the holder was a process of this machine that has ended."""
    place, pid, born = (holder.get(k) for k in ("place", "pid", "born"))
    if not (place and born and type(pid) is int) or place != _place():
        return False
    return _born(pid) != born


def _who(holder: dict) -> str:
    return f"process {holder.get('pid', 'unknown')} of {holder.get('host', 'unknown')}"
