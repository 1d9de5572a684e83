"""A pytest plugin for runs whose charts nobody looks at: drawing them would take longer than what is tested."""

import pytest

from medrival.reports import charts

patch = pytest.MonkeyPatch()


def pytest_configure() -> None:
    for name in ("OVERVIEW", "DETAIL", "FORESTS"):
        patch.setattr(charts, name, type(getattr(charts, name))())


def pytest_unconfigure() -> None:
    """For runs within a process that has tests of charts, too."""
    patch.undo()
