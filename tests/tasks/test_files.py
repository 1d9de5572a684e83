"""Tables and arrays in archives: none is inflated beyond what its archive declares, or beyond any table's size."""

from __future__ import annotations

import struct
import tracemalloc
from unicodedata import normalize
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
from PIL import Image as PILImage

from medrival.catalog import TaskCard
from medrival.errors import BrokenData, UnreadableImage
from medrival.tasks import arrays, tables
from medrival.tasks.files import Files

CENTRAL, SIZE = b"PK\x01\x02", struct.Struct("<I")
SIZE_AT = 24
"""Where a member's size stands in its entry of an archive's directory (PKWARE APPNOTE 4.3.12)."""


@pytest.fixture
def files(tmp_path):
    return Files(TaskCard("mine", "vqa", "x", "x:y"), tmp_path, tmp_path)


def declare(path, size):
    """Let an archive of one member say that it has another size."""
    content = bytearray(path.read_bytes())
    SIZE.pack_into(content, content.index(CENTRAL) + SIZE_AT, size)
    path.write_bytes(content)


def pack(path, content):
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr("t/a.json", content)


def test_the_rows_of_a_packed_table_are_read(files, tmp_path):
    pack(tmp_path / "t.zip", b'[{"a": 1}]' + b" " * 3 * tables.PIECE)
    assert [dict(row.values) for row in files.packed_tables("t.zip", "t/*.json")] == [{"a": 1}]


def test_a_packed_table_with_more_bytes_than_declared_is_refused_without_room_for_them(files, tmp_path):
    pack(tmp_path / "t.zip", b"[]" + b" " * 50 * 2**20)
    declare(tmp_path / "t.zip", 100)
    tracemalloc.start()
    with pytest.raises(BrokenData, match=r"mine: archive \S*t\.zip cannot be read: Bad CRC-32"):
        list(files.packed_tables("t.zip", "t/*.json"))
    assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    tracemalloc.stop()


def test_a_packed_table_that_declares_more_than_any_table_is_refused_unread(files, tmp_path):
    pack(tmp_path / "t.zip", b"[]")
    declare(tmp_path / "t.zip", 3 * 2**30)
    with pytest.raises(BrokenData, match=r"t/a\.json has 3,221,225,472 bytes, more than 2,147,483,648"):
        list(files.packed_tables("t.zip", "t/*.json"))


@pytest.mark.parametrize(("written", "named"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_a_name_with_an_accent_is_found_however_it_is_encoded(files, tmp_path, written, named):
    on_disk, in_table = (normalize(form, "Patienten_Müller/é_1.png") for form in (written, named))
    assert on_disk != in_table
    (tmp_path / on_disk).parent.mkdir()
    PILImage.new("RGB", (4, 4), (1, 2, 3)).save(tmp_path / on_disk)
    with ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.write(tmp_path / on_disk, f"in/{on_disk}")
    for image in (files.image(in_table), files.packed("images.zip", f"in/{in_table}")):
        assert image.open().getpixel((0, 0)) == (1, 2, 3)
    assert files.image(in_table).name == on_disk
    with pytest.raises(UnreadableImage, match="no such file"):
        files.image("Patienten_Möller/é_1.png").open()


def test_an_array_of_numbers_that_declares_more_than_any_table_is_refused_unread(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", labels=np.arange(3))
    assert arrays.numbers(tmp_path / "a.npz", "labels").tolist() == [0, 1, 2]
    declare(tmp_path / "a.npz", 3 * 2**30)
    with pytest.raises(BrokenData, match=r"a\.npz: arrays labels cannot be read: labels\.npy has 3,221,225,472 bytes"):
        arrays.numbers(tmp_path / "a.npz", "labels")


def test_an_array_of_numbers_with_more_bytes_than_declared_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", labels=np.zeros(10**6, np.uint8))
    declare(tmp_path / "a.npz", 1000)
    with pytest.raises(BrokenData, match=r"a\.npz: arrays labels cannot be read"):
        arrays.numbers(tmp_path / "a.npz", "labels")
