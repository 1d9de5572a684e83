"""Samples in batches: each image decoded once and ahead, several to a question, unreadable ones set apart."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import weakref
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from PIL import Image

from medrival import batches
from medrival.batches import CPU_ROWS, at_once, blocks, in_batches, readers, streamed
from medrival.contracts import Failed, Sample
from medrival.decoded import Decoded
from medrival.errors import BrokenData, OutOfMemory, UnreadableImage


@dataclass(frozen=True)
class Drawn:
    """An image of one colour, or one that cannot be decoded."""

    colour: str
    torn: bool = False

    @property
    def digest(self):
        return f"{self.colour} {self.torn}"

    def open(self):
        if self.torn:
            raise UnreadableImage(f"{self.colour} is torn")
        return Image.new("RGB", (4, 4), self.colour)


@dataclass
class Counts:
    """How often each image is opened, and how many decoded ones are in memory."""

    opened: Counter = field(default_factory=Counter)
    alive: int = 0
    most: int = 0
    threads: set = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def born(self, name, picture):
        with self.lock:
            self.opened[name] += 1
            self.alive += 1
            self.most = max(self.most, self.alive)
            self.threads.add(threading.current_thread().name)
        weakref.finalize(picture, self.died)

    def died(self):
        self.alive -= 1


@dataclass(frozen=True)
class Counted:
    """An image of one grey value that counts what becomes of it. Another `place` may hold the same bytes."""

    grey: int
    counts: Counts = field(compare=False, repr=False)
    place: str = ""
    torn: bool = False

    @property
    def digest(self):
        return f"{self.grey} {self.torn}"

    def open(self):
        if self.torn:
            raise UnreadableImage(f"image {self.grey}{self.place} is torn")
        picture = Image.new("L", (4, 4), self.grey).convert("RGB")
        self.counts.born(self.grey, picture)
        return picture


PAIR = Sample("pair", Drawn("red"), "p", "yes", prompt="which?", more_images=(Drawn("green"), Drawn("blue")))
ALONE = Sample("alone", Drawn("blue"), "a", "no", prompt="what?")
TORN = Sample("torn", Drawn("red"), "t", "no", prompt="who?", more_images=(Drawn("green", torn=True),))


def colours(pictures):
    return [picture.getpixel((0, 0)) for picture in pictures]


def work(shown, samples):
    return [(sample.id, colours(pictures)) for pictures, sample in zip(shown, samples, strict=True)]


def quiet(items, _):
    return items


def questions(counts, images, each, torn=(), seed=0):
    """So many questions to each of some images, of every length, in no order."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    made = [
        Sample(f"{i}-{q}", Counted(i, counts, torn=i in torn), f"{i}", "yes", prompt="?" * dice.randrange(5, 90))
        for i in range(images)
        for q in range(each)
    ]
    dice.shuffle(made)
    return made


@pytest.fixture(params=[1, 2, 5], ids=lambda number: f"{number} threads")
def threads(request, monkeypatch):
    monkeypatch.setattr(batches, "readers", lambda: request.param)
    return request.param


def test_a_sample_brings_all_its_images_in_order_and_one_torn_image_fails_it_alone(threads):
    found = in_batches([PAIR, TORN, ALONE], work, 2, quiet, "")
    assert found[0] == ("pair", [(255, 0, 0), (0, 128, 0), (0, 0, 255)])
    assert found[1] == Failed("green is torn")
    assert found[2] == ("alone", [(0, 0, 255)])


@pytest.mark.parametrize("batch_size", [1, 4, 16, 1000])
def test_questions_that_share_an_image_decode_it_once_and_keep_their_order(threads, batch_size):
    counts = Counts()
    samples = questions(counts, images=50, each=8, torn={7})
    found = in_batches(samples, work, batch_size, quiet, "")
    assert counts.opened == Counter({i: 1 for i in range(50) if i != 7})
    for sample, result in zip(samples, found, strict=True):
        grey = sample.image.grey
        assert result == (Failed("image 7 is torn") if grey == 7 else (sample.id, [(grey,) * 3]))


@pytest.mark.parametrize("batch_size", [4, 16])
@pytest.mark.parametrize("each", [1, 3, 8])
def test_no_more_than_two_batches_of_images_are_in_memory(threads, batch_size, each):
    counts = Counts()
    in_batches(questions(counts, images=120, each=each), work, batch_size, quiet, "")
    assert counts.alive == 0
    assert counts.most <= 2 * batch_size + (batch_size if threads >= batch_size else 0)


def test_small_batches_are_read_as_far_ahead_as_there_are_threads(threads):
    counts = Counts()
    in_batches(questions(counts, images=60, each=1), work, 1, quiet, "")
    assert counts.most <= 2 + threads


def test_the_next_batch_is_decoded_while_the_model_works(monkeypatch):
    monkeypatch.setattr(batches, "readers", lambda: 2)
    ahead = threading.Event()

    class Waited(Counts):
        def born(self, name, picture):
            super().born(name, picture)
            if self.opened.total() == 8:
                ahead.set()

    counts = Waited()
    seen = []

    def slow(shown, samples):
        seen.append(ahead.wait(10))
        return [None] * len(samples)

    in_batches(questions(counts, images=8, each=1), slow, 4, quiet, "")
    assert seen == [True, True]
    assert threading.current_thread().name not in counts.threads


def test_several_threads_decode_at_a_time(monkeypatch):
    monkeypatch.setattr(batches, "readers", lambda: 3)
    meeting = threading.Barrier(3, timeout=10)

    @dataclass(frozen=True)
    class Met(Drawn):
        number: int = 0

        @property
        def digest(self):
            return str(self.number)

        def open(self):
            meeting.wait()
            return super().open()

    samples = [Sample(str(i), Met("red", number=i), "", "") for i in range(6)]
    assert len(in_batches(samples, work, 3, quiet, "")) == 6


def test_equal_bytes_under_two_names_are_decoded_once_and_each_failure_names_its_own(threads):
    counts = Counts()
    samples = [
        Sample(f"{grey}{place}", Counted(grey, counts, place, torn=grey == 2), "", "") for grey in (1, 2) for place in "ab"
    ]
    found = in_batches(samples, work, 4, quiet, "")
    assert counts.opened == Counter({1: 1})
    assert found[2:] == [Failed("image 2a is torn"), Failed("image 2b is torn")]


def test_images_that_many_questions_bring_along_do_not_pile_up(threads):
    """Each of 200 questions has an image of its own, and one that another has a hundred questions later."""
    counts = Counts()
    samples = [
        Sample(str(i), Counted(i, counts), "", "", prompt="?", more_images=(Counted(i % 100 // 2, counts),)) for i in range(200)
    ]
    found = in_batches(samples, work, 8, quiet, "")
    assert found[137] == ("137", [(137,) * 3, (18,) * 3])
    assert counts.most <= 2 * 2 * 8


def test_blocks_hold_whole_images_and_single_questions_stand_by_length():
    counts = Counts()
    single = questions(counts, images=40, each=1)
    order = [i for block in blocks(single, 8) for i in block]
    assert order == sorted(range(40), key=lambda i: (len(single[i].prompt), i))
    shared = questions(counts, images=40, each=5)
    found = blocks(shared, 8)
    assert sorted(i for block in found for i in block) == list(range(200))
    assert [len({shared[i].image.grey for i in block}) for block in found] == [8] * 5
    for block in found:
        lengths = [len(shared[i].prompt) for i in block]
        assert lengths == sorted(lengths)


def test_no_samples_are_no_work(threads):
    assert in_batches([], work, 4, quiet, "") == []


def test_what_a_disk_does_ends_the_work_and_its_threads(threads):
    class Gone(Drawn):
        def open(self):
            raise BrokenData("the disk is gone")

    with pytest.raises(BrokenData, match="the disk is gone"):
        in_batches([ALONE, Sample("gone", Gone("red"), "", "")], work, 1, quiet, "")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decoding")]


def test_an_error_of_the_model_ends_the_threads(threads):
    def fail(*_):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        in_batches(questions(Counts(), images=50, each=1), fail, 4, quiet, "")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decoding")]


def greys(shown):
    """The first image of each, prepared: its grey value."""
    return np.array([pictures[0].getpixel((0, 0))[0] for pictures in shown])


def as_they_are(rows, _):
    return rows.tolist()


def at_work():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("decoding", "preparing"))]


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("batch_size", [1, 4, 1000])
def test_prepared_rows_belong_to_their_samples_and_those_that_cannot_be_read_are_told(threads, ahead, batch_size):
    samples = questions(Counts(), images=20, each=3, torn={7})
    found = dict(streamed(samples, greys, as_they_are, batch_size, quiet, "", ahead=ahead))
    assert found == {
        i: Failed("image 7 is torn") if sample.image.grey == 7 else sample.image.grey for i, sample in enumerate(samples)
    }
    assert not at_work()


def test_the_next_batch_is_prepared_while_the_model_works_and_only_that():
    prepared, ready, allowed = [], threading.Semaphore(0), []

    def prepare(shown):
        prepared.append(threading.current_thread().name)
        ready.release()
        return greys(shown)

    def slow(rows, samples):
        assert ready.acquire(timeout=10)
        if len(allowed) < 3:
            assert ready.acquire(timeout=10), "the next one is prepared before this one is done"
            ready.release()
        allowed.append(len(prepared))
        return as_they_are(rows, samples)

    found = dict(streamed(questions(Counts(), images=16, each=1), prepare, slow, 4, quiet, "", ahead=True))
    assert len(found) == 16
    assert allowed == [2, 3, 4, 4]
    assert all(name.startswith("preparing") for name in prepared)


@pytest.mark.parametrize("batch_size", [4, 16])
def test_no_more_than_two_batches_of_images_are_in_memory_while_one_is_prepared_ahead(threads, batch_size):
    counts = Counts()
    for _ in streamed(questions(counts, images=120, each=1), greys, as_they_are, batch_size, quiet, "", ahead=True):
        pass
    assert counts.alive == 0
    assert counts.most <= 2 * batch_size + (batch_size if threads >= batch_size else 0)


@pytest.mark.parametrize("ahead", [False, True])
def test_an_error_in_preparing_is_raised_where_it_was_after_what_came_before(ahead):
    def prepare(shown):
        rows = greys(shown)
        if len(begun) > 1:
            raise ValueError(f"no row for {len(rows)} images")
        begun.append(rows)
        return rows

    begun, found = [], []
    with pytest.raises(ValueError, match="no row for 4 images") as raised:
        found.extend(streamed(questions(Counts(), images=20, each=1), prepare, as_they_are, 4, quiet, "", ahead=ahead))
    assert raised.traceback[-1].name == "prepare"
    assert len(found) == 8
    assert not at_work()


@pytest.mark.parametrize("ahead", [False, True])
def test_whoever_stops_early_leaves_no_thread_at_work(threads, ahead):
    counts = Counts()
    found = streamed(questions(counts, images=200, each=1), greys, as_they_are, 4, quiet, "", ahead=ahead)
    next(found)
    found.close()
    assert not at_work()
    assert counts.opened.total() < 50


@pytest.mark.parametrize("ahead", [False, True])
def test_after_memory_ran_out_batches_begin_at_the_size_that_fitted(monkeypatch, ahead):
    freed, sizes, prepared = [], [], []
    monkeypatch.setattr(batches, "_free", lambda: freed.append(len(sizes)))

    def prepare(shown):
        prepared.append(len(shown))
        return greys(shown)

    def greedy(rows, samples):
        sizes.append(len(samples))
        if len(samples) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return as_they_are(rows, samples)

    samples = questions(Counts(), images=50, each=1)
    found = dict(streamed(samples, prepare, greedy, 16, quiet, "", ahead=ahead))
    assert found == {i: sample.image.grey for i, sample in enumerate(samples)}
    assert sizes == [16, 8, *[4] * 12, 2]
    assert freed == [1, 2], "memory is given back where it ran out, not sample by sample"
    assert prepared == [16, 16, 16, 2]


def test_a_sample_that_does_not_fit_by_itself_is_named():
    def greedy(rows, _):
        raise torch.OutOfMemoryError(f"CUDA out of memory for {len(rows)}")

    with pytest.raises(OutOfMemory, match=r"sample '\d-0' does not fit into memory by itself: CUDA out of memory for 1"):
        in_batches(questions(Counts(), images=8, each=1), greedy, 8, quiet, "")
    assert not at_work()


def test_another_error_of_the_device_halves_nothing():
    sizes = []

    def broken(rows, _):
        sizes.append(len(rows))
        raise RuntimeError("CUDA error: device-side assert triggered")

    with pytest.raises(RuntimeError, match="device-side assert"):
        in_batches(questions(Counts(), images=8, each=1), broken, 8, quiet, "")
    assert sizes == [8]


def test_training_images_are_kept_each_once_and_samples_with_a_torn_one_are_left_out(threads):
    images = Decoded()
    readable = images.readable([PAIR, TORN, ALONE])
    assert readable == [PAIR, ALONE]
    shown = images.of(readable)
    assert [colours(pictures) for pictures in shown] == [[(255, 0, 0), (0, 128, 0), (0, 0, 255)], [(0, 0, 255)]]
    assert shown[0][2] is shown[1][0]
    assert images.of([PAIR])[0][0] is shown[0][0]


def test_training_images_that_fit_are_decoded_once_for_all_questions(threads):
    counts = Counts()
    samples = questions(counts, images=30, each=6)
    images = Decoded()
    assert images.readable(samples) == samples
    for start in range(0, 180, 20):
        images.of(samples[start : start + 20])
    assert counts.opened == Counter(range(30))


def test_training_images_beyond_the_bound_are_decoded_again_and_not_kept(threads):
    counts = Counts()
    samples = questions(counts, images=30, each=1)
    images = Decoded(most_bytes=10 * 3 * 4 * 4)
    assert images.readable(samples) == samples
    assert counts.alive == 10
    assert [colours(shown) for shown in images.of(samples)] == [[(s.image.grey,) * 3] for s in samples]
    assert counts.alive == 10
    assert counts.opened.total() == 30 + 20


def counted_readers(**given):
    code = "import os; os.sched_setaffinity(0, {0}); from medrival.batches import readers; print(readers())"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")} | given
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone says which CPUs a process may use")
def test_threads_are_as_many_as_the_cpus_that_a_process_may_use():
    assert counted_readers() == 1


def test_workers_share_the_cpus(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)), raising=False)
    found = []
    for workers in ("1", "4", "12", "30"):
        monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", workers)
        found.append(readers())
    assert found == [12, 3, 1, 1]


@pytest.mark.parametrize("rows", [0, 1, CPU_ROWS, 2 * CPU_ROWS + 1])
@pytest.mark.parametrize(
    ("device", "most", "largest"), [("cpu", None, CPU_ROWS), ("cpu", 3, 3), ("cuda", None, 100), ("cuda", 3, 3)]
)
def test_the_parts_of_a_batch_hold_every_row_once_in_order_and_no_more_than_they_may(rows, device, most, largest):
    parts = [list(range(rows))[part] for part in at_once(rows, device, most)]
    assert [row for part in parts for row in part] == list(range(rows))
    assert [len(part) for part in parts] == [largest] * (rows // largest) + [rows % largest] * (rows % largest > 0)


def test_as_many_threads_decode_as_are_asked_for():
    counts = Counts()
    dict(streamed(questions(counts, images=32, each=1), greys, as_they_are, 8, quiet, "", threads=1))
    assert len(counts.threads) == 1
