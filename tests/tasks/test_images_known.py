"""Digests that are kept between runs: never of other bytes, and of unchanged ones without reading them."""

from __future__ import annotations

import hashlib
import os
import time
from zipfile import ZipFile

import numpy as np
import pytest

from medrival.errors import UnreadableImage
from medrival.tasks.images import ImageFile, ZipMember, read_digests, slices

LATER = time.time_ns() + 3600 * 10**9
"""When every file of a test has long settled."""


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def reads(monkeypatch):
    """The names of the images whose bytes are read, in any order."""
    names = []
    for kind in (ImageFile, ZipMember):
        monkeypatch.setattr(kind, "content", lambda self, true=kind.content: names.append(self.name) or true(self))
    return names


@pytest.fixture
def digest(tmp_path):
    """Of an image, through the cache, as a process that starts anew has it."""

    def found(image, now=LATER):
        read_digests([image], tmp_path / "cache", now)
        return image.digest

    return found


@pytest.fixture
def file(tmp_path):
    def image(content=None, name="a.png", window=None):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        return ImageFile(tmp_path / name, tmp_path, window)

    return image


def test_an_unchanged_file_is_read_once(file, digest, reads):
    assert [digest(file(b"one")), digest(file()), digest(file())] == [sha256(b"one")] * 3
    assert reads == ["a.png"]


def test_equal_images_of_several_samples_are_read_once(file, tmp_path, reads):
    images = [file(b"one"), file(), file()]
    read_digests(images, tmp_path / "cache")
    assert {image.digest for image in images} == {sha256(b"one")}
    assert reads == ["a.png"]


def test_a_file_with_other_bytes_of_the_same_size_and_the_old_time_is_read_again(file, digest, tmp_path):
    digest(file(b"one"))
    before = (tmp_path / "a.png").stat()
    changed = file(b"two")
    os.utime(changed.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digest(changed) == sha256(b"two")


def test_a_file_that_another_one_was_moved_over_is_read_again(file, digest, tmp_path):
    digest(file(b"one"))
    file(b"two", "b.png").path.replace(tmp_path / "a.png")
    assert digest(file()) == sha256(b"two")


def test_the_digest_of_a_file_that_changed_just_now_is_not_kept(file, digest, reads):
    now = time.time_ns()
    digest(file(b"one"), now)
    digest(file(), now)
    assert reads == ["a.png"] * 2


def test_a_window_is_part_of_the_digest_and_not_of_what_is_kept(file, digest, reads):
    windowed = ImageFile.digest.func(file(b"one", window=(0.0, 9.0)))
    reads.clear()
    assert digest(file()) != windowed
    assert digest(file(window=(0.0, 9.0))) == windowed
    assert reads == ["a.png"]


def test_an_image_that_cannot_be_read_is_looked_at_again(file, digest):
    image = file()
    with pytest.raises(UnreadableImage):
        image.content()
    assert digest(image) == sha256(b"image 'a.png' cannot be read: there is no such file")
    assert digest(file(b"now")) == sha256(b"now")


def test_a_member_of_an_archive_is_known_until_the_archive_changes(tmp_path, digest, reads):
    def member(content=None):
        if content is not None:
            with ZipFile(tmp_path / "a.zip", "w") as archive:
                archive.writestr("one.png", content)
        return ZipMember(tmp_path / "a.zip", tmp_path, "one.png")

    assert digest(member(b"one")) == digest(member()) == sha256(b"one")
    assert reads == ["a.zip:one.png"]
    assert digest(member(b"two")) == sha256(b"two")


def test_images_of_an_array_are_known_each_by_itself(tmp_path):
    np.savez(tmp_path / "two.npz", images=np.arange(8, dtype=np.uint8).reshape(2, 2, 2))
    parts = [slices(tmp_path / "two.npz", "images", tmp_path / "cache") for _ in range(3)]
    for images in parts[:2]:
        read_digests(images, tmp_path / "cache", LATER)
    assert [image.digest for image in parts[1]] == [image.digest for image in parts[2]]
    assert len({image.digest for image in parts[1]}) == 2


@pytest.mark.parametrize("damage", [lambda whole: whole[:0], lambda whole: whole[:-9], lambda whole: whole.replace(b"7", b"8")])
def test_damaged_digests_are_computed_again(file, digest, tmp_path, damage):
    content = next(b"%d" % number for number in range(99) if "7" in sha256(b"%d" % number))
    digest(file(content))
    (kept,) = (tmp_path / "cache" / "digests").iterdir()
    kept.write_bytes(damage(kept.read_bytes()))
    assert digest(file()) == sha256(content)


def test_what_another_process_kept_meanwhile_stays(file, tmp_path, monkeypatch, reads):
    def meanwhile(self):
        monkeypatch.undo()
        read_digests([file(b"two", "b.png")], tmp_path / "cache", LATER)
        return self.content()

    first = file(b"one")
    monkeypatch.setattr(ImageFile, "content", meanwhile)
    read_digests([first], tmp_path / "cache", LATER)
    (kept,) = (tmp_path / "cache" / "digests").iterdir()
    assert b"a.png" in kept.read_bytes()
    assert b"b.png" in kept.read_bytes()


def test_a_cache_that_cannot_be_written_is_done_without(file, tmp_path):
    (tmp_path / "cache").write_text("a file in its place")
    image = file(b"one")
    read_digests([image], tmp_path / "cache", LATER)
    assert image.digest == sha256(b"one")
