"""Numbers in npz files: the labels beside an array of images, or what the file of one sample says of it."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from medrival.errors import BrokenData
from medrival.tasks.tables import Record


def numbers(npz: Path, key: str) -> np.ndarray:
    """An array of numbers.

    Raises:
        BrokenData: the file is damaged, has no such array, or the array holds no numbers.
    """
    try:
        with np.load(npz, allow_pickle=False) as arrays:
            if key not in arrays:
                raise BrokenData(f'{npz}: array "{key}" is missing; there are {", ".join(arrays)}')
            found: np.ndarray = arrays[key]
    except (OSError, EOFError, ValueError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise BrokenData(f'{npz}: array "{key}" cannot be read: {error}') from error
    if found.dtype.kind not in "buif":
        raise BrokenData(f'{npz}: array "{key}" holds {found.dtype}; expected numbers')
    return found


def sample(npz: Path, *keys: str) -> Record:
    """What a sample's own file says: of each key its one number, as a row of a table.

    Raises:
        BrokenData: see `numbers`; or an array holds not one number but several.
    """
    values = {}
    for key in keys:
        found = numbers(npz, key)
        if found.size != 1:
            raise BrokenData(f'{npz}: array "{key}" has the shape {found.shape}; expected one number')
        values[key] = found.item()
    return Record(str(npz), values)
