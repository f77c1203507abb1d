"""`Feed`: the batches of the steps in order, whoever reads; nothing outlives it."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from flowjax_ood.runtime.shares import Share
from flowjax_ood.training import feed as module
from flowjax_ood.training.batches import image_batches
from flowjax_ood.training.feed import Feed, Prefetch

WAYS = {
    "inline": {},
    "threads": {"ahead": 3, "threads": 2},
    "more_threads_than_ahead": {"ahead": 1, "threads": 4},
    "worker": {"ahead": 2, "workers": 1},
    "workers_of_threads": {"ahead": 3, "threads": 2, "workers": 2},
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
START = 5


@pytest.fixture(scope="module")
def batches():
    images = np.random.default_rng(0).integers(0, 256, (10, 2, 2, 1), np.uint8)
    return image_batches(images, 4, seed=3)


def same(got: list[dict], wanted: list[dict]) -> bool:
    assert len(got) == len(wanted)
    for one, other in zip(got, wanted):
        assert one.keys() == other.keys()
        for name in one:
            # of workers, too, an array like any other
            assert type(one[name]) is np.ndarray
            assert one[name].dtype == other[name].dtype
            np.testing.assert_array_equal(one[name], other[name])
    return True


def readers() -> list:
    threads = [t for t in threading.enumerate() if "grain" in t.name]
    return [*threads, *multiprocessing.active_children()]


def soon(done, seconds: float = 20.0) -> bool:
    """Whether `done()` comes true within `seconds`."""
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.02)
    return done()


@pytest.mark.thorough
@every_way
def test_batches_are_those_of_the_steps_in_order(batches, way):
    with Feed(batches, START, Prefetch(**way)) as feed:
        got = feed.take(3)
        assert feed.step == START + 3
        peeked = feed.peek()
        assert feed.step == START + 3
        got += feed.take(2)
        assert same([peeked], got[3:4])
        assert same(got, [batches(step) for step in range(START, START + 5)])
    assert soon(lambda: not readers())


def far(way: dict) -> dict:
    return way | {"ahead": 10**9} if way else way


@pytest.mark.thorough
@every_way
def test_nothing_is_read_beyond_the_end(batches, way):
    """However far ahead: what is read there, and held in memory, is for no step."""
    with Feed(batches, START, Prefetch(**far(way)), end=START + 3) as feed:
        assert same(feed.take(3), [batches(step) for step in range(START, START + 3)])
        if feed._iterator is not None:
            with pytest.raises(StopIteration):
                feed.take()
    assert soon(lambda: not readers())


@pytest.mark.thorough
@every_way
def test_a_part_is_read_of_every_batch(batches, way):
    part = Share(1, 2)
    with Feed(batches, 0, Prefetch(**way), part=part) as feed:
        assert same(feed.take(2), [batches(0, part), batches(1, part)])


class Damaged:
    """The batches of another, but for one step."""

    def __init__(self, batches, step):
        self.batches, self.step = batches, step

    def __call__(self, step, part):
        if step == self.step:
            raise OSError(f"the record of step {step} is damaged")
        return self.batches(step, part)


@pytest.mark.thorough
@every_way
def test_what_goes_wrong_is_said_and_no_batch_is_left_out(batches, way):
    with Feed(Damaged(batches, START + 2), START, Prefetch(**way)) as feed:
        with pytest.raises(OSError, match="the record of step 7 is damaged"):
            feed.take(4)
        # nothing was taken, nothing of the steps behind it is handed out in its place
        assert feed.step == START
        assert same(feed.take(2), [batches(START), batches(START + 1)])
        with pytest.raises(OSError, match="the record of step 7 is damaged"):
            feed.peek()
    assert soon(lambda: not readers())


def slow(step, part):
    time.sleep(0.05)
    return {"step": np.array([step])}


def test_waiting_is_counted():
    with Feed(slow, 0) as feed:
        feed.take(2)
        assert 0.1 <= feed.waited < 10
        feed.waited = 0.0
        assert feed.waited == 0.0
        feed.peek()
        waited = feed.waited
        assert waited >= 0.05
        # it is there already
        feed.take(1)
        assert feed.waited - waited < 0.04


def test_reading_ahead_is_while_others_work():
    with Feed(slow, 0, Prefetch(ahead=4, threads=1)) as feed:
        feed.take(1)
        feed.waited = 0.0
        time.sleep(0.6)
        feed.take(4)
        # a tenth of what reading them took would be much
        assert feed.waited < 0.15


def counting(step, part):
    seen.append(step)
    return {"step": np.array([step])}


seen: list[int] = []


def test_no_more_is_read_than_asked_for_and_ahead():
    seen.clear()
    with Feed(counting, 2, Prefetch(ahead=3, threads=2)) as feed:
        assert seen == []
        feed.take(2)
        assert soon(lambda: len(seen) == 5)
    assert sorted(seen) == [2, 3, 4, 5, 6]


@pytest.mark.thorough
@pytest.mark.multiprocess
def test_workers_leave_signals_to_the_trainer(batches):
    """Ctrl-C and a scheduler's SIGTERM reach them, too: one more batch may be needed"""
    with Feed(batches, 0, Prefetch(ahead=2, workers=2)) as feed:
        feed.take(1)
        # one of them may still be starting
        assert soon(lambda: len(multiprocessing.active_children()) == 2)
        workers = multiprocessing.active_children()
        for worker in workers:
            os.kill(worker.pid, signal.SIGINT)
            os.kill(worker.pid, signal.SIGTERM)
        assert same(feed.take(6), [batches(step) for step in range(1, 7)])
        began = time.monotonic()
    assert not multiprocessing.active_children()
    assert time.monotonic() - began < 15


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.thorough
@pytest.mark.multiprocess
def test_workers_end_with_a_trainer_that_is_killed():
    code = (
        "import multiprocessing, os, signal, numpy as np\n"
        "from flowjax_ood.training.batches import image_batches\n"
        "from flowjax_ood.training.feed import Feed, Prefetch\n"
        "if __name__ == '__main__':\n"
        "    batches = image_batches(np.zeros((9, 2, 2, 1), np.uint8), 3, 0)\n"
        "    feed = Feed(batches, 0, Prefetch(ahead=2, workers=2))\n"
        "    feed.take(1)\n"
        "    print(*(p.pid for p in multiprocessing.active_children()), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as trainer:
        workers = [int(pid) for pid in trainer.stdout.readline().split()]
        assert len(workers) == 2
        assert trainer.wait() == -signal.SIGKILL
    assert soon(lambda: not any(map(alive, workers)))


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ({"ahead": -1}, "ahead must be at least 0, got -1"),
        ({"ahead": 2, "threads": -3}, "threads must be at least 0, got -3"),
        ({"ahead": 2}, "reading 2 batches ahead needs threads or workers"),
        ({"workers": 2}, "2 worker processes are of use only to read ahead"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(way, said):
    with pytest.raises(ValueError, match=said):
        Prefetch(**way)


def test_steps_begin_at_0(batches):
    with pytest.raises(ValueError, match="the first step cannot be -1"):
        Feed(batches, -1)


def test_without_grain_nothing_is_read_ahead(batches, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert same(Feed(batches, 0).take(1), [batches(0)])
    with pytest.raises(ImportError, match=r"pip install -e '\.\[streaming\]'"):
        Prefetch(ahead=1, threads=1)
