"""DICOM: stored values as a radiologist's screen shows them (PS3.3 C.11: modality, then values of interest, then colour)."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pydicom
from PIL import Image as PILImage
from PIL import ImageOps
from pydicom.filereader import read_dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from scipy.special import expit

from medrival.tasks.images.pixels import Window, refuse_bombs, shown

PREAMBLE = 132
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def read(content: bytes, window: Window | None = None) -> PILImage.Image:
    """The first frame of a DICOM file as 8-bit RGB.

    Grey values go through the rescale or the modality LUT, then through the first VOI LUT, else the first window (linear,
    linear exact or sigmoid); a stated `window` replaces both. Where there is none, images of up to 8 bits keep their range
    and others are scaled from their own minimum and maximum. MONOCHROME1 is inverted. Palettes and YBR become RGB. What an
    enhanced multi-frame file states by frame is not read.

    Raises:
        ValueError: no pixel data; more than MOST_PIXELS; a transfer syntax that is not read here, naming what would.
        Exception: whatever pydicom raises on a damaged file.
    """
    _refuse_deflated(content)
    file = pydicom.dcmread(BytesIO(content), force=True)
    if not any(kind in file for kind in PIXELS):
        raise ValueError("it is DICOM without pixel data")
    refuse_bombs(file.Columns, file.Rows)
    values = _first_frame(file)
    kind = file.PhotometricInterpretation
    if kind == "PALETTE COLOR":
        values = apply_color_lut(values, file)
        return shown(values[:, :, :3], window or (0, np.iinfo(values.dtype).max))
    if values.ndim == 3:
        return shown(values, window or (0, 2**file.BitsStored - 1))
    picture = _grey(apply_modality_lut(values, file), file, window)
    return ImageOps.invert(picture) if kind == "MONOCHROME1" else picture


def _refuse_deflated(content: bytes) -> None:
    """Refuse files that are deflated as a whole: pydicom inflates them without a bound."""
    start = PREAMBLE if content[PREAMBLE - 4 : PREAMBLE] == b"DICM" else 0
    head = read_dataset(BytesIO(content[start:]), False, True, stop_when=lambda tag, *_: tag.group != 2)
    if head.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        raise ValueError(f"its transfer syntax is {DeflatedExplicitVRLittleEndian.name}, which is not read")


def _first_frame(file: pydicom.FileDataset) -> np.ndarray:
    if "TransferSyntaxUID" not in file.file_meta:
        implicit, _ = file.original_encoding
        file.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    syntax = file.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise ValueError(f"its transfer syntax is {syntax.name}, which is not read") from error
    if not decoder.is_available:
        needed = "; or ".join(decoder.missing_dependencies)
        raise ValueError(f"its transfer syntax is {syntax.name}, for which a package is missing: {needed}")
    return pixel_array(file, index=0)


def _grey(values: np.ndarray, file: pydicom.FileDataset, window: Window | None) -> PILImage.Image:
    """Values after the modality transform as grey pixels; what is stated comes first, then the file's LUT, window and range."""
    if window is not None:
        return shown(values, window)
    if file.get("VOILUTSequence"):
        return _looked_up(values, file.VOILUTSequence[0], file)
    if file.get("WindowCenter") is None or file.get("WindowWidth") is None:
        return shown(values, _range(file))
    centre, width = (float(np.ravel(file[key].value)[0]) for key in ("WindowCenter", "WindowWidth"))
    function = str(file.get("VOILUTFunction", "LINEAR")).upper()
    if width <= 0 or (function == "LINEAR" and width < 1):
        raise ValueError(f"its window width {width:g} is too small for the function {function}")
    if function == "SIGMOID":
        return shown(expit(4 * (values - centre) / width), (0, 1))
    if function == "LINEAR":  # for integers: the last black and the first white value are width - 1 apart
        centre, width = centre - 0.5, width - 1
    elif function != "LINEAR_EXACT":
        raise ValueError(f"its VOI LUT function {function!r} is not known")
    return shown(values, (centre - width / 2, centre + width / 2))


def _looked_up(values: np.ndarray, lut: pydicom.Dataset, file: pydicom.FileDataset) -> PILImage.Image:
    entries, first, bits = lut.LUTDescriptor
    _, little_endian = file.original_encoding
    words = "<u2" if little_endian else ">u2"
    table = np.frombuffer(lut.LUTData, words) if isinstance(lut.LUTData, bytes) else np.asarray(lut.LUTData)
    places = np.clip(values.round().astype(np.int64) - first, 0, (entries or 2**16) - 1)
    return shown(table[places], (0, 2**bits - 1))


def _range(file: pydicom.FileDataset) -> Window | None:
    """The values that up to 8 unsigned bits can become, for pixels to stay as they are stored; else None."""
    if file.get("BitsStored", 64) > 8 or file.PixelRepresentation or file.get("ModalityLUTSequence"):
        return None
    ends = apply_modality_lut(np.array([0, 2**file.BitsStored - 1]), file).astype(float)
    return float(ends.min()), float(ends.max())
