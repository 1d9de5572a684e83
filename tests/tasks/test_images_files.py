"""Image files of every kind become 8-bit RGB or a clear error."""

from __future__ import annotations

import hashlib
import struct
import warnings
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from medrival.contracts import Sample
from medrival.errors import BrokenData, UnreadableImage
from medrival.tasks.images import ImageFile, fingerprint, inside

SIGNATURE = b"\x89PNG\r\n\x1a\n"
RAMP = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)


@pytest.fixture
def saved(tmp_path):
    def save(image, name, **options):
        image.save(tmp_path / name, **options)
        return ImageFile(tmp_path / name, tmp_path)

    return save


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def bare_png(width, height):
    """A PNG that declares a size and holds no pixels: a few bytes, however large the image."""
    return SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IDAT", b"")


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "1"])
def test_every_8_bit_mode_becomes_rgb_of_the_same_size(saved, mode):
    image = saved(PILImage.fromarray(RAMP).convert(mode), "a.png").open()
    assert (image.mode, image.size) == ("RGB", (16, 12))


def test_greyscale_keeps_its_values_in_all_three_channels(saved):
    pixels = np.asarray(saved(PILImage.fromarray(RAMP), "a.png").open())
    assert (pixels == RAMP[:, :, None]).all()


def test_a_palette_with_transparency_gives_its_colours_without_a_warning(saved):
    palette = PILImage.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.putdata([0, 1])
    file = saved(palette, "a.png", transparency=b"\x00\xff")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.asarray(file.open()).tolist() == [[[255, 0, 0], [0, 255, 0]]]


@pytest.mark.parametrize(("name", "off"), [("a.tiff", 0), ("a.jpg", 3)])
@pytest.mark.parametrize("ink", [(255, 0, 0, 0), (0, 100, 200, 50)])
def test_cmyk_is_read_as_the_colours_it_prints_also_where_adobe_writes_it_inverted(saved, name, off, ink):
    printed = np.round([(255 - colour) * (255 - ink[3]) / 255 for colour in ink[:3]])
    shown = saved(PILImage.new("CMYK", (8, 8), ink), name).open()
    assert shown.mode == "RGB"
    assert np.abs(np.asarray(shown) - printed).max() <= off + 1


def test_transparency_is_ignored_the_colours_under_it_are_shown(saved):
    image = PILImage.fromarray(np.array([[[9, 8, 7, 0], [1, 2, 3, 128]]], np.uint8), "RGBA")
    assert np.asarray(saved(image, "a.png").open()).tolist() == [[[9, 8, 7], [1, 2, 3]]]


@pytest.mark.parametrize("name", ["a.tiff", "a.gif", "a.webp"])
def test_of_several_frames_or_pages_the_first_is_shown(saved, name):
    frames = [PILImage.new("RGB", (6, 4), colour) for colour in ("red", "blue")]
    file = saved(frames[0], name, save_all=True, append_images=frames[1:])
    red, green, blue = file.open().getpixel((2, 2))
    assert red > 250 > 5 > green + blue


def test_the_lower_bits_of_deep_colours_are_dropped(tmp_path):
    """A 16-bit PNG of colours, written by hand: Pillow writes none."""
    deep = np.array([[[0x12FF, 0xABCD, 0xFFFF], [0x00FF, 0x0100, 0x7F00]]], ">u2")
    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(
        SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" + deep.tobytes())) + chunk(b"IEND", b"")
    )
    assert (np.asarray(ImageFile(tmp_path / "a.png", tmp_path).open()) == deep >> 8).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (10_000, 1)])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tiff"])
def test_sides_of_1_to_10_000_pixels_are_read(saved, size, name):
    assert saved(PILImage.new("L", size, 77), name).open().getpixel((0, 0)) == (77, 77, 77)


def test_a_format_that_would_start_a_program_is_no_image(tmp_path):
    """Pillow draws EPS by running Ghostscript."""
    PILImage.fromarray(RAMP).save(tmp_path / "a.eps")
    with pytest.raises(UnreadableImage, match="known format"):
        ImageFile(tmp_path / "a.eps", tmp_path).open()


@pytest.mark.parametrize(("dtype", "name"), [(np.uint16, "a.png"), (np.uint16, "a.tiff"), (np.int32, "a.tiff")])
def test_more_than_8_bits_are_scaled_from_their_own_range(saved, dtype, name):
    values = np.array([[1000, 1100], [1200, 3000]], dtype=dtype)
    pixels = np.asarray(saved(PILImage.fromarray(values), name).open())
    expected = np.round((values.astype(float) - 1000) / 2000 * 255)
    assert (pixels == expected[:, :, None]).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_stated_window_clips_and_scales_at_any_depth(saved, dtype):
    values = np.array([[0, 49, 50], [75, 100, 200]], dtype)
    file = saved(PILImage.fromarray(values), "a.tiff")
    windowed = replace(file, window=(50, 100))
    assert np.asarray(windowed.open())[:, :, 0].tolist() == [[0, 0, 0], [128, 255, 255]]
    assert windowed.digest != file.digest


def test_a_constant_16_bit_image_is_black(saved):
    assert not np.asarray(saved(PILImage.fromarray(np.full((4, 4), 7, np.uint16)), "a.png").open()).any()


def test_values_that_are_no_numbers_are_refused(saved):
    with pytest.raises(UnreadableImage, match=r"'a\.tiff'.*no finite numbers"):
        saved(PILImage.fromarray(np.array([[0.0, np.nan]], dtype=np.float32)), "a.tiff").open()


def test_exif_orientation_is_applied(saved):
    exif = PILImage.Exif()
    exif[0x0112] = 6  # shown upright after a quarter turn clockwise
    image = saved(PILImage.fromarray(RAMP), "a.png", exif=exif).open()
    assert (np.asarray(image)[:, :, 0] == np.rot90(RAMP, -1)).all()


@pytest.mark.filterwarnings("ignore:(Corrupt EXIF|Truncated File)")
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif", "a.tiff", "a.bmp", "a.webp"])
def test_a_truncated_file_is_an_unreadable_image_wherever_it_ends(saved, name):
    noise = np.random.default_rng(0).integers(256, size=(40, 40, 3), dtype=np.uint8)
    file = saved(PILImage.fromarray(noise), name)
    whole = file.path.read_bytes()
    for end in [*range(0, 200, 7), len(whole) // 2]:
        file.path.write_bytes(whole[:end])
        with pytest.raises(UnreadableImage, match=name):
            file.open()


@pytest.mark.parametrize(
    ("content", "why"), [(None, "no such file"), (b"", "empty"), (b"sorry, not found", "no image of a known format")]
)
def test_the_error_says_which_file_and_what_is_wrong(tmp_path, content, why):
    file = ImageFile(tmp_path / "images" / "scan.jpg", tmp_path)
    file.path.parent.mkdir()
    if content is not None:
        file.path.write_bytes(content)
    with pytest.raises(UnreadableImage, match=f"image 'images/scan.jpg' cannot be read: .*{why}"):
        file.open()


def test_a_folder_is_no_image(tmp_path):
    with pytest.raises(UnreadableImage):
        ImageFile(tmp_path, tmp_path.parent).open()


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("pillow_limit", [PILImage.MAX_IMAGE_PIXELS, None])
@pytest.mark.parametrize("side", [10_001, 20_000, 100_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, monkeypatch, side, pillow_limit):
    monkeypatch.setattr(PILImage, "MAX_IMAGE_PIXELS", pillow_limit)  # some libraries lift it for the whole process
    (tmp_path / "bomb.png").write_bytes(bare_png(side, side))
    with pytest.raises(UnreadableImage, match=r"bomb\.png.*pixels"):
        ImageFile(tmp_path / "bomb.png", tmp_path).open()


def test_a_file_with_more_bytes_than_any_image_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("medrival.tasks.images.files.MOST_BYTES", 1_000)
    (tmp_path / "a.png").write_bytes(bytes(1_001))
    with pytest.raises(UnreadableImage, match=r"a\.png.*more than 1,000 bytes"):
        ImageFile(tmp_path / "a.png", tmp_path).open()


def test_the_digest_is_of_the_bytes_and_a_missing_file_has_one_too(tmp_path):
    (tmp_path / "a.png").write_bytes(b"bytes")
    assert ImageFile(tmp_path / "a.png", tmp_path).digest == hashlib.sha256(b"bytes").hexdigest()
    missing = [ImageFile(tmp_path / name, tmp_path).digest for name in ("b.png", "c.png")]
    assert len(set(missing)) == 2


@pytest.mark.parametrize("relative", ["../secret.png", "a/../../secret.png", "/etc/hostname", "link.png", "", ".", "a\0b"])
def test_an_image_path_that_leaves_its_folder_is_refused(tmp_path, relative):
    folder = tmp_path / "images"
    folder.mkdir()
    (tmp_path / "secret.png").touch()
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(BrokenData, match="outside its folder"):
        inside(folder, relative)


def test_the_folder_is_resolved_once_however_many_images_it_has(tmp_path, monkeypatch):
    resolved = []
    monkeypatch.setattr(Path, "resolve", lambda self, true=Path.resolve: resolved.append(self) or true(self))
    for number in range(9):
        inside(tmp_path, f"{number}.png")
    assert resolved == [tmp_path]


def test_an_image_path_inside_its_folder_is_followed(tmp_path):
    assert inside(tmp_path, "a/../b/c.png").resolve() == (tmp_path / "b" / "c.png").resolve()


def test_the_fingerprint_follows_order_split_truth_and_pixels(tmp_path):
    for name in "ab":
        (tmp_path / name).write_bytes(name.encode())
    a, b = (Sample(id=name, image=ImageFile(tmp_path / name, tmp_path), group=name, truth="yes") for name in "ab")
    marks = {
        fingerprint([[a], [b]]),
        fingerprint([[b], [a]]),
        fingerprint([[a, b], []]),
        fingerprint([[b, a], []]),
        fingerprint([[replace(a, truth="no")], [b]]),
        fingerprint([[replace(a, prompt="?")], [b]]),
        fingerprint([[replace(a, image=b.image)], [b]]),
        fingerprint([[replace(a, more_images=(b.image,))], [b]]),
        fingerprint([[a], [b]], "a class prompt"),
    }
    assert len(marks) == 9
    assert fingerprint([[a], [b]]) == fingerprint(([replace(a)], [replace(b)]))


def test_a_read_error_of_the_disk_is_not_taken_for_a_broken_image(tmp_path):
    """It may be gone the next time; a sample counted as wrong would be stored for good."""
    with pytest.raises(BrokenData, match=r"image 'mem' cannot be read from disk: Input/output error"):
        ImageFile(Path("/proc/self/mem"), Path("/proc/self")).open()
