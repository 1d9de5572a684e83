"""Values of any depth as 8-bit RGB pixels."""

from __future__ import annotations

import numpy as np
from PIL import Image as PILImage

MOST_PIXELS = 10_000 * 10_000
"""More is taken for a decompression bomb. Kept here because other libraries lift Pillow's own bound for the whole process."""

Window = tuple[float, float]
"""The values that become black and white. What lies beyond is clipped, as (x + 2) / 352 * 255 is by (-2, 350)."""


def refuse_bombs(width: int, height: int) -> None:
    """Raise ValueError for more pixels than MOST_PIXELS; called before they are decoded."""
    if width * height > MOST_PIXELS:
        raise ValueError(f"{width} x {height} pixels are more than {MOST_PIXELS:,}")


def shown(values: np.ndarray, window: Window | None = None) -> PILImage.Image:
    """Grey values [height, width] or colours [height, width, 3] as 8-bit RGB.

    8-bit values stay as they are where no window is stated; others are scaled from their own minimum and maximum. A window
    without width is a threshold: what is above it is white, so that a constant image is black.

    Raises:
        ValueError: another shape, a value that is no finite number, a window that ends below its start.
    """
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.shape[2:] not in ((), (3,)) or values.ndim < 2 or not values.size:
        raise ValueError(f"it has the shape {values.shape}; expected height x width, or height x width x 3")
    if window is not None or values.dtype != np.uint8:
        values = _scaled(values.astype(np.float64), window)
    return PILImage.fromarray(values).convert("RGB")


def _scaled(values: np.ndarray, window: Window | None) -> np.ndarray:
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are no finite numbers")
    low, high = window or (float(values.min()), float(values.max()))
    if high < low:
        raise ValueError(f"its window ends at {high:g}, below its start {low:g}")
    if low == high:
        return np.where(values > low, 255, 0).astype(np.uint8)
    return ((values - low) / (high - low) * 255).round().clip(0, 255).astype(np.uint8)
