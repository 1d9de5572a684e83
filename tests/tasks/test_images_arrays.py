"""Images in npz files: one array a patient (GF3300, FairVLMed), or all of them in one (MedMNIST)."""

from __future__ import annotations

import io
import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from medrival.errors import BrokenData, UnreadableImage
from medrival.tasks.images import ImageFile, ZipMember, slices

RANDOM = np.random.default_rng(3)
MAP = RANDOM.uniform(-90, 500, (12, 10))


@pytest.fixture
def patient(tmp_path):
    def save(values, window=None, write=np.savez_compressed):
        write(tmp_path / "data_0001.npz", rnflt=values, md=np.float64(-3.1))
        return ZipMember(tmp_path / "data_0001.npz", tmp_path, "rnflt.npy", window)

    return save


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_a_map_is_shown_in_its_stated_window_and_clipped_beyond_it(patient, write):
    expected = np.clip((MAP + 2) / 352 * 255, 0, 255).round()
    assert (np.asarray(patient(MAP, (-2, 350), write).open()) == expected[:, :, None]).all()
    assert (MAP > 360).any()
    assert (MAP < -12).any()


def test_a_map_without_a_window_is_scaled_from_its_own_range(patient):
    expected = np.interp(MAP, (MAP.min(), MAP.max()), (0, 255)).round()
    assert (np.asarray(patient(MAP).open()) == expected[:, :, None]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.uint16, ">f8", bool])
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_type_of_number_in_any_order_is_read(patient, dtype, order):
    values = np.asarray(MAP > 100 if dtype is bool else MAP, dtype=dtype, order=order)
    expected = np.interp(values.astype(float), (values.min(), values.max()), (0, 255)).round()
    assert (np.asarray(patient(values).open())[:, :, 1] == expected).all()


@pytest.mark.parametrize("shape", [(7, 5), (7, 5, 1), (7, 5, 3)])
def test_eight_bits_stay_as_they_are(patient, shape):
    values = RANDOM.integers(3, 200, shape, dtype=np.uint8)
    assert (np.asarray(patient(values).open()) == values.reshape(7, 5, -1)).all()


def test_the_digest_tells_windows_apart(patient):
    assert len({patient(MAP, window).digest for window in (None, (0, 1), (0, 2))}) == 3


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.zeros(9), r"shape \(9,\)"),
        (np.zeros((2, 3, 4)), r"shape \(2, 3, 4\)"),
        (np.zeros((0, 4)), r"shape \(0, 4\)"),
        (np.float64(1), r"shape \(\)"),
        (np.full((2, 2), np.nan), "no finite numbers"),
        (np.full((2, 2), "a"), "."),
    ],
)
def test_an_array_that_is_no_image_says_why(patient, values, why):
    with pytest.raises(UnreadableImage, match=rf"image 'data_0001\.npz:rnflt\.npy' cannot be read: .*{why}"):
        patient(values).open()


def test_a_window_that_ends_below_its_start_is_said(patient):
    with pytest.raises(UnreadableImage, match="its window ends at 0, below its start 5"):
        patient(MAP, (5, 0)).open()


def test_python_objects_are_never_unpickled(patient, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "done"), "w"))

    evil = np.empty((1, 1), dtype=object)
    evil[0, 0] = Evil()
    with pytest.raises(UnreadableImage, match="Python objects"):
        patient(evil).open()
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize("shape", [(10**6, 10**6), (50, 10**12), (3, 4)])
def test_a_declared_shape_that_the_file_does_not_hold_allocates_nothing(tmp_path, shape):
    written = io.BytesIO()
    np.lib.format.write_array_header_1_0(written, {"descr": "<f8", "fortran_order": False, "shape": shape})
    (tmp_path / "a.npy").write_bytes(written.getvalue() + bytes(80))
    with pytest.raises(UnreadableImage, match=r"a\.npy"):
        ImageFile(tmp_path / "a.npy", tmp_path).open()


@pytest.fixture
def medmnist(tmp_path):
    def save(images, write=np.savez_compressed):
        write(tmp_path / "breastmnist.npz", train_images=images, train_labels=np.zeros((len(images), 1), np.uint8))
        return tmp_path / "breastmnist.npz", tmp_path / "cache"

    return save


@pytest.mark.parametrize("shape", [(6, 28, 28), (6, 28, 28, 3)])
@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_each_image_of_a_stack_is_its_own_slice(medmnist, shape, write):
    images = RANDOM.integers(0, 256, shape, dtype=np.uint8)
    made = slices(medmnist(images, write)[0], "train_images", medmnist(images, write)[1])
    assert [(np.asarray(image.open()) == values.reshape(28, 28, -1)).all() for image, values in zip(made, images, strict=True)]
    assert len({image.digest for image in made}) == 6
    assert made[4].name == "breastmnist.npz:train_images[4]"
    assert pickle.loads(pickle.dumps(made[4])) == made[4] != made[3]  # noqa: S301 - our own bytes


def test_a_stack_is_unpacked_once_and_anew_when_its_file_changes(medmnist):
    npz, cache = medmnist(np.zeros((2, 4, 4), np.uint8))
    slices(npz, "train_images", cache)
    (unpacked,) = cache.rglob("*.npy")
    changed = unpacked.stat().st_mtime_ns
    slices(npz, "train_images", cache)
    assert unpacked.stat().st_mtime_ns == changed
    medmnist(np.full((3, 4, 4), 9, np.uint8))
    assert slices(npz, "train_images", cache)[2].open().getpixel((0, 0)) == (9, 9, 9)


def test_an_array_that_is_not_there_is_named_with_those_that_are(medmnist):
    npz, cache = medmnist(np.zeros((2, 4, 4), np.uint8))
    with pytest.raises(BrokenData, match=r"breastmnist\.npz:test_images: .*train_images\.npy, train_labels\.npy"):
        slices(npz, "test_images", cache)


@pytest.mark.parametrize("values", [np.zeros((4, 4)), np.array([[[None]]]), np.zeros((2, 2, 2, 2, 2))])
def test_an_array_of_no_images_is_said(medmnist, values):
    npz, cache = medmnist(values)
    with pytest.raises(BrokenData, match=r"breastmnist\.npz:train_images is no array of images"):
        slices(npz, "train_images", cache)


def test_a_damaged_stack_is_broken_data_and_leaves_nothing_behind(medmnist):
    npz, cache = medmnist(np.zeros((50, 40, 40), np.uint8), np.savez)
    content = bytearray(npz.read_bytes())
    content[5_000] ^= 1
    npz.write_bytes(content)
    with pytest.raises(BrokenData, match=r"train_images cannot be unpacked: Bad CRC-32"):
        slices(npz, "train_images", cache)
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_a_stack_that_is_larger_than_the_disk_is_refused_before_it_is_unpacked(medmnist, monkeypatch):
    npz, cache = medmnist(np.zeros((2, 40, 40), np.uint8))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1_000))
    with pytest.raises(BrokenData, match="unpacked it takes 3,328 bytes, and the cache's disk has 1,000 left"):
        slices(npz, "train_images", cache)
