"""DICOM as a screen shows it, against pydicom's own transforms, and what cannot be read said in words."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from PIL import Image as PILImage
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
)

from medrival.errors import UnreadableImage
from medrival.tasks.images import MOST_PIXELS, ImageFile

STORED = np.random.default_rng(5).integers(0, 4096, (6, 9), dtype=np.uint16)


def dicom(values=STORED, syntax=ExplicitVRLittleEndian, bits=12, **more):
    """A data set of one grey image, or of colours where the values have three channels."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = "1.2.3"
    made.Rows, made.Columns = values.shape[:2]
    made.SamplesPerPixel = 3 if values.ndim == 3 else 1
    made.PhotometricInterpretation = "RGB" if values.ndim == 3 else "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit = 8 * values.itemsize, bits, bits - 1
    made.PixelRepresentation = int(values.dtype.kind == "i")
    if values.ndim == 3:
        made.PlanarConfiguration = 0
    made.PixelData = values.tobytes()
    for key, value in more.items():
        setattr(made, key, value)
    return made


def lut(entries, first, bits):
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.LUTData = np.array(entries, "<u2").tobytes()
    return item


@pytest.fixture
def saved(tmp_path):
    def save(made, name="a.dcm", window=None, **how):
        made.save_as(tmp_path / name, **({"enforce_file_format": True} | how))
        return ImageFile(tmp_path / name, tmp_path, window)

    return save


def grey(file):
    pixels = np.asarray(file.open())
    assert (pixels == pixels[:, :, :1]).all()
    return pixels[:, :, 0]


def scaled(values, low, high):
    return np.round((np.asarray(values, float) - low) / (high - low) * 255)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_without_a_window_the_values_are_scaled_from_their_own_range(saved, syntax):
    assert (grey(saved(dicom(syntax=syntax))) == scaled(STORED, STORED.min(), STORED.max())).all()


WINDOWS = [
    {"WindowCenter": 2000, "WindowWidth": 900},
    {"WindowCenter": [1500, 40], "WindowWidth": [3000, 400]},
    {"WindowCenter": 800.5, "WindowWidth": 1200, "VOILUTFunction": "LINEAR_EXACT"},
    {"WindowCenter": 2048, "WindowWidth": 700, "VOILUTFunction": "SIGMOID"},
    {"WindowCenter": 1000, "WindowWidth": 1},
]
MODALITIES = [{}, {"RescaleSlope": 2, "RescaleIntercept": -1024}]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("modality", MODALITIES)
def test_a_stated_window_is_that_of_pydicom_the_first_of_several(saved, window, modality):
    file = saved(dicom(**window, **modality))
    made = pydicom.dcmread(file.path)
    oracle = apply_voi_lut(apply_modality_lut(STORED, made), made)
    ends = apply_modality_lut(np.array([0, 4095]), made)
    assert np.abs(grey(file) - scaled(oracle, *ends)).max() <= 1
    assert len(np.unique(grey(file))) > 1


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("centre", "width"), [(20, 11), (20.5, 10), (7, 2)])
def test_a_narrow_window_is_right_to_half_a_value(saved, function, centre, width):
    ramp = np.arange(54, dtype=np.uint16).reshape(6, 9)
    file = saved(dicom(ramp, WindowCenter=centre, WindowWidth=width, VOILUTFunction=function))
    oracle = apply_voi_lut(ramp, pydicom.dcmread(file.path))
    assert np.abs(grey(file) - scaled(oracle, 0, 4095)).max() <= 1


def test_float_pixels_are_scaled_from_their_own_range(saved):
    values = STORED.astype(np.float32) / 7
    made = dicom(values, bits=32)
    made.FloatPixelData = made.PixelData
    for key in ("PixelData", "BitsStored", "HighBit", "PixelRepresentation"):
        delattr(made, key)
    assert (grey(saved(made)) == scaled(values, values.min(), values.max())).all()


def test_signed_values_keep_their_sign(saved):
    values = (STORED.astype(np.int16) - 2000).clip(-1024, 2000)
    file = saved(dicom(values, bits=16, WindowCenter=0, WindowWidth=1000))
    assert np.abs(grey(file) - scaled(values.clip(-500, 499), -500, 499)).max() <= 1


def test_a_voi_lut_goes_before_a_window_and_a_modality_lut_before_both(saved):
    curve = (np.linspace(0, 1, 5000) ** 2 * 1023).astype(int)
    file = saved(
        dicom(
            ModalityLUTSequence=[lut(range(0, 8192, 2), 0, 16)],
            VOILUTSequence=[lut(curve, 100, 10)],
            WindowCenter=7,
            WindowWidth=2,
        )
    )
    made = pydicom.dcmread(file.path)
    oracle = apply_voi_lut(apply_modality_lut(STORED, made), made)
    assert (grey(file) == scaled(oracle, 0, 1023)).all()
    assert (grey(file) == scaled(curve[(2 * STORED.astype(int) - 100).clip(0, 4999)], 0, 1023)).all()


def test_a_voi_lut_with_more_entries_than_its_values_have_is_looked_up_whole(saved):
    curve = np.arange(4096) // 16
    assert (grey(saved(dicom(VOILUTSequence=[lut(curve, 0, 8)]))) == STORED // 16).all()


@pytest.mark.parametrize("more", [{}, {"WindowCenter": 2000, "WindowWidth": 900}])
def test_monochrome1_is_the_negative_of_monochrome2(saved, more):
    positive = grey(saved(dicom(**more)))
    negative = grey(saved(dicom(PhotometricInterpretation="MONOCHROME1", **more), "b.dcm"))
    assert (negative == 255 - positive).all()


@pytest.mark.parametrize("more", [{}, {"RescaleSlope": 1, "RescaleIntercept": 0}, {"WindowCenter": None, "WindowWidth": None}])
def test_eight_bits_without_a_window_stay_as_they_are(saved, more):
    values = (STORED // 32).astype(np.uint8)
    assert (grey(saved(dicom(values, bits=8, **more))) == values).all()


def test_a_window_that_the_data_set_states_replaces_the_files_own(saved):
    file = saved(dicom(WindowCenter=10, WindowWidth=2), window=(1000, 3000))
    assert (grey(file) == scaled(STORED.clip(1000, 3000), 1000, 3000)).all()


def test_colours_are_kept_and_ybr_becomes_rgb(saved):
    colours = np.random.default_rng(1).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    assert (np.asarray(saved(dicom(colours, bits=8)).open()) == colours).all()
    ybr = np.asarray(PILImage.fromarray(colours).convert("YCbCr"))
    shown = np.asarray(saved(dicom(ybr, bits=8, PhotometricInterpretation="YBR_FULL"), "b.dcm").open())
    assert np.abs(shown.astype(int) - np.asarray(PILImage.fromarray(ybr, "YCbCr").convert("RGB"))).max() <= 2


def test_a_palette_gives_its_colours(saved):
    places = np.array([[0, 1], [2, 1]], np.uint8)
    made = dicom(places, bits=8, PhotometricInterpretation="PALETTE COLOR")
    for name, channel in zip(("Red", "Green", "Blue"), ([255, 0, 10], [0, 255, 20], [0, 0, 30]), strict=True):
        setattr(made, f"{name}PaletteColorLookupTableDescriptor", [3, 0, 16])
        setattr(made, f"{name}PaletteColorLookupTableData", (np.array(channel, np.uint16) * 257).tobytes())
    assert np.asarray(saved(made).open())[0].tolist() == [[255, 0, 0], [0, 255, 0]]
    assert np.asarray(saved(made).open())[1, 0].tolist() == [10, 20, 30]


def test_of_several_frames_the_first_is_shown(saved):
    frames = np.stack([STORED, STORED[::-1]])
    made = dicom(STORED, NumberOfFrames=2)
    made.PixelData = frames.tobytes()
    assert (grey(saved(made)) == scaled(STORED, STORED.min(), STORED.max())).all()


def test_compressed_pixels_are_those_of_the_plain_file(saved):
    made = dicom()
    plain = grey(saved(made))
    made.compress(RLELossless, generate_instance_uid=False)
    assert (grey(saved(made, "b.dcm")) == plain).all()


def test_jpeg_inside_is_decoded(saved):
    values, written = (STORED // 16).astype(np.uint8), io.BytesIO()
    PILImage.fromarray(values).save(written, "JPEG", quality=95)
    made = dicom(values, JPEGBaseline8Bit, bits=8)
    made.PixelData = encapsulate([written.getvalue()])
    made["PixelData"].is_undefined_length = True
    assert (grey(saved(made)) == np.asarray(PILImage.open(written))).all()


def test_a_syntax_without_its_decoder_is_named_with_the_package_that_brings_it(saved):
    made = dicom(syntax=JPEGLosslessSV1)
    made.PixelData = encapsulate([b"\xff\xd8 jpeg"])
    made["PixelData"].is_undefined_length = True
    with pytest.raises(UnreadableImage, match=r"'a\.dcm'.*JPEG Lossless.*package is missing.*pylibjpeg-libjpeg"):
        saved(made).open()


@pytest.mark.parametrize("syntax", [MPEG2MPML, DeflatedExplicitVRLittleEndian])
def test_a_syntax_that_nothing_reads_is_named(saved, syntax):
    made = dicom(syntax=syntax)
    if syntax == MPEG2MPML:
        made.PixelData = encapsulate([b"film"])
        made["PixelData"].is_undefined_length = True
    with pytest.raises(UnreadableImage, match=rf"'a\.dcm'.*{syntax.name}.*not read"):
        saved(made).open()


def test_a_file_is_dicom_by_its_preamble_whatever_its_name_and_by_its_name_without_one(saved):
    named = saved(dicom(), "IM000001")
    assert named.open().size == (9, 6)
    bare = dicom(syntax=ImplicitVRLittleEndian)
    del bare.file_meta
    file = saved(bare, "b.DCM", enforce_file_format=False, implicit_vr=True, little_endian=True)
    assert (grey(file) == grey(named)).all()


def test_a_file_without_pixels_says_so(saved):
    made = dicom()
    del made.PixelData
    with pytest.raises(UnreadableImage, match=r"'a\.dcm'.*without pixel data"):
        saved(made).open()


def test_too_many_pixels_are_refused_before_they_are_decoded(saved):
    made = dicom(Rows=60_000, Columns=60_000, NumberOfFrames=1)
    with pytest.raises(UnreadableImage, match=f"60000 x 60000 pixels are more than {MOST_PIXELS:,}"):
        saved(made).open()


@pytest.mark.filterwarnings("ignore")
def test_a_file_that_ends_anywhere_is_an_unreadable_image(saved):
    file = saved(dicom())
    whole = file.path.read_bytes()
    for end in range(0, len(whole) - 1, 23):
        file.path.write_bytes(whole[:end])
        with pytest.raises(UnreadableImage, match=r"'a\.dcm'"):
            file.open()


@pytest.mark.filterwarnings("ignore")
def test_words_named_like_dicom_are_an_unreadable_image(saved):
    file = saved(dicom())
    file.path.write_bytes(b"sorry, not found\n" * 30)
    with pytest.raises(UnreadableImage, match=r"'a\.dcm'"):
        file.open()


def test_a_window_without_width_or_of_an_unknown_kind_is_said(saved):
    with pytest.raises(UnreadableImage, match="window width 0 is too small"):
        saved(dicom(WindowCenter=1, WindowWidth=0)).open()
    with pytest.raises(UnreadableImage, match="'CUBIC' is not known"):
        saved(dicom(WindowCenter=1, WindowWidth=9, VOILUTFunction="CUBIC")).open()
