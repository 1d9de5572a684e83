"""Members of zip archives, read in place, and whatever an archive may do to a reader."""

from __future__ import annotations

import hashlib
import io
import pickle
import shutil
import struct
import subprocess
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image as PILImage

from medrival.errors import BrokenData, UnreadableImage
from medrival.tasks.images import ImageFile, ZipMember, archives, members
from medrival.tasks.images.encoded import MOST_BYTES

RAMP = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)


def encoded(values, kind):
    written = io.BytesIO()
    PILImage.fromarray(values).save(written, kind)
    return written.getvalue()


def png(values):
    return encoded(values, "PNG")


@pytest.fixture
def packed(tmp_path):
    def pack(contents, name="images.zip", method=zipfile.ZIP_DEFLATED):
        path = tmp_path / "data" / name
        path.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(path, "w", method) as archive:
            for member, content in contents.items():
                archive.writestr(member, content)
        return lambda member, window=None: ZipMember(path, tmp_path, member, window)

    return pack


def patched(image, change):
    """The archive with some bytes of its directory changed."""
    content = bytearray(image.path.read_bytes())
    change(content, content.rindex(b"PK\x01\x02"))
    image.path.write_bytes(bytes(content))
    return image


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_is_the_image_that_the_file_would_be(packed, tmp_path, method):
    image = packed({"a/b.png": png(RAMP), "a/c.png": png(RAMP.T.copy())}, method=method)("a/b.png")
    (tmp_path / "b.png").write_bytes(png(RAMP))
    file = ImageFile(tmp_path / "b.png", tmp_path)
    assert (np.asarray(image.open()) == np.asarray(file.open())).all()
    assert image.digest == file.digest == hashlib.sha256(png(RAMP)).hexdigest()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["b.png", "data", "images.zip"]


def test_an_archive_behind_other_bytes_is_read(packed):
    image = packed({"a.png": png(RAMP)})("a.png")
    image.path.write_bytes(b"#!/bin/sh\n" * 100 + image.path.read_bytes())
    assert image.open().size == (16, 12)


def test_equal_members_are_equal_and_survive_a_pickle(packed):
    image = packed({"a.png": png(RAMP)})
    assert image("a.png") == image("a.png") != image("a.png", (0, 1))
    assert {image("a.png"): 1}[pickle.loads(pickle.dumps(image("a.png")))] == 1  # noqa: S301 - our own bytes


def test_many_members_are_read_by_many_threads_with_the_directory_read_once(packed, monkeypatch):
    count, opened = 3_000, []

    class Counted(zipfile.ZipFile):
        def __init__(self, *given):
            opened.append(given)
            super().__init__(*given)

    image = packed({f"{i}.png": png(np.full((3, 3), i % 251, np.uint8)) for i in range(count)})
    monkeypatch.setattr(archives, "ZipFile", Counted)
    assert image("0.png").open().size == (3, 3)
    with ThreadPoolExecutor(8) as pool:
        shown = list(pool.map(lambda i: image(f"{i}.png").open().getpixel((0, 0))[0], range(count)))
    assert shown == [i % 251 for i in range(count)]
    assert len(opened) == 1


def test_a_changed_archive_is_read_anew(packed):
    assert packed({"a.png": png(RAMP)})("a.png").open().size == (16, 12)
    assert packed({"a.png": png(RAMP[:5, :7].copy())})("a.png").open().size == (7, 5)


def test_a_missing_member_is_named_with_its_archive(packed):
    with pytest.raises(UnreadableImage, match=r"image 'data/images\.zip:b\.png' cannot be read: .*no such member"):
        packed({"a.png": b""})("b.png").open()


def test_an_empty_member_and_one_that_is_no_image_are_named(packed):
    image = packed({"a.png": b"", "b.png": b"sorry"})
    with pytest.raises(UnreadableImage, match=r"images\.zip:a\.png' cannot be read: it is empty"):
        image("a.png").open()
    with pytest.raises(UnreadableImage, match=r"images\.zip:b\.png' cannot be read: .*known format"):
        image("b.png").open()


@pytest.mark.parametrize("member", ["/etc/passwd", "../a.png", "a/../../b.png", "C:\\a.png", "..\\a.png", "\\a.png", "", "."])
def test_a_member_that_points_out_of_its_archive_is_refused(packed, member):
    with pytest.raises(BrokenData, match="outside the archive"):
        packed({"a.png": b""})(member)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_member_is_unreadable_and_its_neighbour_is_not(packed, method):
    """A BMP has no checksum of its own: only the archive tells that its pixels are not what they were."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    image = packed({"a.bmp": encoded(noise, "BMP"), "b.bmp": encoded(noise, "BMP")}, method=method)
    path = image("a.bmp").path
    content = bytearray(path.read_bytes())
    content[1_500] ^= 1
    path.write_bytes(content)
    with pytest.raises(UnreadableImage, match=r"images\.zip:a\.bmp' cannot be read: (it is damaged|Error -3)"):
        image("a.bmp").open()
    assert image("b.bmp").open().size == (40, 40)
    assert image("a.bmp").digest != image("b.bmp").digest


def test_a_member_with_more_bytes_than_declared_is_refused_without_room_for_them(packed):
    def shrink(content, entry):
        struct.pack_into("<I", content, entry + 24, 10)

    image = patched(packed({"a.png": bytes(10**7)})("a.png"), shrink)
    tracemalloc.start()
    with pytest.raises(
        UnreadableImage, match=r"a\.png' cannot be read: it has more bytes than the 10 that its archive declares"
    ):
        image.open()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10**6


def test_a_member_that_declares_more_than_any_image_is_refused_unread(packed):
    def swell(content, entry):
        struct.pack_into("<I", content, entry + 24, MOST_BYTES + 1)

    image = patched(packed({"a.png": png(RAMP)})("a.png"), swell)
    with pytest.raises(UnreadableImage, match=rf"a\.png' cannot be read: it has {MOST_BYTES + 1:,} bytes"):
        image.open()


def test_an_encrypted_member_says_so(packed):
    def encrypt(content, entry):
        content[entry + 8] |= 1

    with pytest.raises(UnreadableImage, match=r"a\.png' cannot be read: it is encrypted"):
        patched(packed({"a.png": png(RAMP)})("a.png"), encrypt).open()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compression_that_cannot_be_bounded_is_refused(packed, method):
    with pytest.raises(UnreadableImage, match=f"compressed by method {method}"):
        packed({"a.png": png(RAMP)}, method=method)("a.png").open()


def test_an_archive_that_is_missing_or_no_archive_is_broken_data_not_a_broken_image(packed, tmp_path):
    missing = ZipMember(tmp_path / "none.zip", tmp_path, "a.png")
    with pytest.raises(BrokenData, match=r"none\.zip cannot be read: No such file"):
        missing.open()
    image = packed({"a.png": png(RAMP)})("a.png")
    image.path.write_bytes(image.path.read_bytes()[:40])
    with pytest.raises(BrokenData, match=r"images\.zip cannot be read: File is not a zip file"):
        image.open()


def test_members_lists_files_and_no_folders(packed, tmp_path):
    image = packed({"a/": "", "a/b.png": b"1"})
    assert list(members(image("a/b.png").path)) == ["a/b.png"]


@pytest.mark.skipif(not shutil.which("zip"), reason="needs the program zip")
def test_what_the_usual_program_packs_is_read(tmp_path):
    (tmp_path / "a.png").write_bytes(png(RAMP))
    subprocess.run(["zip", "-q", "a.zip", "a.png"], cwd=tmp_path, check=True)
    assert ZipMember(tmp_path / "a.zip", tmp_path, "a.png").open().size == (16, 12)
