"""Where the efficiency lane is, and whether a run asks for it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

LANE = (Path(str(files("medrival.benchmarks"))) / "test_efficiency.py").resolve()  # a checkout may be reached by a link


def is_lane(place: Path) -> bool:
    """Whether a path, by links or not, is that of the lane's file."""
    return place.resolve() == LANE


def asked(config: pytest.Config) -> bool:
    """Whether a run is of the lane: by its option, or by the name of its file."""
    named = [Path(place.partition("::")[0]) for place in config.args]
    return bool(config.getoption("--efficiency")) or any(map(is_lane, named))
