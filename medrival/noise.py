"""Keeps from a study's terminal what libraries tell those who program with them, and nobody who runs a study can act on."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from medrival.efficiency.lane import asked, is_lane
from medrival.plan import ours

SETTINGS = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # their bars would be printed with the output of a case that fails
    "TOKENIZERS_PARALLELISM": "false",  # else tokenizers warns once git is asked for the commit
}
"""Of libraries, in the environment, where the user's own settings stay."""

TO_PROGRAMMERS = (
    "ignore::DeprecationWarning",
    "ignore::PendingDeprecationWarning",
    "ignore::FutureWarning",
    "ignore:The following device_map keys do not match any submodules:UserWarning:accelerate",  # of parameters, not modules
)
"""Filters of warnings, as pytest writes them: none that can tell of a wrong number."""


class Quiet:
    """The pytest plugin; what the user asks for with -W, -v or an option of pytest-benchmark is shown."""

    def __init__(self) -> None:
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Filter warnings of our cases alone: tests of a project that runs beside them keep theirs."""
        if config.getoption("pythonwarnings"):
            return
        for item in (item for item in items if ours(item) or is_lane(item.path)):
            for line in TO_PROGRAMMERS:
                item.add_marker(pytest.mark.filterwarnings(line), append=False)

    @pytest.hookimpl(wrapper=True)
    def pytest_report_header(self, config: pytest.Config) -> Generator[None, list[object], list[object]]:
        """Leave out pytest-benchmark's three lines of settings where nothing is benchmarked."""
        lines = yield
        if asked(config) or config.get_verbosity() > 0:
            return lines
        return [line for line in lines if not str(line).startswith("benchmark: ")]
