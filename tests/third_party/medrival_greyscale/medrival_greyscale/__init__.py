"""A dual encoder of one's own, as a package that anyone could publish."""

from pathlib import Path

CATALOG = Path(__file__).with_name("catalog.toml")
