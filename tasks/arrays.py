"""Values in npz files: the labels beside an array of images, or what the file of one sample says of it."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medrival.errors import BrokenData
from medrival.tasks.tables import Record, check_size


def numbers(npz: Path, key: str) -> np.ndarray:
    """An array of numbers.

    Raises:
        BrokenData: the file is damaged, has no such array, or the array holds no numbers.
    """
    (found,) = _read(npz, [key])
    if found.dtype.kind not in "buif":
        raise BrokenData(f'{npz}: array "{key}" holds {found.dtype}; expected numbers')
    return found


def sample(npz: Path, *keys: str) -> Record:
    """What a sample's own file says: of each key its one value, as a row of a table.

    Raises:
        BrokenData: the file is damaged, has no such array, or the array holds not one value but several.
    """
    return Record(str(npz), {key: _only(npz, key, found) for key, found in zip(keys, _read(npz, keys), strict=True)})


def _read(npz: Path, keys: Sequence[str]) -> list[np.ndarray]:
    try:
        with np.load(npz, allow_pickle=False) as arrays:
            if missing := [key for key in keys if key not in arrays]:
                raise BrokenData(f'{npz}: array "{missing[0]}" is missing; there are {", ".join(arrays)}')
            for key in keys:
                check_size(arrays.zip.getinfo(f"{key}.npy"))
            return [arrays[key] for key in keys]
    except MemoryError as error:
        raise BrokenData(f"{npz}: arrays {', '.join(keys)} do not fit into memory") from error
    except (OSError, EOFError, KeyError, ValueError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise BrokenData(f"{npz}: arrays {', '.join(keys)} cannot be read: {error}") from error


def _only(npz: Path, key: str, found: np.ndarray) -> Any:
    """An array's one value; a whole number as such, whatever type holds it."""
    if found.size != 1:
        raise BrokenData(f'{npz}: array "{key}" has the shape {found.shape}; expected one value')
    value = found.item()
    return int(value) if isinstance(value, float) and value.is_integer() else value
