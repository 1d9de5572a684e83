"""How many there are of what, in words."""

from __future__ import annotations


def counted(count: int, one: str, several: str) -> str:
    """Such as "1 image is torn" and "1,811 images are torn", where `one` is "image is torn"."""
    return f"{count:,} {one if count == 1 else several}"
